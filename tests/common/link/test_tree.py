"""common/link/tree.py, by hosts that only exist as messages which come in any order."""

from collections import deque
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.link.messages import Relay
from common.link.tree import (
    AGAIN_S,
    AVOID_S,
    FAN_OUT,
    MAX_HOPS,
    SOON_S,
    ParentSearch,
    instead,
    may_take,
)

OWNER = Relay("owner", "owner:1936")


def relay(number: int) -> Relay:
    return Relay(f"h{number}", f"h{number}:1936")


def test_a_ninth_host_is_told_the_eight_that_have_it_and_one_that_has_it_is_let_in_again() -> None:
    takers = [relay(number) for number in range(FAN_OUT)]
    assert instead("h8", takers[:-1]) == ()
    assert list(instead("h8", takers)) == takers
    assert instead("h3", takers) == ()
    assert instead("h8", [Relay(each.host, "") for each in takers]) == []  # none can be asked


@pytest.mark.parametrize(
    ("path", "may"),
    [
        (("owner",), True),
        (("owner", "h1"), True),
        (("owner", "me", "h1"), False),
        (("owner", *"abcdef"), False),
        ((), True),
    ],
)
def test_what_came_by_this_host_or_by_too_many_is_not_taken(
    path: tuple[str, ...], may: bool
) -> None:
    assert may_take("me", path) is may


def test_nearer_hosts_are_asked_before_those_that_they_name() -> None:
    search = ParentSearch("me", OWNER, Random(1))
    assert search.parent == OWNER
    first = search.refused([relay(1), relay(2)], 0.0)
    assert first in (relay(1), relay(2))
    second = search.refused([relay(3), relay(4), OWNER, Relay("me", "x")], 0.0)
    assert {first, second} == {relay(1), relay(2)}
    third = search.refused([], 0.0)
    assert third in (relay(3), relay(4))
    search.refused([relay(1)], 0.0)
    assert search.refused([], 0.0) is None  # all were asked
    assert search.tick(SOON_S / 2) is None
    assert search.wait_s(SOON_S / 2) == SOON_S / 2
    assert search.tick(SOON_S) == OWNER
    waits = []
    for _ in range(6):
        assert search.refused((), 0.0) is None
        waits.append(search.wait_s(0.0))
        assert search.tick(AGAIN_S) == OWNER
    assert waits == [0.2, 0.4, 0.8, AGAIN_S, AGAIN_S, AGAIN_S]


def test_a_parent_that_was_lost_is_not_asked_again_for_a_while() -> None:
    search = ParentSearch("me", OWNER, Random(1))
    search.refused([relay(1)], 0.0)
    assert search.lost(5.0) == OWNER
    assert search.refused([relay(1)], 5.0) is None
    assert search.tick(5.0 + AVOID_S) == OWNER
    assert search.refused([relay(1)], 5.0 + AVOID_S) == relay(1)
    search = ParentSearch("me", OWNER)
    assert search.lost(0.0) == OWNER  # who has it is tried again


class Node:
    """A host that plays the stream, or its owner."""

    def __init__(self, own: Relay, random: Random) -> None:
        self.own = own
        self.path: tuple[str, ...] | None = ("owner",) if own == OWNER else None
        self.takers: dict[str, Relay] = {}
        self.search = ParentSearch(own.host, OWNER, random) if own != OWNER else None


