"""Who is told which streams go where, in a whole farm's decisions."""

from dataclasses import replace

from common.ipc.control_messages import EgressRoutes, IngestLost, StreamWanted, Subscription
from common.ipc.egress_homes import home
from common.ipc.identity import ChildId, StreamId
from common.ipc.media_messages import SHARED
from common.ipc.status_messages import TranscodeStatus
from common.media.clock import ClockReference
from supervisor.farm.actions import Action, Send
from supervisor.farm.forwarding.egress_routing import KEEP_S
from tests.kit.children import CPU0, CPU1, EGRESS0, EGRESS1, INGEST0, INGEST1
from tests.kit.farm_rig import SMALL, Rig

STREAM = StreamId("live/a")
EGRESSES = [EGRESS0, EGRESS1]
HOME = home(STREAM, EGRESSES)
(OTHER,) = [egress for egress in EGRESSES if egress != HOME]
ENCODER = ChildId("encoder")
TOLD, NOTHING = EgressRoutes(((STREAM, (OTHER,)),)), EgressRoutes(())


def routes(actions: list[Action]) -> dict[ChildId, EgressRoutes]:
    """Who is told of which."""
    return {
        action.child: action.message
        for action in actions
        if isinstance(action, Send) and isinstance(action.message, EgressRoutes)
    }


def worker_of(rig: Rig, stream: str = STREAM) -> ChildId:
    worker = rig.farm.state.device_of(rig.stream(stream))
    assert worker is not None
    return worker


def test_an_ingest_is_told_of_all_and_a_worker_of_its_own_streams(rig: Rig) -> None:
    rig.up(EGRESS1)
    rig.publish(STREAM)
    rig.publish("live/b")
    mine, others = worker_of(rig), worker_of(rig, "live/b")
    assert {mine, others} == {CPU0, CPU1}
    actions = rig.say(OTHER, StreamWanted(OTHER, STREAM))
    assert routes(actions) == {INGEST0: TOLD, mine: TOLD}
    assert len(actions) == 2
    assert rig.say(OTHER, StreamWanted(OTHER, STREAM)) == [], "they know"
    assert routes(rig.up(INGEST1)) == {INGEST1: TOLD}
    assert routes(rig.up(ENCODER)) == {}, "these workers encode themselves"
    assert routes(rig.up(others)) == {}
    assert routes(rig.up(mine)) == {mine: TOLD}, "it may know nothing any more"


def test_a_name_that_is_no_stream_is_told_to_no_worker(rig: Rig) -> None:
    rig.up(EGRESS1)
    assert routes(rig.say(OTHER, StreamWanted(OTHER, STREAM))) == {INGEST0: TOLD}


def test_who_gets_a_stream_is_told_at_once_and_who_still_has_it_until_its_session_ends(
    rig: Rig,
) -> None:
    rig.up(EGRESS1)
    rig.publish(STREAM, SMALL)
    first = worker_of(rig)
    second = CPU1 if first == CPU0 else CPU0
    rig.say(OTHER, StreamWanted(OTHER, STREAM))
    rig.tick()
    session = TranscodeStatus(STREAM, rig.stream(STREAM).generation, 1, 1, 0.0, 0, ())
    rig.beat(first, transcodes=(session,))
    clock = {"reference": ClockReference(5_000, rig.now - 10), "gop_ms": 1000}
    rig.farm.state.update_publisher(INGEST0, rig.publisher(STREAM, **clock), rig.now)
    rig.operator.drain([first], rig.now)
    assert worker_of(rig) == second
    assert rig.farm.next_deadline() <= rig.now
    assert routes(rig.tick()) == {second: TOLD}
    assert rig.farm.next_deadline() > rig.now
    assert routes(rig.say(OTHER, StreamWanted(OTHER, STREAM))) == {}
    rig.beat(first, transcodes=())
    assert routes(rig.say(OTHER, StreamWanted(OTHER, STREAM))) == {first: NOTHING}


def test_an_encoder_process_is_told_of_the_streams_whose_pictures_are_shared(rig: Rig) -> None:
    settings = rig.farm.state.settings
    software = replace(settings.software, encoder_processes=True)
    rig.farm.configure(replace(settings, software=software), rig.now)
    rig.up(EGRESS1)
    rig.up(ENCODER)
    rig.publish(STREAM)
    told = routes(rig.say(OTHER, StreamWanted(OTHER, STREAM)))
    assert told == {INGEST0: TOLD, worker_of(rig): TOLD, ENCODER: TOLD}


def test_while_nothing_goes_elsewhere_nobody_is_told_and_nothing_is_due(rig: Rig) -> None:
    for number in range(3):
        rig.publish(f"live/{number}")
    assert rig.farm.next_deadline() > rig.now
    assert routes(rig.actions) == {}


def test_whoever_comes_to_the_sound_alone_is_told_to_ingests_and_the_streams_worker(
    rig: Rig,
) -> None:
    tap = ChildId("tap")
    rig.publish(STREAM)
    rig.publish("live/b")
    rig.up(tap)
    expected = EgressRoutes((), (Subscription(tap, STREAM, (SHARED,)),))
    told = routes(rig.say(tap, StreamWanted(tap, STREAM, (SHARED,))))
    assert told == {INGEST0: expected, worker_of(rig): expected}


def both_up(rig: Rig) -> None:
    """Both egresses, and nothing told that is not so by itself."""
    rig.publish(STREAM)
    for egress in EGRESSES:
        rig.up(egress)
    rig.tick(KEEP_S)
    rig.beat(OTHER)
    assert rig.beat(OTHER) == []


def test_who_was_the_home_keeps_a_stream_for_a_while_when_another_egress_comes(rig: Rig) -> None:
    both_up(rig)
    rig.down(HOME)
    # a player may come to the other one and not be heard of before the first is back
    assert HOME is not None
    told = {INGEST0: TOLD, worker_of(rig): TOLD}
    assert routes(rig.up(HOME)) == told, "before the topology that moves it"
    rig.tick(KEEP_S)
    assert routes(rig.beat(HOME)) == dict.fromkeys(told, NOTHING)


def test_an_egress_is_not_left_out_between_the_routes_and_the_topology_of_a_loss(rig: Rig) -> None:
    both_up(rig)
    rig.say(OTHER, StreamWanted(OTHER, STREAM))
    assert routes(rig.down(HOME)) == {}
    told = routes(rig.beat(OTHER))
    assert told == {INGEST0: NOTHING, worker_of(rig): NOTHING}, "it is the home, as all have heard"


def test_what_a_lost_child_of_another_kind_wanted_goes_there_no_more(rig: Rig) -> None:
    tap = ChildId("tap")
    rig.publish(STREAM)
    rig.up(tap)
    told = routes(rig.say(tap, StreamWanted(tap, STREAM, ("360p",))))
    expected = EgressRoutes((), (Subscription(tap, STREAM, ("360p",)),))
    assert told == {INGEST0: expected, worker_of(rig): expected}
    assert routes(rig.up(INGEST1)) == {INGEST1: expected}, "whoever comes later, too"
    assert routes(rig.down(tap)) == dict.fromkeys((INGEST0, INGEST1, worker_of(rig)), NOTHING)


def test_a_child_of_another_kind_learns_that_a_streams_ingest_is_lost(rig: Rig) -> None:
    rig.up(ChildId("tap"))
    rig.publish("live/a")
    lost = {
        action.child
        for action in rig.down(INGEST0)
        if isinstance(action, Send) and isinstance(action.message, IngestLost)
    }
    assert lost >= {ChildId("tap"), EGRESS0}
    assert len(lost) == 3, "and the stream's worker"
