"""What an operator has the farm do: streams ended, devices found and drained."""

import pytest

from common.access.credentials import Credentials
from common.access.refusal import RefusalReason
from common.config.settings import IngestSettings, Settings
from common.ipc.control_messages import EndStream, Placement
from supervisor.farm.stream import NO_INGEST
from tests.kit.children import CPU0, CPU1, INGEST0, INGEST1
from tests.kit.farm_rig import SMALL, MakeRig, Rig


def test_a_kick_tells_the_ingest_why(rig: Rig) -> None:
    rig.publish()
    ended = rig.only(rig.operator.kick("live", "a", 60.0, rig.now), EndStream, INGEST0)
    assert ended.refusal.reason is RefusalReason.KICKED
    assert rig.operator.kick("live", "nobody", 60.0, rig.now) == []


def test_a_kicked_publisher_is_refused_at_every_ingest_for_its_time_or_until_it_is_let_in(
    rig: Rig,
) -> None:
    rig.up(INGEST1)
    rig.publish()
    rig.operator.kick("live", "a", 60.0, rig.now)
    rig.end()
    for ingest in (INGEST0, INGEST1):
        refused = rig.refused(rig.ask(ingest=ingest))
        assert refused.refusal.reason is RefusalReason.KICKED
    rig.now += 59.0
    assert rig.refused(rig.ask()).refusal.words.endswith("refused for 1 s more")
    rig.now += 1.0
    rig.publish()
    rig.operator.kick("live", "a", 60.0, rig.now)
    rig.end()
    assert rig.operator.unkick("live", "a", rig.now)
    assert not rig.operator.unkick("live", "a", rig.now)
    rig.publish()


def test_a_kick_keeps_the_publisher_out_everywhere_and_ends_a_held_stream_at_once(rig: Rig) -> None:
    rig.up(INGEST1)
    rig.publish("live/a", SMALL)
    rig.down(INGEST0)
    rig.up(INGEST0)
    assert rig.stream().ingest == NO_INGEST
    messages = rig.messages(rig.operator.kick("live", "a", 60.0, rig.now))
    assert [type(message) for message in messages] == [EndStream] * 3
    assert rig.farm.state.streams == {}


def test_devices_are_found_as_people_call_them(rig: Rig) -> None:
    assert rig.operator.find_devices("cpu:0") == [CPU0]
    assert rig.operator.find_devices("WORKER:CPU:1") == [CPU1]
    assert rig.operator.find_devices("cpu:7") == []


def test_a_drained_device_takes_streams_again_when_told(rig: Rig) -> None:
    rig.operator.drain([CPU0], rig.now)
    assert rig.farm.state.drained == {CPU0}
    rig.operator.undrain_all(rig.now)
    assert rig.farm.state.drained == set()


@pytest.mark.parametrize(("exempt", "is_out"), [((), True), (("203.0.113.0/24",), False)])
def test_who_is_kicked_stays_out_under_other_names_unless_its_address_is_many(
    make_rig: MakeRig, exempt: tuple[str, ...], is_out: bool
) -> None:
    rig = make_rig(Settings(ingest=IngestSettings(exempt_networks=exempt)))
    who = Credentials("203.0.113.7", "")
    rig.publish("live/a", credentials=who)
    rig.operator.kick("live", "a", 60.0, rig.now)
    rig.end("live/a")
    answer = rig.ask("live/b", credentials=who)
    if is_out:
        refused = rig.refused(answer).refusal
        assert refused.words == "ended by the operator; this address is refused for 1 min more"
        assert rig.operator.unkick("live", "a", rig.now)
        answer = rig.ask("live/b", credentials=who)
    assert rig.only(answer, Placement)
