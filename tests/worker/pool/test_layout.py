"""Where pictures lie in a pool."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pool.layout import MAX_PICTURES, PICTURES, Places, lay_out, problem

SIDES = st.integers(1, 1200).map(lambda half: 2 * half)
SIZES = st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=6)


@given(SIZES, st.integers(1, 12))
def test_places_follow_one_another_and_fill_the_pool(
    sizes: list[tuple[int, int]], pictures: int
) -> None:
    layout = lay_out(sizes, pictures)
    at = 0
    for (width, height), places in zip(sizes, layout.renditions, strict=True):
        assert (places.width, places.height) == (width, height)
        assert width <= places.pitch < width + 256
        assert places.pitch % 256 == 0
        for slot in range(pictures):
            assert places.at(slot) == at
            at += places.pitch * height * 3 // 2
    assert at == layout.size
    assert problem(layout.renditions, pictures, layout.size) == ""


GOOD = Places(640, 360, 768, 0)


@pytest.mark.parametrize(
    ("places", "pictures", "words"),
    [
        (GOOD, 0, "0 pictures"),
        (GOOD, MAX_PICTURES + 1, "65 pictures"),
        (GOOD, PICTURES + 1, "pictures up to"),
        (replace(GOOD, offset=1), PICTURES, "pictures up to"),
        (replace(GOOD, offset=-768), PICTURES, "pictures up to"),
        (replace(GOOD, pitch=639), PICTURES, "rows of 639"),
        (replace(GOOD, pitch=1 << 40), PICTURES, "rows of"),
        (replace(GOOD, width=0), PICTURES, "pictures of 0x360"),
        (replace(GOOD, height=-2), PICTURES, "pictures of 640x-2"),
        (replace(GOOD, height=361), PICTURES, "pictures of 640x361"),
        (replace(GOOD, width=1 << 20, pitch=1 << 20), PICTURES, "pictures of"),
    ],
)
def test_places_outside_the_memory_are_refused_in_words(
    places: Places, pictures: int, words: str
) -> None:
    assert words in problem([places], pictures, PICTURES * GOOD.size)
