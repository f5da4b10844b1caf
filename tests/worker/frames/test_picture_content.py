"""Whether pictures are black or stand still, by a coarse grid of their luma."""

import random

import pytest

from worker.frames.picture_content import (
    BLACK,
    COLUMNS,
    ROWS,
    SAME,
    PictureContent,
    grid_of,
    is_black,
    is_same,
)

SIZE = ROWS * COLUMNS
DARK, GREY = bytes([16]) * SIZE, bytes([128]) * SIZE
RNG = random.Random(7)


def noisy(grid: bytes, by: int) -> bytes:
    return bytes(max(0, sample + RNG.randint(-by, by)) for sample in grid)


@pytest.mark.parametrize(
    ("grid", "black"),
    [
        (DARK, True),
        (noisy(DARK, 12), True),  # a covered lens
        (DARK[:-9] + bytes([235]) * 9, True),  # a clock in the corner
        (DARK[:-20] + bytes([235]) * 20, False),
        (bytes([BLACK + 1]) * SIZE, False),  # a dark room
        (GREY, False),
    ],
)
def test_black(grid: bytes, black: bool) -> None:
    assert is_black(grid) is black


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (GREY, True),
        (GREY[:-1] + bytes([128 + SAME]), True),  # a keyframe that was coded anew
        (GREY[:-1] + bytes([128 + SAME + 1]), False),  # something moves
        (noisy(GREY, 3), False),  # a camera's noise
        (GREY[:-1], False),  # another size
    ],
)
def test_same(other: bytes, same: bool) -> None:
    assert is_same(GREY, other) is same


def test_pictures_are_looked_at_once_a_second_of_their_time() -> None:
    content = PictureContent()
    looked = []
    for pts_ms in [*range(5_000, 8_000, 40), 100, 140, 2_000]:
        if content.is_due(pts_ms):
            looked.append(pts_ms)
            content.look(GREY, pts_ms)
    assert looked == [5_000, 6_000, 7_000, 100, 2_000]


def test_how_long_it_has_been_black_and_still() -> None:
    content = PictureContent()
    for second in range(5):
        content.look(noisy(GREY, 30), second * 1000)
        assert (content.black_ms, content.still_ms) == (0, 0)
    for second in range(5, 20):
        content.look(DARK, second * 1000)
    assert (content.black_ms, content.still_ms) == (14_000, 14_000)
    content.look(GREY, 20_000)
    assert (content.black_ms, content.still_ms) == (0, 0)


def test_without_a_grid_or_with_another_clock_it_begins_anew() -> None:
    content = PictureContent()
    for second in range(5):
        content.look(DARK, second * 1000)
    content.look(None, 5_000)
    assert (content.black_ms, content.still_ms) == (0, 0)
    for second in range(6, 9):
        content.look(DARK, second * 1000)
    assert content.black_ms == 2_000
    content.look(DARK, 100)
    assert content.black_ms == 0


def test_a_grid_is_taken_of_any_size_of_plane() -> None:
    for width, height in ((1920, 1080), (320, 180), (64, 36), (33, 17), (16, 16), (2, 2)):
        pitch = width + 32
        plane = bytearray([255]) * (pitch * height)
        for row in range(height):
            plane[row * pitch : row * pitch + width] = bytes([row % 200]) * width
        grid = grid_of(memoryview(plane), pitch, width, height)
        assert len(grid) % ROWS == 0
        assert 0 < len(grid) <= SIZE
        assert max(grid) < 200, "nothing of what is behind a row"
        rows = [grid[at] for at in range(0, len(grid), len(grid) // ROWS)]
        assert rows == sorted(rows) or height > 200
