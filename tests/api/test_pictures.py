"""The small pictures that were asked for lately."""

from hypothesis import given
from hypothesis import strategies as st

from api.pictures import FRESH_S, OLD_S, Pictures


def test_a_picture_is_given_until_it_is_old() -> None:
    pictures = Pictures()
    pictures.put("live/a", b"jpeg", 10.0)
    fresh = pictures.get("live/a", 10.0 + FRESH_S - 0.1, FRESH_S)
    assert fresh is not None
    assert fresh.jpeg == b"jpeg"
    assert pictures.get("live/a", 10.0 + FRESH_S, FRESH_S) is None
    assert pictures.get("live/a", 10.0 + OLD_S - 0.1) is not None
    assert pictures.get("live/a", 10.0 + OLD_S) is None
    assert pictures.get("live/b", 10.0) is None


def test_old_ones_are_forgotten_when_another_comes() -> None:
    pictures = Pictures()
    pictures.put("live/a", b"1", 0.0)
    pictures.put("live/b", b"2", OLD_S)
    assert len(pictures) == 1


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 30)), max_size=40),
)
def test_they_are_bounded_and_the_last_one_is_there(puts: list[tuple[str, int]]) -> None:
    pictures = Pictures(max_bytes=50)
    last: dict[str, int] = {}
    for now, (name, size) in enumerate(puts):
        pictures.put(name, b"x" * size, now / 100)
        last[name] = size
        held = {n: p for n in last if (p := pictures.get(n, now / 100)) is not None}
        assert sum(len(picture.jpeg) for picture in held.values()) <= 50
        assert all(len(picture.jpeg) == last[n] for n, picture in held.items())
        assert name in held
