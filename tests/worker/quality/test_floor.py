"""When a rendition is said to look worse than its floor allows."""

from dataclasses import replace

import pytest

from common.config.ladder import RenditionFormat
from common.ipc.status_messages import Quality
from worker.quality.floor import Floors, FloorWatch, LowRendition

FORMAT = RenditionFormat(
    "720p", 1280, 720, 0, 0, 1280, 720, None, 2_500_000, 1000, 2000, "main", "p3", quality_floor=0.9
)


def qualities(*ssims: float) -> list[Quality]:
    return [Quality(ssim, 40.0, 1000.0 + number) for number, ssim in enumerate(ssims)]


@pytest.mark.parametrize(
    ("ssims", "is_low"),
    [
        ((0.95, 0.89), False),  # one is not enough
        ((0.95, 0.89, 0.89), True),
        ((0.89, 0.91, 0.89), False),
        ((0.89, 0.89, 0.91), True),  # nor is it for the end
        ((0.89, 0.89, 0.91, 0.9), False),
        ((0.89, 0.89, 0.91, 0.89, 0.91), True),
    ],
)
def test_two_measurements_in_a_row_decide(ssims: tuple[float, ...], is_low: bool) -> None:
    watch = FloorWatch(0.9)
    for quality in qualities(*ssims):
        watch.see(quality)
        watch.see(quality)  # of one heartbeat and the next
    assert watch.is_low is is_low


def test_without_a_floor_nothing_is_low() -> None:
    watch = FloorWatch(None)
    assert not any(watch.see(quality) for quality in qualities(0.1, 0.1, 0.1))


def test_those_that_are_low_are_named_with_their_figures() -> None:
    floors = Floors((FORMAT, replace(FORMAT, name="360p", quality_floor=None)))
    for quality in qualities(0.85, 0.8456):
        low = floors.low([quality, quality])
    assert low == (LowRendition("720p", 0.8456, 0.9),)
    assert str(low[0]) == "720p has SSIM 0.846, its floor is 0.9"
    assert (floors.is_low(0), floors.is_low(1), floors.is_low(2)) == (True, False, False)


def test_what_is_not_made_is_not_low() -> None:
    floors = Floors((FORMAT,))
    for quality in qualities(0.8, 0.8):
        floors.low([quality])
    assert floors.low([None]) == ()


def test_of_a_session_that_opens_nothing_is_known() -> None:
    assert Floors(()).low([]) == Floors((FORMAT,)).low([]) == ()
