"""Which egresses want which streams."""

from common.ipc.control_messages import (
    EgressRoutes,
    IngestLost,
    StreamWanted,
    Subscription,
)
from common.ipc.egress_homes import home
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.status_messages import RenditionStatus, ServedStatus
from supervisor.farm.actions import Send
from supervisor.farm.egress_routing import KEEP_S, MAX_WANTED, Routing
from tests.kit.children import CPU0, CPU1, EGRESS0, EGRESS1, INGEST0, INGEST1
from tests.kit.farm_rig import Rig

STREAM = StreamId("live/a")
EGRESSES = [EGRESS0, EGRESS1]
HOME = home(STREAM, EGRESSES)
(OTHER,) = [egress for egress in EGRESSES if egress != HOME]


def serving(players: int) -> tuple[ServedStatus, ...]:
    rendition = RenditionStatus("360p", players=players)
    return (ServedStatus(STREAM, Generation(1), (rendition,)),)


def test_an_egress_has_a_stream_while_it_has_players_and_a_while_longer() -> None:
    routing = Routing()
    routing.on_served(OTHER, serving(players=0), 0.0)
    assert routing.update(EGRESSES, 0.0) is None
    routing.on_served(OTHER, serving(players=1), 1.0)
    assert routing.update(EGRESSES, 1.0) == EgressRoutes(((STREAM, (OTHER,)),))
    routing.on_served(OTHER, serving(players=0), 2.0)
    assert routing.update(EGRESSES, KEEP_S) is None, "told already"
    assert routing.update(EGRESSES, 1.0 + KEEP_S) == EgressRoutes(())


def test_the_home_needs_no_telling_unless_it_is_another_one_now() -> None:
    routing = Routing()
    assert HOME is not None
    routing.on_served(HOME, serving(players=1), 0.0)
    assert routing.update([HOME], 0.0) is None
    assert routing.update(EGRESSES, 0.0) is None
    routing.on_served(OTHER, serving(players=1), 0.0)
    assert routing.update([OTHER], 0.0) is None, "alone it is the home of all"
    # the other one is back: who has players keeps the stream
    assert routing.update(EGRESSES, 0.1) == EgressRoutes(((STREAM, (OTHER,)),))
    routing.remove(OTHER)
    assert routing.update([HOME], 0.2) == EgressRoutes(())


def test_names_that_players_make_up_take_no_more_than_a_bounded_memory() -> None:
    routing = Routing()
    for index in range(MAX_WANTED + 100):
        routing.want(OTHER, StreamId(f"live/{index}"), 0.0)
    told = routing.update(EGRESSES, 0.0)
    assert told is not None
    assert 0 < len(told.extra) <= MAX_WANTED


def test_ingests_and_workers_are_told_and_who_comes_later_too(rig: Rig) -> None:
    rig.up(EGRESS1)
    actions = rig.say(OTHER, StreamWanted(OTHER, STREAM))
    told = EgressRoutes(((STREAM, (OTHER,)),))
    assert {action.child for action in actions if isinstance(action, Send)} == {
        INGEST0,
        CPU0,
        CPU1,
    }
    assert rig.messages(actions) == [told] * 3
    assert rig.say(OTHER, StreamWanted(OTHER, STREAM)) == []
    assert told in rig.messages(rig.up(INGEST1))


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
    told = rig.messages(rig.up(HOME))
    assert told == [EgressRoutes(((STREAM, (OTHER,)),))] * 3, "before the topology that moves it"
    rig.tick(KEEP_S)
    assert rig.messages(rig.beat(HOME)) == [EgressRoutes(())] * 3


def test_an_egress_is_not_left_out_between_the_routes_and_the_topology_of_a_loss(rig: Rig) -> None:
    both_up(rig)
    rig.say(OTHER, StreamWanted(OTHER, STREAM))
    lost = rig.messages(rig.down(HOME))
    assert not any(isinstance(message, EgressRoutes) for message in lost)
    told = rig.messages(rig.beat(OTHER))
    assert told == [EgressRoutes(())] * 3, "it is the home, as everyone has heard by now"


def test_a_child_of_another_kind_has_what_it_asked_for_as_long_as_it_asks() -> None:
    routing, tap = Routing(), ChildId("tap")
    running = [*EGRESSES, tap]
    wanted = StreamWanted(tap, STREAM, ("360p",))
    routing.on_wanted(tap, wanted, 0.0)
    expected = EgressRoutes((), (Subscription(tap, STREAM, ("360p",)),))
    assert routing.update(running, 0.0) == expected
    routing.on_wanted(tap, wanted, KEEP_S - 1)
    assert routing.update(running, KEEP_S) is None, "it asked again"
    more = StreamWanted(tap, STREAM, ("360p", "720p"))
    routing.on_wanted(tap, more, KEEP_S)
    told = routing.update(running, KEEP_S)
    assert told is not None
    assert told.subscriptions[0].renditions == ("360p", "720p")
    assert routing.update(running, 2 * KEEP_S) == EgressRoutes(())
    routing.on_wanted(tap, wanted, 2 * KEEP_S)
    assert routing.update(running, 2 * KEEP_S) == expected
    routing.remove(tap)
    assert routing.update(EGRESSES, 2 * KEEP_S) == EgressRoutes(())


def test_what_a_lost_child_of_another_kind_wanted_goes_there_no_more(rig: Rig) -> None:
    tap = ChildId("tap")
    rig.up(tap)
    told = rig.messages(rig.say(tap, StreamWanted(tap, STREAM, ("360p",))))
    expected = EgressRoutes((), (Subscription(tap, STREAM, ("360p",)),))
    assert told == [expected] * 3, "an ingest and two workers"
    assert rig.messages(rig.up(INGEST1))[0] == expected, "whoever comes later, too"
    assert rig.messages(rig.down(tap)) == [EgressRoutes(())] * 4


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
