"""Whether another publisher would be let in."""

from dataclasses import replace

from common.config.ladder import Pipeline, Template
from common.config.settings import DEFAULT_RENDITIONS, Settings, Software
from common.ipc.control_messages import Placement
from supervisor.farm.admission.readiness import why_no_room
from tests.kit.children import CPU0, CPU1, INGEST0
from tests.kit.farm_rig import Rig

LIVE = Template("live", DEFAULT_RENDITIONS, policy=(Pipeline.SOFTWARE,))


def test_an_idle_farm_has_room() -> None:
    rig = Rig()
    assert why_no_room(rig.farm.state, rig.now) == ""


def test_without_an_ingest_nobody_is_let_in() -> None:
    rig = Rig()
    rig.down(INGEST0)
    assert why_no_room(rig.farm.state, rig.now) == "no ingest is up"


def test_without_a_device_that_is_up_there_is_none_and_the_reason_names_it() -> None:
    rig = Rig(Settings(templates=(LIVE,)))
    rig.down(CPU0)
    assert why_no_room(rig.farm.state, rig.now) == ""
    rig.down(CPU1)
    assert "down" in why_no_room(rig.farm.state, rig.now)


def test_an_app_that_passes_streams_through_is_enough() -> None:
    through = replace(LIVE, name="relay", policy=(Pipeline.PASSTHROUGH,))
    rig = Rig(Settings(templates=(LIVE, through)))
    rig.down(CPU0)
    rig.down(CPU1)
    assert why_no_room(rig.farm.state, rig.now) == ""


def test_a_full_farm_has_none_until_a_stream_ends() -> None:
    """By the same count that lets publishers in."""
    rig = Rig(Settings(templates=(LIVE,), software=Software(capacity=5)))
    number = 0
    while not why_no_room(rig.farm.state, rig.now):
        assert number < 100
        rig.ask(f"live/{number}")
        number += 1
    assert number > 1
    assert not any(isinstance(m, Placement) for m in rig.messages(rig.ask("live/one-more")))
    for ended in range(number):
        rig.end(f"live/{ended}")
    assert why_no_room(rig.farm.state, rig.now) == ""
