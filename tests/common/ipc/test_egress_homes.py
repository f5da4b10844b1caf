"""Which egresses a stream's tags go to."""

from collections import Counter

from common.ipc.control_messages import EgressRoutes, Endpoint, Subscription
from common.ipc.egress_homes import Routes, home
from common.ipc.identity import BootId, ChildId, StreamId

EGRESSES = [ChildId("egress", index=index) for index in range(4)]
STREAM = StreamId("live/a")


def test_homes_are_spread_and_stay_when_others_go() -> None:
    streams = [f"live/{index}" for index in range(400)]
    homes = {stream: home(stream, EGRESSES) for stream in streams}
    assert min(Counter(homes.values()).values()) > 50
    fewer = {stream: home(stream, EGRESSES[:3]) for stream in streams}
    assert all(fewer[s] == homes[s] for s in streams if homes[s] != EGRESSES[3])
    assert home("live/a", []) is None


def test_a_stream_goes_to_its_home_and_to_who_wants_it_and_runs() -> None:
    routes = Routes()
    first = home(STREAM, EGRESSES)
    others = [egress for egress in EGRESSES if egress != first]
    assert routes.subscribed(STREAM, EGRESSES) == {first}
    routes.update(EgressRoutes(((STREAM, (others[0], ChildId("egress", index=9))),)))
    assert routes.subscribed(STREAM, EGRESSES) == {first, others[0]}
    assert routes.subscribed(StreamId("live/b"), EGRESSES) == {home("live/b", EGRESSES)}
    routes.update(EgressRoutes(()))
    assert routes.subscribed(STREAM, EGRESSES) == {first}
    assert routes.subscribed(STREAM, []) == set()


def test_a_child_of_another_kind_gets_the_renditions_it_asked_for_and_is_no_home() -> None:
    routes = Routes()
    tap, every = ChildId("tap"), ChildId("recorder")
    running = [*EGRESSES, tap, every]
    first = home(STREAM, EGRESSES)
    assert home(STREAM, running) == first
    assert home(STREAM, [tap]) is None
    subscriptions = (Subscription(tap, STREAM, ("720p",)), Subscription(every, STREAM, ()))
    routes.update(EgressRoutes((), subscriptions))
    assert routes.subscribed(STREAM, running) == {first, tap, every}, "what all renditions share"
    assert routes.subscribed(STREAM, running, "720p") == {first, tap, every}
    assert routes.subscribed(STREAM, running, "360p") == {first, every}
    assert routes.subscribed(STREAM, EGRESSES, "720p") == {first}, "they do not run"
    assert routes.subscribed(StreamId("live/b"), running, "720p").isdisjoint({tap, every})


def test_one_that_retires_is_no_home_and_keeps_the_streams_of_its_players() -> None:
    routes = Routes()
    first = home(STREAM, EGRESSES)
    assert first is not None
    routes.follow([Endpoint(one, BootId(""), is_retiring=one == first) for one in EGRESSES])
    second = home(STREAM, [egress for egress in EGRESSES if egress != first])
    assert routes.subscribed(STREAM, EGRESSES) == {second}
    routes.update(EgressRoutes(((STREAM, (first,)),)))
    assert routes.subscribed(STREAM, EGRESSES) == {first, second}
    routes.follow([Endpoint(one, BootId(""), is_retiring=True) for one in EGRESSES])
    assert routes.subscribed(STREAM, EGRESSES) == {first}
