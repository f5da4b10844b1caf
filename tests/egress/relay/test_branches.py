"""egress/relay: a stream that hosts pass on: output.py and pulls.py of several, without sockets"""

from collections.abc import Sequence

import pytest

from common.ipc.cluster_messages import StreamOwner
from common.ipc.envelope import decode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import Tags
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd
from common.link import tree
from common.link.messages import VERSION, LinkGreeting
from common.link.serving import Serving
from egress.output import OutputContext
from egress.relay.output import RelayOutput
from egress.relay.play import Host
from egress.relay.played_stream import Frames, Key
from egress.relay.pulls import Pulls
from egress.streams.registry import Streams
from egress.streams.waiting import WaitingViewers
from tests.egress.relay.test_output import HERE, ID
from tests.egress.relay.test_output import Rig as OwnerRig
from tests.kit.host_link import STREAM


class Played:
    """The egresses of one host: the times of what they were sent, by rendition."""

    def __init__(self) -> None:
        self.times: dict[str, list[int]] = {}
        self.demand: frozenset[str] = frozenset()

    def send(self, rendition: Key, frames: Frames) -> None: ...

    def send_tags(self, rendition: Key, frames: Frames, *, is_start: bool) -> None:
        message = decode(frames[0])
        assert isinstance(message, Tags)
        known = self.times.setdefault(message.rendition, [])
        known += [tag.dts_ms for tag in message.tags if not known or tag.dts_ms > known[-1]]

    def gather(self) -> None: ...

    def flush(self) -> None: ...

    def forget(self, stream: StreamId, generation: Generation) -> None: ...

    def demanded(self, stream: StreamId) -> frozenset[str]:
        return self.demand


class Wire:
    """A connection: what either end has written, and not yet read."""

    def __init__(self, edge: "Edge", host: Host, served: RelayOutput, own: LinkGreeting) -> None:
        self.edge, self.host, self.served, self.name = edge, host, served, own.host
        self.up, self.down = bytearray(), bytearray()
        names = frozenset((edge.name,))
        self.serving = Serving(own, names, self._down, lambda: edge.net.now)
        served.arrived(self.serving)
        host.pulling.connected(self._up)

    def carry(self) -> bool:
        up, down = bytes(self.up), bytes(self.down)
        self.up.clear()
        self.down.clear()
        for demanded in self.serving.feed(up):
            self.served.demanded(self.serving, demanded)
        found = self.host.pulling.feed(down, self.edge.net.now)
        self.edge.pulls.on_all_media(self.host, found, self.edge.net.now)
        return bool(up or down)

    def _up(self, parts: Sequence[bytes]) -> None:
        self.up += b"".join(parts)

    def _down(self, parts: Sequence[bytes]) -> None:
        self.down += b"".join(parts)


class Edge:
    """A host that plays the stream."""

    def __init__(self, net: "Net", name: str) -> None:
        self.net, self.name, self.played = net, name, Played()
        context = OutputContext(
            child=ChildId("relay"),
            streams=Streams(),
            waiting=WaitingViewers(),
            by_address=None,  # type: ignore[arg-type]  # hosts have no limit by address
            clock=lambda: net.now,
            endpoint=lambda name, scheme: "",
            report_demand=lambda stream: None,
            request_stream=lambda stream, *names: None,
        )
        self.output = RelayOutput(context, lambda wanted: None)
        self.pulls = Pulls(ChildId("relay"), self.played, lambda wanted: None)
        self.own = LinkGreeting(VERSION, "farm", name, name, f"{name}:1936")
        self.pulls.configure(self.own, 10.0)
        self.output.played, self.pulls.branches = self.pulls, self.output

    def play(self, *names: str) -> None:
        self.played.demand = frozenset(names)
        self.pulls.on_play(RemotePlay(ID, Generation(5), names), self.net.now)
        owner = StreamOwner(STREAM, ID, "host-a", "host-a:1936", 7)
        self.pulls.on_owner(owner, self.net.now)
        self.net.carry()

    @property
    def parents(self) -> set[str]:
        return {host.name for host in self.pulls.hosts.values() if host.pulling.streams}


