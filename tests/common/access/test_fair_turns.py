"""Whose input is read next, in virtual time: a host that reads as fast as it may."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.fair_turns import (
    BURST_S,
    LITTLE_S,
    MAX_WAIT_S,
    REFUSED_S,
    Account,
    Budget,
    FairTurns,
)
from common.access.peer_address import Networks

EACH = Budget(cpu_s=0.08, size=200_000)
READ_S = 0.001
READ_BYTES = 400
SHARE = 0.4
TURN_S = 0.003


class Host:
    """Reads in turns of a loop; who floods always has more, others have some reads to be done."""

    def __init__(self, share: float = SHARE, each: Budget = EACH) -> None:
        self.now = 100.0
        self.turns: FairTurns[str] = FairTurns(share, each, self.now)
        self.accounts: dict[str, Account[str]] = {}
        self.left: dict[str, float] = {}  # reads that a connection has to be done
        self.used_s: dict[str, float] = {}
        self.done_s: dict[str, float] = {}
        self.read_s = READ_S
        self.read_bytes = READ_BYTES
        self.refused: list[str] = []
        self._checked_s = self.now

    def connect(self, host: str, reads: float = float("inf"), name: str = "") -> None:
        name = name or host
        self.left[name] = reads
        self.accounts[name] = self.turns.open(host, self.now)
        self.turns.add(self.accounts[name], name, self.now)

    def run(self, seconds: float) -> None:
        until_s = self.now + seconds
        while self.now < until_s:
            if self.now - self._checked_s >= 1.0:
                self._checked_s = self.now
                self.refused += self.turns.refuse_flooding(self.now)
            ends_s = self.now + TURN_S
            while self.now < ends_s and (found := self.turns.next(self.now)) is not None:
                account, name = found
                self.now += self.read_s
                self.used_s[name] = self.used_s.get(name, 0.0) + self.read_s
                self.turns.spent(account, self.read_s, self.read_bytes)
                self.left[name] -= 1
                if self.left[name] > 0:
                    self.turns.add(account, name, self.now)
                else:
                    self.done_s[name] = self.now
            wait_s = self.turns.wait_s(self.now)
            self.now += min(0.01 if wait_s is None else max(wait_s, 0.001), 0.01)


def test_an_address_gets_its_budget_and_no_more():
    host = Host()
    host.connect("192.0.2.1")
    host.run(10.0)
    assert host.used_s["192.0.2.1"] == pytest.approx(EACH.cpu_s * (10.0 + BURST_S), rel=0.1)


def test_bytes_count_as_well_as_time():
    host = Host(each=Budget(cpu_s=100.0, size=200_000))
    host.read_bytes = 4096
    host.connect("192.0.2.1")
    host.run(10.0)
    reads = host.used_s["192.0.2.1"] / READ_S
    assert reads * host.read_bytes == pytest.approx(200_000 * (10.0 + BURST_S), rel=0.1)


def test_many_connections_of_one_address_have_one_budget():
    host = Host()
    for index in range(60):
        host.connect("192.0.2.1", name=f"c{index}")
    host.run(10.0)
    assert sum(host.used_s.values()) == pytest.approx(EACH.cpu_s * (10.0 + BURST_S), rel=0.1)
    assert max(host.used_s.values()) < 2 * min(host.used_s.values())


def test_an_ipv6_network_is_one_address():
    host = Host()
    for index in range(60):
        host.connect(f"2001:db8::{index:x}")
    host.run(10.0)
    assert sum(host.used_s.values()) == pytest.approx(EACH.cpu_s * (10.0 + BURST_S), rel=0.1)


def test_all_addresses_together_have_their_part_of_a_core():
    host = Host()
    for index in range(50):
        host.connect(f"192.0.2.{index}")
    host.run(10.0)
    assert sum(host.used_s.values()) == pytest.approx(SHARE * 10.0, rel=0.1)


@pytest.mark.parametrize("attackers", [1, 50, 200])
@pytest.mark.parametrize("connections", [1, 20])
def test_a_client_that_comes_goes_before_those_that_have_used_much(attackers, connections):
    host = Host()
    for index in range(attackers):
        for number in range(connections):
            host.connect(f"198.51.{index // 200}.{index % 200}", name=f"a{index}.{number}")
    host.run(20.0)
    came_s = host.now
    host.connect("192.0.2.1", reads=4)
    host.run(2.0)
    assert host.done_s["192.0.2.1"] - came_s < 0.1


def test_a_client_that_comes_with_a_herd_of_new_addresses_waits_for_a_turn_of_each():
    host = Host()
    for index in range(50):
        host.connect(f"198.51.100.{index}")
    host.connect("192.0.2.1", reads=4)
    came_s = host.now
    host.run(2.0)
    assert host.done_s["192.0.2.1"] - came_s < 0.7


def test_exempt_networks_have_the_part_of_all_and_no_budget_of_their_own():
    host = Host()
    host.turns.configure(EACH, Networks(["127.0.0.0/8", "2001:db8::/32"]))
    for address in ("127.0.0.1", "2001:db8::1"):
        host.connect(address)
    host.run(10.0)
    assert sum(host.used_s.values()) == pytest.approx(SHARE * 10.0, rel=0.1)
    assert not host.refused


def test_two_thousand_players_behind_one_address_all_get_in():
    """Limits by address are configured: 400 handshakes a second."""
    host = Host(each=Budget(cpu_s=0.004 * 400, size=10 * 1024 * 400))
    for index in range(2_300):
        host.connect("192.0.2.1", reads=3, name=f"c{index}")
    host.read_s = 0.0003
    host.run(2_300 * 3 * host.read_s / SHARE + 1.0)
    assert len(host.done_s) == 2_300
    assert not host.refused


def test_who_floods_is_refused_for_a_while_and_may_then_come_again():
    host = Host()
    host.connect("192.0.2.1")
    host.connect("192.0.2.2", reads=20)
    host.run(MAX_WAIT_S + BURST_S + 1.5)
    assert host.refused == ["192.0.2.1"]
    assert host.turns.is_refused("192.0.2.1", host.now)
    assert not host.turns.is_refused("192.0.2.2", host.now)
    host.turns.close(host.accounts["192.0.2.1"], "192.0.2.1")
    host.run(REFUSED_S)
    assert not host.turns.is_refused("192.0.2.1", host.now)


def test_one_that_pauses_is_slowed_and_never_refused():
    """An address whose clients come in a herd now and then."""
    host = Host()
    for minute in range(5):
        for index in range(100):
            host.connect("192.0.2.1", reads=3, name=f"{minute}.{index}")
        host.run(30.0)
    assert not host.refused
    assert len(host.done_s) == 500


def test_nothing_is_remembered_of_addresses_that_have_left():
    host = Host()
    for index in range(100):
        name = f"198.51.100.{index}"
        host.connect(name, reads=2)
    host.run(5.0)
    for name, account in host.accounts.items():
        host.turns.close(account, name)
    host.run(5.0)
    assert len(host.turns) == 0


def test_a_connection_that_was_closed_is_not_read():
    turns: FairTurns[str] = FairTurns(SHARE, EACH, 0.0)
    account = turns.open("192.0.2.1", 0.0)
    turns.add(account, "a", 0.0)
    turns.close(account, "a")
    assert turns.next(0.1) is None
    again = turns.open("192.0.2.1", 0.1)
    turns.add(again, "b", 0.1)
    assert turns.next(0.1) == (again, "b")
    assert turns.next(0.1) is None


def test_a_budget_is_something():
    with pytest.raises(ValueError, match="nothing"):
        Budget(0.0, 1.0)
    assert EACH.cpu_s * BURST_S > LITTLE_S


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=60))
def test_whatever_comes_each_connection_is_given_once_for_each_time_it_was_added(steps):
    turns: FairTurns[int] = FairTurns(1000.0, Budget(1000.0, 1e9), 0.0)
    rng = random.Random(7)
    now, ready, accounts, number = 0.0, {}, {}, 0
    for address, count, closes in steps:
        now += 0.01
        for _ in range(count):
            number += 1
            accounts[number] = turns.open(f"192.0.2.{address}", now)
            turns.add(accounts[number], number, now)
            ready[number] = True
        if closes and ready:
            gone = rng.choice(sorted(ready))
            del ready[gone]
            turns.close(accounts[gone], gone)
        if rng.random() < 0.5 and (found := turns.next(now)) is not None:
            del ready[found[1]]
            turns.spent(found[0], 0.001, 10)
    while (found := turns.next(now)) is not None:
        del ready[found[1]]
    assert not ready
    assert turns.wait_s(now) is None
