"""User data of a source's pictures in the renditions of a session."""

import time
from dataclasses import replace
from fractions import Fraction

import pytest

from common.config.ladder import Rendition
from common.media.units import VideoCodec
from common.sei.user_data import user_data_in, user_data_unit
from common.sei.utc import UTC_UUID, utc_stamp
from tests.common.sei.test_user_data import CLOCK, X264, message
from tests.kit.coded_video import CodedSpec, coded_video
from tests.kit.session_driver import Source, SourceSpec, check, make_source, template, transcode

FRAMES = 21
LADDER = (
    Rendition("big", 320, 180, 2_000_000, None, "main", "p1", codec=VideoCodec.H265),
    Rendition("small", 160, 90, 1_000_000, None, "main", "p1"),
    Rendition("slow", 160, 90, 900_000, Fraction(10), "main", "p1"),
)


def told(pts_ms: int) -> bytes:
    """What the picture of that time says."""
    return message(CLOCK, b"%d" % pts_ms)


def with_user_data(source: Source) -> Source:
    """Each picture says its time, and what the encoder was told."""
    units = tuple(
        replace(
            unit,
            data=user_data_unit(source.codec, [message(X264), told(unit.pts_ms)]) + unit.data,
        )
        for unit in source.units
    )
    return replace(source, units=units)


def h265() -> Source:
    made = coded_video(CodedSpec(VideoCodec.H265, 320, 180, frames=FRAMES, b_frames=2))
    return Source(made.record, made.units, made.spec.codec)


@pytest.mark.parametrize(
    "source",
    [make_source(SourceSpec(frames=FRAMES, b_frames=2)), h265()],
    ids=["h264", "h265"],
)
def test_allowed_user_data_stay_on_their_pictures_whatever_the_rate(source: Source) -> None:
    said = with_user_data(source)
    outputs = transcode(said, replace(template(LADDER), sei_uuids=(CLOCK,)))
    times = sorted(source.pts_ms)
    for name, codec in (
        ("big", VideoCodec.H265),
        ("small", VideoCodec.H264),
        ("slow", VideoCodec.H264),
    ):
        output, before_ms = outputs[name], -1
        find = user_data_in(codec, [CLOCK, X264])
        for pts_ms, unit in zip(output.pts_ms, output.units(), strict=True):
            # those of the pictures since the last one that it took, and its own
            shown = [at_ms for at_ms in times if before_ms < at_ms <= pts_ms]
            assert find(unit, 4) == tuple(map(told, shown))
            before_ms = pts_ms
        check(output, (320, 180) if name == "big" else (160, 90))
    assert len(outputs["slow"].pts_ms) < FRAMES / 2


def test_without_uuids_none_is_passed_on() -> None:
    source = with_user_data(make_source(SourceSpec(frames=3)))
    outputs = transcode(source, template(LADDER[1:2]))
    find = user_data_in(VideoCodec.H264, [CLOCK, X264])
    assert not any(find(unit, 4) for unit in outputs["small"].units())


def test_every_picture_of_every_rendition_says_when_it_came_in() -> None:
    began_us = time.time_ns() // 1000
    source = make_source(SourceSpec(frames=FRAMES, b_frames=2))
    outputs = transcode(source, replace(template(LADDER), utc=True))
    ended_us = time.time_ns() // 1000
    said: dict[int, set[bytes]] = {}
    for name, codec in (
        ("big", VideoCodec.H265),
        ("small", VideoCodec.H264),
        ("slow", VideoCodec.H264),
    ):
        output, find = outputs[name], user_data_in(codec, [str(UTC_UUID)])
        for pts_ms, unit in zip(output.pts_ms, output.units(), strict=True):
            (stamp,) = find(unit, 4)
            assert began_us <= int.from_bytes(stamp[16:], "big") <= ended_us
            said.setdefault(pts_ms, set()).add(stamp)
    assert len(said) == FRAMES
    assert all(len(stamps) == 1 for stamps in said.values())


def test_a_publishers_own_stamp_stays() -> None:
    source = make_source(SourceSpec(frames=3))
    units = tuple(
        replace(unit, data=user_data_unit(source.codec, [utc_stamp(unit.pts_ms)]) + unit.data)
        for unit in source.units
    )
    asked = replace(template(LADDER[1:2]), sei_uuids=(str(UTC_UUID),), utc=True)
    output = transcode(replace(source, units=units), asked)["small"]
    find = user_data_in(VideoCodec.H264, [str(UTC_UUID)])
    assert [find(unit, 4) for unit in output.units()] == [
        (utc_stamp(pts_ms),) for pts_ms in output.pts_ms
    ]