class Net:
    """Hosts, and messages between them: of each pair in order, of all in any."""

    def __init__(self, random: Random) -> None:
        self.random, self.now = random, 0.0
        self.nodes = {"owner": Node(OWNER, random)}
        self.ways: dict[tuple[str, str], deque[tuple[str, object]]] = {}

    def say(self, sender: str, to: str, what: str, value: object = None) -> None:
        self.ways.setdefault((sender, to), deque()).append((what, value))

    def join(self, number: int) -> None:
        name = relay(number).host
        if name not in self.nodes:
            self.nodes[name] = Node(relay(number), self.random)
            self.ask(self.nodes[name])

    def ask(self, node: Node) -> None:
        assert node.search is not None
        if node.search.parent is not None:
            self.say(node.own.host, node.search.parent.host, "want")

    def release(self, node: Node) -> None:
        for host in node.takers:
            self.say(node.own.host, host, "instead", ())
        node.takers.clear()

    def end(self, name: str) -> None:
        """It leaves, or is lost: its connections break."""
        if self.nodes.pop(name, None) is None:
            return
        for way in [way for way in self.ways if name in way]:
            del self.ways[way]
        for host in tuple(self.nodes):
            self.broken(host, name)

    def cut(self, one: str, other: str) -> None:
        for way in ((one, other), (other, one)):
            self.ways.pop(way, None)
        self.broken(one, other)
        self.broken(other, one)

    def broken(self, host: str, other: str) -> None:
        node = self.nodes.get(host)
        if node is None:
            return
        node.takers.pop(other, None)
        search = node.search
        if search is not None and search.parent is not None and search.parent.host == other:
            node.path = None
            self.release(node)
            search.lost(self.now)
            self.ask(node)

    def deliver(self) -> bool:
        ways = [way for way, waiting in self.ways.items() if waiting]
        if not ways:
            return False
        sender, to = self.random.choice(sorted(ways))
        what, value = self.ways[sender, to].popleft()
        node = self.nodes.get(to)
        if node is None:
            self.broken(sender, to)
        elif what == "want":
            self.on_want(node, sender)
        elif what == "unwanted":
            node.takers.pop(sender, None)
        elif node.search is not None and node.search.parent == self.relay_of(sender):
            self.on_answer(node, sender, what, value)
        elif what == "opened":
            self.say(to, sender, "unwanted")
        self.check()
        return True

    def relay_of(self, name: str) -> Relay:
        return OWNER if name == "owner" else Relay(name, f"{name}:1936")

    def on_want(self, node: Node, sender: str) -> None:
        others = instead(sender, node.takers.values())
        if node.path is None or others:
            self.say(node.own.host, sender, "instead", tuple(others) if node.path else ())
            return
        node.takers[sender] = self.relay_of(sender)
        self.say(node.own.host, sender, "opened", node.path)

    def on_answer(self, node: Node, sender: str, what: str, value: object) -> None:
        assert node.search is not None
        if what == "opened":
            assert isinstance(value, tuple)
            if may_take(node.own.host, value):
                node.path = (*value, node.own.host)
                return
            self.say(node.own.host, sender, "unwanted")
            value = ()
        if what in ("opened", "instead"):
            was_sent, node.path = node.path is not None, None
            self.release(node)
            if was_sent and not node.search.is_at_owner:
                node.search.released()
                self.ask(node)
                return
            node.search.refused(value, self.now)  # type: ignore[arg-type]  # they are relays
            self.ask(node)

    def tick(self) -> None:
        self.now += AGAIN_S
        for node in tuple(self.nodes.values()):
            if node.search is not None and node.search.tick(self.now) is not None:
                self.ask(node)

    def check(self) -> None:
        """What holds at any time: nobody sends to more, and no branch ends in itself."""
        for node in self.nodes.values():
            assert len(node.takers) <= FAN_OUT
            if node.path is not None:
                assert node.own.host not in node.path[:-1]
                assert len(node.path) <= MAX_HOPS + 1

    def check_tree(self) -> None:
        """What holds when all is quiet: everybody has it, by a way of such links."""
        for node in self.nodes.values():
            assert node.path is not None
            assert node.path[0] == "owner"
            for before, after in pairwise(node.path):
                assert after in self.nodes[before].takers

    def settle(self) -> None:
        for _ in range(60):
            while self.deliver():
                pass
            self.tick()
        while self.deliver():
            pass


def test_thirty_hosts_that_come_one_after_another_are_two_links_away_at_most() -> None:
    net = Net(Random(7))
    for number in range(30):
        net.join(number)
        while net.deliver():
            pass
    hops = sorted(len(node.path or ()) - 1 for node in net.nodes.values())
    assert hops == [0] + [1] * FAN_OUT + [2] * (30 - FAN_OUT)
    assert len(net.nodes["owner"].takers) == FAN_OUT


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(("join", "join", "end", "cut")), st.integers(0, 29)), max_size=120
)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS, st.integers(0, 1 << 30))
def test_whoever_comes_and_goes_it_becomes_a_tree_again(
    operations: list[tuple[str, int]], seed: int
) -> None:
    random = Random(seed)
    net = Net(random)
    for what, number in operations:
        name = relay(number).host
        if what == "join":
            net.join(number)
        elif what == "end":
            net.end(name)
        elif name in net.nodes and (search := net.nodes[name].search) and search.parent:
            net.cut(name, search.parent.host)
        for _ in range(random.randrange(6)):
            net.deliver()
        if random.random() < 0.1:
            net.tick()
    net.settle()
    net.check_tree()
    assert max(len(node.path or ()) for node in net.nodes.values()) <= MAX_HOPS
