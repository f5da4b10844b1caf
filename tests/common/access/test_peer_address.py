"""common/access/peer_address.py: who counts as one peer, who is exempt."""

import pytest

from common.access.peer_address import Networks, host_of, subscriber


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("gone", "gone"),
    ],
)
def test_a_subscriber_is_one_address_or_one_network(host: str, peer: str) -> None:
    assert subscriber(host) == peer


@pytest.mark.parametrize(
    ("peer", "host"),
    [("203.0.113.7:5000", "203.0.113.7"), ("[2001:db8::1]:5000", "2001:db8::1"), ("", "")],
)
def test_a_peer_is_its_host_and_port(peer: str, host: str) -> None:
    assert host_of(peer) == host


def test_networks_hold_their_addresses_however_these_are_written() -> None:
    networks = Networks(["127.0.0.1/32", "10.1.2.3/8", "2001:db8::/48"])
    for host in ("127.0.0.1", "::ffff:127.0.0.1", "10.255.0.1", "2001:db8:0:9::1"):
        assert host in networks
    for host in ("127.0.0.2", "11.0.0.1", "2001:db8:1::1", "gone", ""):
        assert host not in networks
    assert "127.0.0.1" not in Networks([])


def test_a_text_that_is_no_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Networks(["nonsense"])
