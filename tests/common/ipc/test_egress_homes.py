"""Which egresses a stream's tags go to."""

from collections import Counter

from common.ipc.control_messages import EgressRoutes
from common.ipc.egress_homes import Routes, home
from common.ipc.identity import ChildId, StreamId

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
    assert routes.wants(STREAM, EGRESSES) == {first}
    routes.update(EgressRoutes(((STREAM, (others[0], ChildId("egress", index=9))),)))
    assert routes.wants(STREAM, EGRESSES) == {first, others[0]}
    assert routes.wants(StreamId("live/b"), EGRESSES) == {home("live/b", EGRESSES)}
    routes.update(EgressRoutes(()))
    assert routes.wants(STREAM, EGRESSES) == {first}
    assert routes.wants(STREAM, []) == set()
