"""common/access/used_urls.py: a URL for one use is used once."""

from hypothesis import given
from hypothesis import strategies as st

from common.access.used_urls import Claims, UsedUrls, Uses, digest_of_use


def test_one_use_is_one() -> None:
    used = UsedUrls()
    assert used.use("a", 100, 0)
    assert not used.use("a", 100, 0)
    assert not used.use("a", 100, 100), "it is good until then, and that long it is remembered"
    assert used.use("b", 100, 0)


def test_what_is_over_takes_no_memory() -> None:
    used = UsedUrls()
    for number in range(50):
        used.use(str(number), number, 0)
    assert used.use("new", 100, 30)
    assert len(used) == 21


def test_without_room_nothing_is_let_in_twice() -> None:
    used = UsedUrls(most=2)
    assert used.use("a", 50, 0)
    assert used.use("b", 60, 0)
    assert not used.use("c", 100, 0)
    assert not used.use("a", 50, 0)
    assert used.use("c", 100, 51), "the first is over"
    assert not used.use("b", 60, 51)


def test_what_was_given_back_and_used_again_is_remembered_for_its_time() -> None:
    used = UsedUrls()
    used.use("a", 50, 0)
    used.release("a")
    assert used.use("a", 90, 0)
    used.forget_old(60)
    assert not used.use("a", 90, 60)
    assert used.all() == (("a", 90),)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefg"), st.integers(0, 20), st.integers(0, 5), st.booleans()),
        max_size=60,
    )
)
def test_nothing_is_used_twice_while_it_is_good_and_memory_is_bounded(steps) -> None:
    used, now = UsedUrls(most=4), 0
    good: dict[str, int] = {}
    for name, life, passes, is_released in steps:
        now += passes
        if is_released:
            used.release(name)
            good.pop(name, None)
        elif used.use(name, now + life, now):
            assert good.get(name, -1) < now
            good[name] = now + life
        assert len(used) <= 4


def claims() -> tuple[Claims, list[Uses]]:
    reported: list[Uses] = []
    return Claims(reported.append), reported


def test_a_use_is_reported_once_its_claimant_is_let_in() -> None:
    found, reported = claims()
    assert found.claim("me", "url", 100, 0)
    assert not found.claim("you", "url", 100, 0)
    assert reported == []
    found.keep("me")
    found.keep("me")
    assert reported == [((digest_of_use("url"), 100),)]
    found.release("me")
    assert not found.claim("you", "url", 100, 0)


def test_who_is_refused_gives_it_back() -> None:
    found, reported = claims()
    assert found.claim("me", "url", 100, 0)
    found.release("me")
    found.release("me")
    assert found.claim("you", "url", 100, 0)
    assert reported == []


def test_who_claims_another_gives_the_first_back() -> None:
    found, _ = claims()
    assert found.claim("me", "a", 100, 0)
    assert found.claim("me", "b", 100, 0)
    assert found.claim("you", "a", 100, 0)


def test_what_was_used_elsewhere_is_used_here() -> None:
    found, _ = claims()
    found.add(((digest_of_use("url"), 100),), 0)
    found.add(((digest_of_use("url"), 100), ("b", 1)), 50)
    assert not found.claim("me", "url", 100, 50)


def test_what_may_be_used_again_is_not_remembered() -> None:
    found, reported = claims()
    assert found.claim("me", "", 100, 0)
    assert found.claim("you", "", 100, 0)
    found.keep("me")
    assert len(found) == 0
    assert reported == []


def test_nothing_of_the_url_stands_in_what_is_reported() -> None:
    assert "cam1" not in digest_of_use("play live/cam1 k1.1.oabcdefgh")
