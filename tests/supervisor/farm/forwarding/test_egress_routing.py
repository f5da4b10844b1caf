"""Which egresses want which streams."""

from common.ipc.control_messages import (
    EgressRoutes,
    StreamWanted,
    Subscription,
)
from common.ipc.egress_homes import home
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.status_messages import RenditionStatus, ServedStatus
from supervisor.farm.forwarding.egress_routing import KEEP_S, MAX_WANTED, Routing, restricted
from tests.kit.children import EGRESS0, EGRESS1

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


def test_the_routes_of_some_streams_say_nothing_of_others() -> None:
    other = StreamId("live/b")
    subscriptions = (Subscription(OTHER, STREAM, ()), Subscription(OTHER, other, ("360p",)))
    routes = EgressRoutes(((STREAM, (OTHER,)), (other, (OTHER,))), subscriptions)
    own = restricted(routes, lambda stream_id: stream_id == other)
    assert own == EgressRoutes(((other, (OTHER,)),), subscriptions[1:])
    assert restricted(routes, lambda _: False) == EgressRoutes(())
