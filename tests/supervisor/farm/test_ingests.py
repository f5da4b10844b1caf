"""Streams whose ingest is lost: held, taken over by the publisher that returns, or forgotten."""

from dataclasses import replace

from common.config.settings import Settings
from common.ipc.control_messages import EndStream, IngestLost, Placement
from common.ipc.identity import ChildId
from common.ipc.status_messages import RenditionStatus, ServedStatus
from common.media.clock import ClockReference, ResumeTime
from supervisor.farm.actions import Send
from supervisor.placement.cost import Resource
from tests.kit.children import EGRESS0, INGEST0
from tests.kit.farm_rig import SMALL, MakeRig, Rig

HOLD_S = 10.0  # of the default template
EPOCH_MS = 1_790_000_000_000


def live(rig: Rig) -> Placement:
    placed = rig.publish("live/a", SMALL)
    reference = ClockReference(7_000, 99.0)
    status = rig.publisher("live/a", format=SMALL, reference=reference, epoch_ms=EPOCH_MS)
    rig.beat(INGEST0, publishers=(status,))
    shown = RenditionStatus("360p", last_pts_ms=7_900)
    rig.beat(EGRESS0, served=(ServedStatus(placed.stream_id, placed.generation, (shown,)),))
    return placed


def test_its_worker_ends_it_and_egress_holds_its_players(rig: Rig) -> None:
    placed = live(rig)
    actions = rig.down(INGEST0)
    assert [action.child for action in actions if isinstance(action, Send)] == [
        EGRESS0,
        placed.worker,
    ]
    for message in rig.messages(actions):
        assert isinstance(message, IngestLost)
        assert (message.generation, message.hold_ms) == (placed.generation, 10_000)
        assert "ingest is lost" in message.reason
    assert rig.farm.state.fleet.used(Resource.CORES) > 0  # its room is kept


def test_who_takes_no_tags_hears_nothing_of_a_lost_ingest(rig: Rig) -> None:
    whip = ChildId("whip")
    rig.up(whip)
    placed = live(rig)
    told = [action.child for action in rig.down(INGEST0) if isinstance(action, Send)]
    assert told == [EGRESS0, placed.worker]


def test_the_publisher_that_returns_takes_it_over_where_its_time_is_now(rig: Rig) -> None:
    before = live(rig)
    rig.down(INGEST0)
    rig.up(INGEST0)
    rig.now += 5
    placed = rig.only(rig.ask(), Placement, INGEST0)
    assert placed.request_id == rig.request
    assert placed.generation > before.generation
    assert placed.renditions == before.renditions
    assert placed.resume_time == ResumeTime(ClockReference(7_000, 99.0), 7_900, EPOCH_MS)
    assert rig.only(rig.format(source=SMALL), Placement).generation == placed.generation
    assert len(rig.farm.state.fleet.allocations) == 1
    rig.tick(HOLD_S)
    assert "live/a" in rig.farm.state.streams


def test_one_that_nobody_comes_back_for_is_forgotten_after_its_hold(rig: Rig) -> None:
    live(rig)
    rig.down(INGEST0)
    assert rig.farm.next_deadline() == rig.now + HOLD_S
    rig.tick(HOLD_S)
    assert rig.farm.state.streams == {}
    assert rig.farm.state.fleet.used(Resource.CORES) == 0


def test_one_without_a_hold_or_a_picture_ends_at_once(make_rig: MakeRig) -> None:
    settings = Settings()
    template = replace(settings.templates[0], hold_ms=0)
    rig = make_rig(replace(settings, templates=(template,)))
    rig.publish("live/a", SMALL)
    rig.ask("live/b")
    messages = rig.messages(rig.down(INGEST0))
    assert {message.hold_ms for message in messages} == {0}
    assert rig.farm.state.streams == {}


def test_it_can_be_kicked(rig: Rig) -> None:
    live(rig)
    rig.down(INGEST0)
    (action,) = rig.operator.kick("live", "a", 60.0, rig.now)
    assert isinstance(action, Send)
    assert isinstance(action.message, EndStream)
    assert rig.farm.state.streams == {}


def test_its_worker_may_be_lost_meanwhile(rig: Rig) -> None:
    placed = live(rig)
    rig.down(INGEST0)
    rig.down(placed.worker)
    rig.tick(1.0)
    rig.up(INGEST0)
    again = rig.only(rig.ask(), Placement, INGEST0)
    assert again.worker not in (None, placed.worker)
    assert rig.farm.state.device_of(rig.stream()) == again.worker
