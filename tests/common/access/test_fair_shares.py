"""common/access/fair_shares.py: where all places are taken, each address gets its share."""

from collections import Counter
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.fair_shares import FairShares
from common.access.peer_address import Networks

HOSTS = [f"192.0.2.{number}" for number in range(6)]
EXEMPT = "198.51.100.7"


def shares(**held: int) -> FairShares[str]:
    """So many places of each, by the last part of its address."""
    return FairShares(
        (
            (f"192.0.2.{name[1:]}", f"{name} {number}")
            for name, many in held.items()
            for number in range(many)
        ),
        Networks((f"{EXEMPT}/32",)),
    )


@pytest.mark.parametrize(
    ("host", "held", "gives"),
    [
        ("192.0.2.1", {"a0": 3}, "a0 0"),  # the oldest is the first of those
        ("192.0.2.1", {"a0": 2}, "a0 0"),
        ("192.0.2.1", {"a0": 1}, ""),  # nobody has more than he would have
        ("192.0.2.1", {"a0": 3, "a1": 1}, "a0 0"),
        ("192.0.2.1", {"a0": 3, "a1": 2}, ""),
        ("192.0.2.0", {"a0": 3}, ""),  # who has the most gets no more
        ("192.0.2.2", {"a0": 2, "a1": 9}, "a1 0"),
        (EXEMPT, {"a0": 2}, "a0 0"),
        (EXEMPT, {}, ""),
    ],
)
def test_who_has_most_gives_one_to_who_has_two_fewer(
    host: str, held: dict[str, int], gives: str
) -> None:
    assert next(iter(shares(**held).give_way(host)), "") == gives


def test_exempt_networks_give_nothing() -> None:
    made = FairShares([(EXEMPT, number) for number in range(9)], Networks((f"{EXEMPT}/32",)))
    made.add(HOSTS[0], 10)
    made.add(HOSTS[0], 11)
    assert list(made.give_way(HOSTS[1])) == [10, 11]


def test_all_of_a_subscribers_network_is_one_address() -> None:
    made = FairShares([(f"2001:db8::{number}", number) for number in range(1, 5)])
    assert list(made.give_way("2001:db8:0:1::1")) == [1, 2, 3, 4]
    assert list(made.give_way("2001:db8::99")) == []


@given(st.lists(st.sampled_from(HOSTS), max_size=150), st.integers(1, 12))
def test_however_they_come_none_has_far_more_than_another_was_refused_at(
    hosts: list[str], places: int
) -> None:
    made: FairShares[int] = FairShares()
    held: dict[int, str] = {}
    for number, host in zip(count(), hosts, strict=False):
        if len(held) == places:
            giving = made.give_way(host)
            counts = Counter(held.values())
            if not giving:
                assert max(counts.values()) - counts[host] <= 1, "he has his share"
                continue
            gone = next(iter(giving))
            assert counts[held[gone]] == max(counts.values()), "it is of who has the most"
            made.remove(held.pop(gone), gone)
        made.add(host, number)
        held[number] = host
    assert len(held) == min(places, len(hosts))
