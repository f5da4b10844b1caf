"""Whom an operator keeps out, looked up by address and by stream."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.bans import Ban, Bans, target_of
from common.access.refusal import RefusalReason


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("203.0.113.7", ("203.0.113.7/32", "")),
        ("203.0.113.7/24", ("203.0.113.0/24", "")),
        ("2001:db8::1", ("2001:db8::/64", "")),
        ("[2001:db8::1]", ("2001:db8::/64", "")),
        ("2001:db8::1/128", ("2001:db8::1/128", "")),
        ("::ffff:203.0.113.7", ("203.0.113.7/32", "")),
        ("live/cam1", ("", "live/cam1")),
        ("10/8", ("", "10/8")),
    ],
)
def test_an_operator_names_an_address_a_network_or_a_stream(
    text: str, target: tuple[str, str]
) -> None:
    assert target_of(text) == target


@pytest.mark.parametrize("text", ["", "cam1", "live/", "/cam1", "203.0.113", "example.org"])
def test_what_is_none_of_these_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address, a network or APP/KEY"):
        target_of(text)


class Around:
    def __init__(self, *bans: Ban) -> None:
        self.now = 1000.0
        self.bans = Bans(lambda: self.now)
        self.bans.replace(bans)

    def words(self, host: str, stream: str = "") -> str:
        refusal = self.bans.refusal(host, stream)
        assert refusal is None or refusal.reason is RefusalReason.BANNED
        return refusal.words if refusal is not None else ""


def test_a_ban_is_told_with_its_time_and_its_reason_to_the_operator_alone() -> None:
    around = Around(Ban("203.0.113.0/24", until_unix=1060.0, reason="a flood"))
    assert around.words("203.0.113.9") == "this address is banned by the operator for 1 min more"
    refusal = around.bans.refusal("203.0.113.9")
    assert refusal is not None
    assert refusal.for_log.endswith("(ban of 203.0.113.0/24: a flood)")
    assert not around.words("203.0.114.9")
    around.now = 1060.0
    assert not around.words("203.0.113.9")


def test_a_stream_is_banned_wherever_it_comes_from() -> None:
    around = Around(Ban(stream="live/cam1"))
    assert around.words("203.0.113.9", "live/cam1") == "this stream is banned by the operator"
    assert not around.words("203.0.113.9", "live/cam2")
    assert not around.words("203.0.113.9")


def test_a_wider_ban_holds_when_a_narrower_one_is_over() -> None:
    around = Around(Ban("203.0.113.7/32", until_unix=1010.0), Ban("203.0.113.0/24"))
    assert "for 10 s more" in around.words("203.0.113.7")
    around.now = 1020.0
    assert around.words("203.0.113.7") == "this address is banned by the operator"


def test_what_cannot_be_read_bans_nobody_and_another_list_takes_its_place() -> None:
    around = Around(Ban("nonsense"), Ban("203.0.113.7/32"))
    assert around.words("203.0.113.7")
    assert not around.words("no address")
    around.bans.replace(())
    assert not around.bans
    assert not around.words("203.0.113.7")
    assert around.bans.version == 2


V4 = st.integers(0xCB007100, 0xCB0071FF).map(lambda n: str(ip_address(n)))
V6 = st.integers(0, 0xFFFF).map(lambda n: str(ip_address((0x20010DB8 << 96) + (n << 56) + n)))


@given(st.lists(st.tuples(st.one_of(V4, V6), st.integers(20, 32)), max_size=6), st.one_of(V4, V6))
def test_an_address_is_banned_exactly_if_a_network_has_it(
    bans: list[tuple[str, int]], host: str
) -> None:
    networks = [
        ip_network((one, prefix if "." in one else 2 * prefix), strict=False)
        for one, prefix in bans
    ]
    around = Around(*(Ban(str(network)) for network in networks))
    address = ip_address(host)
    assert bool(around.words(host)) is any(address in network for network in networks)
