"""Sessions whose renditions are made only while somebody plays them."""

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.kit.session_driver import (
    DEADLINE_S,
    Driver,
    Source,
    SourceSpec,
    check,
    make_source,
    template,
)
from worker.session.events import RenditionRests


def take_rests(driver: Driver, count: int) -> list[int]:
    """Take events until so many renditions rest; which."""
    rests: list[int] = []
    while len(rests) < count:
        event = driver.events.get(timeout=DEADLINE_S)
        if isinstance(event, RenditionRests):
            rests.append(event.rendition)
        driver.take(event)
    return sorted(rests)


def gather(driver: Driver, name: str, count: int) -> None:
    """Take events until a rendition has given so many pictures."""
    while name not in driver.outputs or len(driver.outputs[name].tags) < count:
        driver.take(driver.events.get(timeout=DEADLINE_S))


def part(source: Source, begin: int, end: int | None = None) -> Source:
    return replace(source, units=source.units[begin:end])


@pytest.mark.parametrize("b_frames", [0, 2])
def test_what_nobody_plays_is_not_encoded_and_begins_on_the_grid(b_frames: int) -> None:
    """A cold stream's first player gets what came since the last keyframe of the grid."""
    source = make_source(SourceSpec(frames=90, gop_frames=90, b_frames=b_frames))
    with Driver(source, template(), wanted=()) as driver:
        assert take_rests(driver, 2) == [0, 1]
        driver.feed(part(source, 0, 1), replay=True)  # a look
        driver.session.want(())
        driver.session.want(("big",), 1999)
        driver.feed(source, replay=True)
        outputs = driver.finish()
        assert driver.session.counts.pictures >= len(source.units)
    assert outputs["small"].tags == []
    assert outputs["big"].pts_ms == [pts for pts in source.pts_ms if pts >= 2000]
    assert outputs["big"].keys_ms == [2000]
    check(
        replace(
            outputs["big"],
            headers=outputs["big"].headers[-1:],
            tags=[(*tag[:3], 1) for tag in outputs["big"].tags],
        ),
        (320, 180),
    )


def test_one_rendition_more_begins_with_the_next_picture_and_disturbs_no_other() -> None:
    source = make_source(SourceSpec(frames=60, gop_frames=60))
    with Driver(source, template(), wanted=("big",)) as driver:
        assert take_rests(driver, 1) == [1]
        assert [one.state for one in driver.session.status(0.0).renditions] == ["made", "cold"]
        driver.feed(part(source, 0, 20))
        gather(driver, "big", 20)
        driver.session.want(("big", "small"))
        driver.feed(part(source, 20))
        outputs = driver.finish()
    assert outputs["big"].pts_ms == source.pts_ms
    assert outputs["big"].keys_ms == [0, 1000]
    small = outputs["small"]
    assert small.keys_ms[0] == small.pts_ms[0] in source.pts_ms[20:23]
    assert small.keys_ms[1:] == [1000]
    assert len(small.headers) == 2  # at the session's opening, and when it began


def test_a_rendition_that_rests_and_comes_back_gives_no_picture_twice() -> None:
    source = make_source(SourceSpec(frames=90, gop_frames=90))
    with Driver(source, template()) as driver:
        driver.feed(part(source, 0, 40))
        driver.session.want(())
        assert take_rests(driver, 2) == [0, 1]
        # the last keyframe of the grid was sent, and what came behind it
        driver.session.want(("small", "big"), 999)
        driver.feed(source, replay=True)
        outputs = driver.finish()
    big = outputs["big"]
    assert big.pts_ms == source.pts_ms
    assert big.keys_ms == [0, 1000, source.pts_ms[40], 2000]
    assert all(a < b for a, b in pairwise(outputs["small"].pts_ms))


def test_a_stream_that_rests_is_looked_at() -> None:
    source = make_source(SourceSpec(frames=31, gop_frames=30, b_frames=2))
    with Driver(source, template(), wanted=()) as driver:
        take_rests(driver, 2)
        for key in (unit for unit in source.units if unit.is_key):
            driver.feed(replace(source, units=(key,)), replay=True)
            driver.session.want(())
        driver.finish()
        assert driver.session.counts.pictures == 2
        assert driver.session.counts.decode_errors == 0
    assert not any(output.tags for output in driver.outputs.values())
