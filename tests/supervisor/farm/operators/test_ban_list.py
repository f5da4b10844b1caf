"""The operator's list of who is kept out."""

from common.access.bans import Ban
from supervisor.farm.operators.ban_list import MAX_BANS, BanList, ban_documents


def test_a_ban_holds_for_its_time_or_until_it_is_taken_back() -> None:
    bans = BanList()
    assert bans.add(Ban("203.0.113.7/32", until_unix=160.0, since_unix=100.0), 100.0)
    assert bans.add(Ban(stream="live/a", since_unix=90.0), 100.0)
    assert [ban.target for ban in bans.current(159.0)] == ["live/a", "203.0.113.7/32"]
    assert [ban.target for ban in bans.current(160.0)] == ["live/a"]
    assert not bans.remove("203.0.113.7/32", 160.0)
    assert bans.remove("live/a", 160.0)
    assert bans.current(160.0) == ()


def test_another_time_for_the_same_one_takes_the_place_of_the_first() -> None:
    bans = BanList()
    bans.add(Ban("203.0.113.7/32", until_unix=160.0), 100.0)
    bans.add(Ban("203.0.113.7/32", until_unix=500.0, reason="again"), 101.0)
    assert [ban.reason for ban in bans.current(200.0)] == ["again"]


def test_there_are_never_too_many_and_the_ones_that_are_over_make_room() -> None:
    bans = BanList()
    for number in range(MAX_BANS):
        assert bans.add(Ban(stream=f"live/{number}", until_unix=200.0), 100.0)
    assert not bans.add(Ban(stream="live/more"), 100.0)
    assert bans.add(Ban(stream="live/0", until_unix=300.0), 100.0), "it is there already"
    assert bans.add(Ban(stream="live/more"), 200.0)
    assert len(bans.all()) == 2


def test_what_an_earlier_supervisor_had_is_taken_over() -> None:
    bans = BanList()
    bans.load([Ban("203.0.113.7/32"), Ban(), Ban(stream="live/a", until_unix=50.0)])
    assert [ban.target for ban in bans.current(100.0)] == ["203.0.113.7/32"]


def test_documents_say_when_it_ends() -> None:
    found = ban_documents([Ban("203.0.113.7/32", until_unix=160.0, by="uid 0"), Ban(stream="a/b")])
    assert [ban["until_unix"] for ban in found] == [160.0, None]
    assert [ban["target"] for ban in found] == ["203.0.113.7/32", "a/b"]
