"""The facts: streams and their placements never disagree, and come anew from hellos."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS, Devices, Settings, Software
from common.ipc.control_messages import Placement
from common.ipc.identity import ChildId, Generation, StreamId
from supervisor.farm.state import HISTORY, FarmState
from supervisor.farm.stream import StreamState
from supervisor.placement.cost import GPU_CAPACITY, Resource
from tests.kit.children import CPU0, CPU1, GPU1, INGEST0
from tests.kit.farm_rig import MakeRig, Rig


def test_software_capacity_is_the_hosts_cores_unless_given_by_hand() -> None:
    assert FarmState(Settings(), 4).fleet.host[Resource.CORES] == 400.0
    by_hand = Settings(software=Software(capacity=33.0))
    assert FarmState(by_hand, 4).fleet.host[Resource.CORES] == 33.0


def test_a_gpus_capacity_by_hand_is_found_by_uuid_or_pci_id() -> None:
    settings = Settings(devices=Devices(capacity=(("0000:65:00.0", 700.0),)))
    roster = FarmState(settings, 2)
    roster.device_up(ChildId("w"), Pipeline.GPU_ONLY, ("GPU-1", "0000:65:00.0"), 10**9)
    roster.device_up(ChildId("v"), Pipeline.HYBRID, ("GPU-2", "0000:66:00.0"))
    devices = roster.fleet.devices
    limits = devices[ChildId("w")].limits
    assert (limits[Resource.LOAD], limits[Resource.MEMORY]) == (700.0, 1e9)
    assert devices[ChildId("v")].limits[Resource.LOAD] == GPU_CAPACITY
    assert Resource.MEMORY not in devices[ChildId("v")].limits


def test_the_lower_of_a_session_cap_by_hand_and_one_that_was_met_holds() -> None:
    roster = FarmState(Settings(devices=Devices(max_encoder_sessions=3)), 2)
    roster.session_refused(ChildId("w"), 8, "the driver", 100.0)
    assert roster.fleet.host[Resource.SESSIONS] == 3.0
    roster.session_refused(ChildId("w"), 2, "the driver", 100.0)
    assert roster.fleet.host[Resource.SESSIONS] == 2.0
    roster.configure(Settings())
    assert roster.fleet.host[Resource.SESSIONS] == 2.0
    roster.forget_session_cap()
    assert Resource.SESSIONS not in roster.fleet.host


def test_a_session_cap_that_is_met_again_is_not_logged_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    roster = FarmState(Settings(), 2)
    for sessions in (8, 8, 8, 7):
        roster.session_refused(ChildId("w"), sessions, "the driver", 100.0)
    assert sum("encoder sessions limited" in line for line in caplog.messages) == 2


def test_renditions_come_from_the_template_until_the_source_is_known(rig: Rig) -> None:
    placed = rig.only(rig.ask(), Placement)
    assert placed.renditions == ("720p", "480p", "360p")
    placed = rig.only(rig.format(source=SourceFormat(640, 360, fps=Fraction(30))), Placement)
    assert placed.renditions == ("360p",)


def test_a_closed_stream_gives_its_room_back_once(rig: Rig) -> None:
    rig.publish()
    stream = rig.stream()
    rig.end()
    assert rig.farm.roster.fleet.used(Resource.CORES) == 0
    rig.farm.roster.close(stream)  # nothing more to give back
    assert rig.farm.roster.streams == {}


def test_generations_grow_beyond_that_of_an_adopted_stream(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(workers=0)
    source = SourceFormat(1280, 720, fps=Fraction(30))
    status = rig.publisher(generation=Generation(70), worker=CPU0, format=source)
    rig.up(INGEST0, publishers=(status,))
    rig.up(CPU0)
    assert rig.stream().state is StreamState.LIVE
    assert rig.stream().generation == 70
    used = rig.farm.roster.fleet.used(Resource.CORES)
    assert 50 < used < 52
    rig.up(CPU1)
    assert rig.publish("live/b").generation > 70


def test_an_adopted_placement_follows_what_its_worker_says_its_device_is(make_rig: MakeRig) -> None:
    rig = make_rig(workers=0)
    name = GPU1
    status = rig.publisher(generation=Generation(5), worker=name)
    roster = rig.farm.roster
    roster.adopt(INGEST0, status, rig.now)
    assert roster.fleet.used(Resource.CORES) > 0
    roster.device_up(name, Pipeline.GPU_ONLY)
    assert roster.fleet.used(Resource.CORES) == 0
    assert roster.fleet.used(Resource.LOAD, name) > 0
    assert roster.fleet.used(Resource.SESSIONS) == 3


def test_an_adopted_stream_of_an_unknown_app_is_source_only(
    make_rig: MakeRig,
) -> None:
    rig = make_rig()
    rig.up(INGEST0, publishers=(rig.publisher("gone/a", generation=Generation(3)),))
    stream = rig.stream("gone/a")
    assert (stream.state, stream.renditions()) == (StreamState.SOURCE_ONLY, ())


def test_new_settings_change_capacity_and_leave_running_streams_their_template(rig: Rig) -> None:
    rig.publish()
    other = Template("live", DEFAULT_RENDITIONS[2:])
    settings = replace(Settings(), software=Software(capacity=500.0), templates=(other,))
    rig.farm.configure(settings, rig.now)
    assert rig.farm.roster.fleet.host[Resource.CORES] == 500.0
    assert len(rig.stream().template.renditions) == 3
    assert rig.publish("live/b").template == other


def test_decisions_are_kept_in_bounds(rig: Rig) -> None:
    for _ in range(HISTORY + 10):
        rig.farm.roster.note(StreamId("live/a"), "x", 0.0)
    assert len(rig.farm.roster.history) == HISTORY
