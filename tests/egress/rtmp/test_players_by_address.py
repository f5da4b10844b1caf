"""egress/rtmp/players_by_address.py: the limit per address, of one egress and of several."""

from dataclasses import replace

from common.config.settings import EgressSettings, IngestSettings, Settings
from egress.rtmp.players_by_address import PlayersByAddress

HOST, SAME_SUBSCRIBER, OTHER = "2001:db8:1:2::5", "2001:db8:1:2::6", "198.51.100.4"
NEAR = "127.0.0.1"
SETTINGS = Settings(
    egress=EgressSettings(max_players_per_address=2),
    ingest=IngestSettings(exempt_networks=("127.0.0.0/8",)),
)


def test_a_player_beyond_the_limit_is_one_too_many_until_another_goes() -> None:
    book = PlayersByAddress(SETTINGS)
    for host in (HOST, SAME_SUBSCRIBER):
        book.add(host)
        assert not book.are_too_many(host)
    book.add(HOST)
    assert book.are_too_many(HOST)
    assert not book.are_too_many(OTHER)
    book.remove(SAME_SUBSCRIBER)
    assert not book.are_too_many(HOST)


def test_players_at_other_egresses_count() -> None:
    book = PlayersByAddress(SETTINGS)
    book.told_elsewhere({"2001:db8:1:2::/64": (2, 0), OTHER: (1, 0)})
    book.add(HOST)
    assert book.are_too_many(HOST)
    book.add(OTHER)
    assert not book.are_too_many(OTHER)
    book.told_elsewhere({})
    assert not book.are_too_many(HOST)


def test_exempt_networks_have_no_limit_and_are_not_told() -> None:
    book = PlayersByAddress(SETTINGS)
    for _ in range(5):
        book.add(NEAR)
    book.add(HOST)
    assert not book.are_too_many(NEAR)
    assert book.held() == {"2001:db8:1:2::/64": (1, 0)}


def test_new_settings_hold_at_once() -> None:
    book = PlayersByAddress(SETTINGS)
    book.add(OTHER)
    book.configure(replace(SETTINGS, egress=EgressSettings(max_players_per_address=0)))
    assert book.are_too_many(OTHER)
