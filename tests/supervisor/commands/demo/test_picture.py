"""The demo's picture and tone."""

import itertools

import numpy as np
import pytest

from supervisor.commands.demo.picture import BEEP_S, LEVEL, DemoPicture, tone


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (640, 360), (426, 240), (160, 90)])
def test_planes_have_the_size_and_the_range_of_video(width: int, height: int) -> None:
    y, u, v = DemoPicture(width, height, 30).draw(17, "12:34:56")
    assert y.shape == (height, width)
    assert u.shape == v.shape == (height // 2, width // 2)
    assert y.min() >= 16
    assert y.max() <= 235


def test_every_frame_is_another_one_and_the_same_number_the_same() -> None:
    picture = DemoPicture(640, 360, 30)
    frames = [picture.draw(number, "00:00:00")[0] for number in range(30)]
    for before, after in itertools.pairwise(frames):
        assert (before != after).sum() > 50
    assert np.array_equal(frames[3], picture.draw(3, "00:00:00")[0])


def test_the_time_is_burnt_in_white_on_black() -> None:
    picture = DemoPicture(1280, 720, 30)
    one, other = picture.draw(0, "11:11:11")[0], picture.draw(0, "88:88:88")[0]
    changed = np.argwhere(one != other)
    top, left = changed.min(axis=0)
    bottom, right = changed.max(axis=0)
    assert bottom - top > 30
    assert right - left > 200
    assert set(np.unique(other[top : bottom + 1, left : right + 1])) == {16, 235}


def test_the_tone_is_continuous_and_beeps_at_each_second() -> None:
    rate = 48_000
    whole = tone(0, rate, rate)
    assert np.array_equal(
        np.concatenate([tone(0, 1000, rate), tone(1000, 1000, rate)]), whole[:2000]
    )
    assert np.abs(whole).max() <= LEVEL + 1e-6

    def crossings(part: np.ndarray) -> int:
        return int((np.diff(np.signbit(part)) != 0).sum())

    beep = int(BEEP_S * rate)
    assert crossings(whole[:beep]) / beep > 1.8 * crossings(whole[beep:]) / (rate - beep)
