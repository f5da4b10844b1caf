"""common/access/address_limits.py: the limit per address, of one process and of several."""

from common.access.address_limits import AddressBook, Holders
from common.access.peer_address import Networks

HOST, SAME_SUBSCRIBER, OTHER = "2001:db8:1:2::5", "2001:db8:1:2::6", "198.51.100.4"
NEAR = "127.0.0.1"
EXEMPT = Networks(["127.0.0.0/8"])


def book_of(max_players: int = 2) -> AddressBook:
    book = AddressBook()
    book.configure(max_players, 0, EXEMPT)
    return book


def test_a_player_beyond_the_limit_is_one_too_many_until_another_goes() -> None:
    book = book_of()
    for host in (HOST, SAME_SUBSCRIBER):
        book.connections.here.add(host)
        assert not book.connections.is_exceeded(host)
    book.connections.here.add(HOST)
    assert book.connections.is_exceeded(HOST)
    assert not book.connections.is_exceeded(OTHER)
    book.connections.here.remove(SAME_SUBSCRIBER)
    assert not book.connections.is_exceeded(HOST)


def test_players_at_other_egresses_count() -> None:
    book = book_of()
    book.set_elsewhere({"2001:db8:1:2::/64": (2, 0), OTHER: (1, 0)})
    book.connections.here.add(HOST)
    assert book.connections.is_exceeded(HOST)
    book.connections.here.add(OTHER)
    assert not book.connections.is_exceeded(OTHER)
    book.set_elsewhere({})
    assert not book.connections.is_exceeded(HOST)


def test_exempt_networks_have_no_limit_and_are_not_told() -> None:
    book = book_of()
    for _ in range(5):
        book.connections.here.add(NEAR)
    book.connections.here.add(HOST)
    assert not book.connections.is_exceeded(NEAR)
    assert book.usage() == {"2001:db8:1:2::/64": (1, 0)}


def test_new_settings_hold_at_once() -> None:
    book = book_of()
    book.connections.here.add(OTHER)
    book.configure(0, 0, EXEMPT)
    assert book.connections.is_exceeded(OTHER)


def test_one_more_is_refused_once_the_limit_is_reached() -> None:
    limit = book_of(1).connections
    assert not limit.is_reached(HOST)
    limit.here.add(HOST)
    assert limit.is_reached(SAME_SUBSCRIBER)
    assert not limit.is_reached(HOST, given_up=1), "one ends for it"
    assert not limit.is_reached(OTHER)
    limit.set_elsewhere({OTHER: 1})
    assert limit.is_reached(OTHER)
    assert not limit.is_reached(OTHER, counts_elsewhere=False)
    assert not limit.is_reached(NEAR)


def test_connections_and_publishers_are_counted_apart() -> None:
    book = book_of()
    book.connections.here.add(OTHER)
    book.publishers.here.add(HOST)
    assert book.usage() == {OTHER: (1, 0), "2001:db8:1:2::/64": (0, 1)}


def test_holders_are_forgotten_with_what_they_counts() -> None:
    holders = Holders()
    holders.add("2001:db8::1")
    holders.add("2001:db8::2")
    assert holders["2001:db8::3"] == 2
    holders.remove("2001:db8::1")
    holders.remove("2001:db8::1")
    assert holders["2001:db8::1"] == 0
    assert not holders._counts
