"""The facts: streams and their placements never disagree, and come anew from hellos."""

from dataclasses import replace
from fractions import Fraction

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS, Settings, Software
from common.ipc.control_messages import Placement
from common.ipc.identity import Generation, StreamId
from supervisor.farm.state import HISTORY
from supervisor.farm.stream_states import StreamState
from supervisor.placement.cost import Resource
from tests.kit.children import CPU0, CPU1, GPU1, INGEST0
from tests.kit.farm_rig import MakeRig, Rig


def test_renditions_come_from_the_template_until_the_source_is_known(rig: Rig) -> None:
    placed = rig.only(rig.ask(), Placement)
    assert placed.renditions == ("720p", "480p", "360p")
    placed = rig.only(rig.format(source=SourceFormat(640, 360, fps=Fraction(30))), Placement)
    assert placed.renditions == ("360p",)


def test_a_closed_stream_gives_its_room_back_once(rig: Rig) -> None:
    rig.publish()
    stream = rig.stream()
    rig.end()
    assert rig.farm.state.fleet.used(Resource.CORES) == 0
    rig.farm.state.close(stream)  # nothing more to give back
    assert rig.farm.state.streams == {}


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
    used = rig.farm.state.fleet.used(Resource.CORES)
    assert 50 < used < 52
    rig.up(CPU1)
    assert rig.publish("live/b").generation > 70


def test_an_adopted_placement_follows_what_its_worker_says_its_device_is(make_rig: MakeRig) -> None:
    rig = make_rig(workers=0)
    name = GPU1
    status = rig.publisher(generation=Generation(5), worker=name)
    state, devices = rig.farm.state, rig.farm.devices
    state.adopt(INGEST0, status, rig.now)
    assert state.fleet.used(Resource.CORES) > 0
    devices.up(name, Pipeline.GPU_ONLY)
    assert state.fleet.used(Resource.CORES) == 0
    assert state.fleet.used(Resource.LOAD, name) > 0
    assert state.fleet.used(Resource.SESSIONS) == 1, "its source is not known yet"


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
    assert rig.farm.state.fleet.host[Resource.CORES] == 500.0
    assert len(rig.stream().template.renditions) == 3
    assert rig.publish("live/b").template == other.without_access()


def test_decisions_are_kept_in_bounds(rig: Rig) -> None:
    for _ in range(HISTORY + 10):
        rig.farm.state.note(StreamId("live/a"), "x", 0.0)
    assert len(rig.farm.state.history) == HISTORY
