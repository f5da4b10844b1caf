"""common/access/used_urls.py: a URL for one use is used once."""

from hypothesis import given
from hypothesis import strategies as st

from common.access.used_urls import UsedUrls


def test_one_use_is_one() -> None:
    used = UsedUrls()
    assert used.use("a", 100, 0)
    assert not used.use("a", 100, 0)
    assert not used.use("a", 100, 100), "it is good until then, and that long it is remembered"
    assert used.use("b", 100, 0)


def test_what_may_be_used_again_is_not_remembered() -> None:
    used = UsedUrls()
    assert used.use("", 100, 0)
    assert used.use("", 100, 0)
    assert len(used) == 0


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


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefg"), st.integers(0, 20), st.integers(0, 5)), max_size=60
    )
)
def test_nothing_is_used_twice_while_it_is_good_and_memory_is_bounded(steps) -> None:
    used, now = UsedUrls(most=4), 0
    good: dict[str, int] = {}
    for name, life, passes in steps:
        now += passes
        name = f"{name}{life}"
        if used.use(name, now + life, now):
            assert good.get(name, -1) < now
            good[name] = now + life
        assert len(used) <= 4
