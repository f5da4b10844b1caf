"""Renditions that are measured while a session makes them."""

import time
from dataclasses import replace

import pytest

from common.config.ladder import Rendition, Template
from common.ipc.status_messages import RenditionStatus
from tests.kit.session_driver import Driver, SourceSpec, make_source
from tests.kit.waiting import until
from worker.quality.ssim import Likeness

SOURCE = make_source(SourceSpec(frames=90, width=192, height=108, gop_frames=15))
LADDER = Template(
    "live",
    (
        Rendition("108p", 192, 108, 400_000, quality_floor=0.999),
        Rendition("72p", 128, 72, 200_000, quality_floor=0.1),
    ),
    gop_ms=500,
    quality_every_ms=1,
)


def test_each_rendition_is_measured_against_what_the_scaler_made() -> None:
    with Driver(SOURCE, LADDER, cpu_clock=time.thread_time) as driver:
        seen: dict[str, RenditionStatus] = {}

        def look() -> bool:
            for one in driver.session.status(time.monotonic()).renditions:
                if one.quality is not None:
                    seen[one.name] = one
            return len(seen) == 2

        driver.feed(SOURCE, in_real_time=True)
        until(look, what="a measurement of each")
        driver.finish()
    for one in seen.values():
        assert one.quality is not None
        assert 0.8 < one.quality.ssim < 1
        assert 25 < one.quality.psnr_db < 60
        assert abs(one.quality.at_unix - time.time()) < 60
    assert (seen["108p"].quality_floor, seen["72p"].quality_floor) == (0.999, 0.1)


@pytest.mark.parametrize("every_ms", [0, 3_600_000])
def test_seldom_is_seldom_and_never_is_never(every_ms: int) -> None:
    ladder = replace(LADDER, quality_every_ms=every_ms)
    with Driver(SOURCE, ladder, cpu_clock=time.thread_time) as driver:
        driver.feed(SOURCE, in_real_time=True)
        driver.finish()
        taps = [encoder.tap for encoder in driver.session._resources.encoders]
    assert all((tap is None) is (every_ms == 0) for tap in taps)


def test_a_rendition_below_its_floor_is_a_notice() -> None:
    now_s = time.monotonic()
    with Driver(SOURCE, LADDER) as driver:
        driver.feed(SOURCE)
        until(lambda: driver.session.ladder.renditions, what="the ladder")
        for second in range(2, 4):
            for index in range(2):
                driver.session.quality.on_measured(index, Likeness(0.9, 33.0))
            status = driver.session.status(now_s + second)
        driver.finish()
    assert [one.is_low for one in status.renditions] == [True, False]
    (notice,) = status.notices
    assert notice.code == "low-quality"
    assert notice.words.startswith("108p has SSIM 0.900, its floor is 0.999: give it more bitrate")
