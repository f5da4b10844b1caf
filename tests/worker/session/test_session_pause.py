"""Sessions whose publisher is away: freeze frames, which repeat the last picture."""

import time
from dataclasses import replace
from itertools import pairwise
from statistics import median

import numpy as np
import pytest

from common.media.clock import ClockReference
from tests.kit.session_driver import (
    DEADLINE_S,
    Driver,
    Source,
    SourceSpec,
    check,
    make_source,
    pattern,
    plane_of,
    template,
)


def gather(driver: Driver, name: str, count: int) -> None:
    """Take events until a rendition has given so many pictures."""
    while name not in driver.outputs or len(driver.outputs[name].tags) < count:
        driver.take(driver.events.get(timeout=DEADLINE_S))


def shifted(source: Source, by_ms: int) -> Source:
    """The same source, later: coded beforehand, so that it comes on time."""
    units = [
        replace(unit, dts_ms=unit.dts_ms + by_ms, pts_ms=unit.pts_ms + by_ms)
        for unit in source.units
    ]
    return replace(source, units=tuple(units))


@pytest.mark.parametrize("b_frames", [0, 2])
def test_the_last_picture_is_repeated_until_the_publisher_is_back(b_frames: int) -> None:
    """And the encoders never end: one header, times that go on, an IDR at the return."""
    first = make_source(SourceSpec(frames=30, b_frames=b_frames))
    other = make_source(SourceSpec(frames=30, b_frames=b_frames, brightness=60))
    with Driver(first, template()) as driver:
        driver.feed(first)
        gather(driver, "big", 20)
        reference_s = time.monotonic()
        driver.session.freeze(ClockReference(1000, reference_s))
        gather(driver, "big", 45)
        # Later than any freeze frame that a busy host makes until then.
        back_ms = 5000 + round((time.monotonic() - reference_s) * 1000)
        second = shifted(other, back_ms)
        driver.feed(second)
        outputs = driver.finish()
    for name, (width, height) in (("big", (320, 180)), ("small", (160, 90))):
        output = outputs[name]
        check(output, (width, height))
        assert len(output.headers) == 1
        assert all(a < b for a, b in pairwise(output.pts_ms))
    output = outputs["big"]
    filled = [pts for pts in output.pts_ms if first.pts_ms[-1] < pts < second.pts_ms[0]]
    assert len(filled) >= 15
    steps = [b - a for a, b in pairwise(filled)]
    assert 33 <= min(steps) <= median(steps) <= 34, "the source's rate, but where the host was busy"
    assert set(first.pts_ms) <= set(output.pts_ms), "none of its own is left out"
    assert set(second.pts_ms) <= set(output.pts_ms)
    assert second.pts_ms[0] in output.keys_ms
    shown = {frame.pts: plane_of(frame, 0).astype(int) for frame in output.decode()}
    last = shown[first.pts_ms[-1]]
    for pts in filled:
        assert np.abs(shown[pts] - last).mean() < 4, "the last picture"


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_publisher_that_was_only_silent_goes_on_in_the_middle_of_its_gop(b_frames: int) -> None:
    """What it sends late, of the time that was filled, is decoded and not shown."""
    spec = SourceSpec(frames=90, gop_frames=90, b_frames=b_frames)
    source = make_source(spec)
    with Driver(source, template()) as driver:
        driver.feed(replace(source, units=source.units[:30]))
        gather(driver, "big", 25)
        last_ms = source.units[29].dts_ms
        driver.session.freeze(ClockReference(last_ms, time.monotonic()), may_go_on=True)
        gather(driver, "big", 45)
        filled_ms = driver.outputs["big"].pts_ms[-1]
        driver.feed(replace(source, units=source.units[30:]))
        outputs = driver.finish()
        status = driver.session.status(1.0)
    output = outputs["big"]
    check(output, (320, 180))
    assert (status.decode_errors, status.frames_out) == (0, 90)
    replaced = [pts for pts in source.pts_ms[32:] if pts <= filled_ms]
    assert 0 < len(replaced) <= status.dropped, "what freeze frames stood in for"
    assert len(output.headers) == 1
    assert all(a < b for a, b in pairwise(output.pts_ms))
    late = source.pts_ms[33 + status.dropped :]
    assert filled_ms > source.pts_ms[30] + 200
    assert len(late) > 10
    assert set(late) <= set(output.pts_ms), "whole again as soon as it has caught up"
    planes = {frame.pts: plane_of(frame, 0).astype(int) for frame in output.decode()}
    index = source.pts_ms.index(late[3])
    assert np.abs(planes[late[3]] - plane_of(pattern(spec, index), 0).astype(int)).mean() < 12


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_burst_after_a_long_silence_is_not_decoded_before_its_newest_keyframe_of_the_past(
    b_frames: int,
) -> None:
    source = make_source(SourceSpec(frames=240, gop_frames=60, b_frames=b_frames))
    with Driver(source, template(), queue_ms=1000) as driver:
        driver.feed(replace(source, units=source.units[:30]))
        gather(driver, "big", 25)
        last_ms = source.units[29].dts_ms
        reference = ClockReference(last_ms, time.monotonic() - 5.5)  # stream time has gone on
        driver.session.freeze(reference, may_go_on=True)
        gather(driver, "big", 35)
        driver.feed(replace(source, units=source.units[30:]))
        outputs = driver.finish()
        status = driver.session.status(1.0)
    output = outputs["big"]
    check(output, (320, 180))
    assert status.decode_errors == 0
    assert status.frames_out < 240 - 60, "those before the keyframe at 6 s cost nothing"
    shown = len([pts for pts in source.pts_ms if pts in output.pts_ms])
    assert 0 < 240 - status.dropped <= shown + 3 + status.dropped_by_renditions
    assert source.pts_ms[-1] in output.pts_ms, "no wait for a keyframe"


