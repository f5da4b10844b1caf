"""The size of a snapshot, and the slot that it waits in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.frames.snapshot import KEY_WAIT_S, LARGEST, SnapshotSlot, snapshot_size


@pytest.mark.parametrize(
    ("source", "sar", "size"),
    [
        ((1920, 1080), 1.0, (320, 180)),
        ((1080, 1920), 1.0, (180, 320)),
        ((720, 576), 16 / 11, (320, 176)),
        ((320, 180), 1.0, (320, 180)),
        ((160, 90), 1.0, (160, 90)),
        ((16, 16), 1.0, (16, 16)),
        ((7680, 16), 1.0, (320, 2)),
    ],
)
def test_the_longer_side_is_so_long_and_nothing_is_enlarged(
    source: tuple[int, int], sar: float, size: tuple[int, int]
) -> None:
    assert snapshot_size(*source, sar) == size


@given(st.integers(1, 16_384), st.integers(1, 16_384), st.floats(0.01, 100))
def test_every_size_is_even_and_bounded(width: int, height: int, sar: float) -> None:
    found = snapshot_size(width, height, sar)
    assert all(side % 2 == 0 and 2 <= side <= LARGEST + 2 for side in found)


def test_a_slot_gives_what_was_made_once() -> None:
    slot = SnapshotSlot()
    assert slot.take() is None
    slot.want(1.0)
    slot.put(b"jpeg")
    assert not slot.is_wanted
    assert slot.take() == b"jpeg"
    assert slot.take() is None


def test_what_could_not_be_made_is_an_answer_too() -> None:
    slot = SnapshotSlot()
    slot.put(None)
    assert slot.take() == b""


@pytest.mark.parametrize(
    ("is_key", "after_s", "takes"),
    [(True, 0.0, True), (False, 0.0, False), (False, 1.9, False), (False, KEY_WAIT_S, True)],
)
def test_it_is_made_of_a_keyframe_unless_none_comes(
    is_key: bool, after_s: float, takes: bool
) -> None:
    slot = SnapshotSlot()
    slot.want(5.0)
    slot.want(6.0)  # somebody else, who waits for the same one
    assert slot.takes(is_key=is_key, now_s=5.0 + after_s) is takes


def test_the_small_picture_of_a_stream_that_nobody_plays_is_there_at_once() -> None:
    slot = SnapshotSlot()
    slot.want(0.0)
    slot.keep(b"one")
    assert not slot.is_wanted
    assert slot.take() == b"one"
    slot.keep(b"two")
    assert slot.take() is None
    slot.want(1.0)
    assert slot.take() == b"two"
    slot.keep(None)
    slot.want(2.0)
    assert slot.is_wanted
    assert slot.take() is None