class Net:
    """The owner, which sends a stream to one host, and the others."""

    def __init__(self) -> None:
        self.owner = OwnerRig()
        self.edges: dict[str, Edge] = {}
        self.wires: list[Wire] = []

    @property
    def now(self) -> float:
        return self.owner.link.now

    def edge(self, name: str) -> Edge:
        self.edges[name] = Edge(self, name)
        return self.edges[name]

    def carry(self) -> None:
        for _ in range(100):
            for edge in self.edges.values():
                for host in edge.pulls.hosts.values():
                    is_there = host.name == "host-a" or host.name in self.edges
                    if is_there and not any(wire.host is host for wire in self.wires):
                        served, own = self._server(host.name)
                        self.wires.append(Wire(edge, host, served, own))
            is_busy = any([wire.carry() for wire in self.wires])
            if self.owner.asked:
                self.owner.asked.clear()
                self.owner.output.on_owner(HERE)
            elif not is_busy:
                return
        raise AssertionError("they never stop to talk")

    def lose(self, name: str) -> None:
        """A host is gone, with its connections."""
        del self.edges[name]
        lost = [wire for wire in self.wires if name in (wire.edge.name, wire.name)]
        self.wires = [wire for wire in self.wires if wire not in lost]
        for wire in lost:
            wire.served.left(wire.serving)
            wire.edge.pulls.on_lost(wire.host, self.now, "reset")
        self.carry()

    def put(self, name: str, *times: int) -> None:
        self.owner.put(name, *times)
        self.carry()

    def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            self.owner.link.now += 1.0
            for edge in self.edges.values():
                edge.pulls.tick(self.now)
            self.carry()

    def _server(self, name: str) -> tuple[RelayOutput, LinkGreeting]:
        if name == "host-a":
            return self.owner.output, LinkGreeting(VERSION, "farm", name, name, "host-a:1936")
        return self.edges[name].output, self.edges[name].own


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    monkeypatch.setattr(tree, "FAN_OUT", 1)
    net = Net()
    net.owner.output.left(net.owner.link.serving)  # the rig's own host
    net.owner.open()
    return net


def feeds(net: Net) -> dict[str, int]:
    """How many hosts the owner sends each rendition to."""
    return {name: found.players for name, found in net.owner.output.audience(ID).items()}


def test_a_host_passes_on_what_it_plays_and_its_owner_sends_one_copy(net: Net) -> None:
    b, c, d = map(net.edge, "bcd")
    b.play("720p")
    net.put("720p", 0, 40)
    c.play("720p")
    d.play("720p")
    net.put("720p", 80)
    assert [edge.parents for edge in (b, c, d)] == [{"host-a"}, {"b"}, {"c"}]
    assert [edge.played.times["720p"] for edge in (b, c, d)] == [[0, 40, 80]] * 3
    assert feeds(net) == {"720p": 1}
    assert d.pulls.counters["relay pulled by way of others"] == 1


def test_what_a_further_host_wants_alone_is_taken_all_the_way(net: Net) -> None:
    b, c = map(net.edge, "bc")
    b.play("720p")
    net.put("720p", 0, 40)
    net.put("360p", 0, 40)
    c.play("360p")
    net.put("360p", 80)
    assert c.played.times["360p"] == [0, 40, 80]
    assert "720p" not in c.played.times
    assert feeds(net) == {"720p": 1, "360p": 1}
    c.played.demand = frozenset()
    net.pass_s(25)
    assert feeds(net) == {"720p": 1}


def test_who_loses_the_host_that_sends_it_has_another_one_and_loses_no_picture(net: Net) -> None:
    b, c, d = map(net.edge, "bcd")
    for edge in (b, c, d):
        edge.play("720p")
    net.put("720p", 0, 40)
    net.lose("b")
    net.put("720p", 80)
    net.pass_s(3)
    assert {frozenset(edge.parents) for edge in (c, d)} in (
        {frozenset({"host-a"}), frozenset({"d"})},
        {frozenset({"host-a"}), frozenset({"c"})},
    )
    net.put("720p", 120)
    assert [edge.played.times["720p"] for edge in (c, d)] == [[0, 40, 80, 120]] * 2
    assert feeds(net) == {"720p": 1}


def test_who_plays_it_no_more_lets_go_of_those_that_took_it_there(net: Net) -> None:
    b, c = map(net.edge, "bc")
    b.play("720p")
    c.play("720p")
    net.put("720p", 0, 40)
    b.pulls.on_play_end(RemotePlayEnd(ID, "nobody plays it here any more"), net.now)
    net.carry()
    net.pass_s(2)
    net.put("720p", 80)
    assert c.parents == {"host-a"}
    assert c.played.times["720p"] == [0, 40, 80]


def test_a_host_that_knows_of_no_tree_is_let_in_beyond_the_number(net: Net) -> None:
    net.edge("b").play("720p")
    old = net.edge("c")
    old.own = LinkGreeting(1, "farm", "c", "c")
    old.pulls.configure(old.own, 10.0)
    old.play("720p")
    assert old.parents == {"host-a"}