def test_a_session_that_begins_while_the_publisher_is_away_goes_on_after_the_resume_point() -> None:
    """As after the loss of a worker: nothing of the GOP is shown again, only freeze frames."""
    source = make_source(SourceSpec(frames=30))
    now_s = time.monotonic()
    with Driver(source, template(), resume_after_ms=5000) as driver:
        driver.feed(source, replay=True)
        driver.session.freeze(ClockReference(5200, now_s))
        gather(driver, "big", 10)
        outputs = driver.finish()
    output = outputs["big"]
    check(output, (320, 180))
    assert output.pts_ms[0] > 5000
    assert output.keys_ms[0] == output.pts_ms[0]


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_session_that_gets_a_keyframe_alone_repeats_it_until_the_next_one(b_frames: int) -> None:
    """As where a worker is lost and the GOP is longer than ingest keeps."""
    spec = SourceSpec(frames=60, b_frames=b_frames)
    source = make_source(spec)
    later = make_source(SourceSpec(frames=30, b_frames=b_frames, brightness=60))
    with Driver(source, template(), resume_after_ms=5000) as driver:
        driver.feed(replace(source, units=source.units[:1]), replay=True)
        reference_s = time.monotonic()
        driver.session.freeze(ClockReference(5200, reference_s))
        gather(driver, "big", 10)
        back_ms = 9000 + round((time.monotonic() - reference_s) * 1000)
        second = shifted(later, back_ms)
        driver.feed(second)
        outputs = driver.finish()
    output = outputs["big"]
    check(output, (320, 180))
    assert output.pts_ms[0] > 5000
    assert set(second.pts_ms) <= set(output.pts_ms)
    first = next(iter(output.decode()))
    assert np.abs(plane_of(first, 0).astype(int) - plane_of(pattern(spec, 0), 0)).mean() < 8


def test_a_pause_before_any_picture_makes_none() -> None:
    source = make_source(SourceSpec(frames=10))
    with Driver(source, template()) as driver:
        driver.session.freeze(ClockReference(0, time.monotonic()))
        driver.feed(source)
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms
