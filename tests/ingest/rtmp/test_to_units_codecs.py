"""ingest/rtmp/to_units.py: H.265 and AV1, by FourCC, by unofficial ids, and by a mistaken one."""

import io
from typing import cast

import av
import pytest

from common.codecs.h264 import join_avcc
from common.codecs.h265 import HevcConfig
from common.flv.tag import FlvReader, Tag, TagType
from common.flv.video import video_body, video_header_body
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from ingest.rtmp.to_units import Demuxer, VideoResult
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Dropped, UnsupportedVideo
from tests.kit.clips import video_frame
from tests.kit.coded_video import CodedSpec, CodedVideo, coded_video

NOW = 100.0
H264 = coded_video(CodedSpec(VideoCodec.H264))
H265 = coded_video(CodedSpec(VideoCodec.H265, b_frames=2))
AV1 = coded_video(CodedSpec(VideoCodec.AV1))
KEYS = {True: 0x10, False: 0x20}


def legacy(codec_id: int, made: CodedVideo) -> list[bytes]:
    """Messages with a codec id: the header, then the pictures."""
    header = bytes((0x10 | codec_id, 0, 0, 0, 0)) + made.record
    return [header, *(
        bytes((KEYS[unit.is_key] | codec_id, 1))
        + (unit.pts_ms - unit.dts_ms).to_bytes(3, "big", signed=True)
        + unit.data
        for unit in made.units
    )]  # fmt: skip


def enhanced(made: CodedVideo) -> list[bytes]:
    config = VideoConfig(made.spec.codec, made.record, 2, 2)
    return [video_header_body(config), *(
        video_body(
            VideoUnit(
                made.spec.codec,
                0,
                unit.dts_ms,
                unit.pts_ms - unit.dts_ms,
                unit.is_key,
                unit.data,
                0.0,
            )
        )
        for unit in made.units
    )]  # fmt: skip


def demux(*streams: list[bytes]) -> list[VideoResult]:
    demuxer = Demuxer(Timeline())
    found: list[VideoResult] = []
    for number, payload in enumerate(body for bodies in streams for body in bodies):
        found += demuxer.video(40 * number, payload, NOW + number / 25)
    return found


def codecs(results: list[VideoResult]) -> list[tuple[VideoCodec, int]]:
    """The configurations, and how many units followed each."""
    found: list[tuple[VideoCodec, int]] = []
    for one in results:
        if isinstance(one, VideoConfig):
            found.append((one.codec, 0))
        elif isinstance(one, VideoUnit):
            assert one.codec is found[-1][0]
            found[-1] = one.codec, found[-1][1] + 1
    return found


@pytest.mark.parametrize(
    ("bodies", "made"),
    [
        (enhanced(H264), H264),
        (enhanced(H265), H265),
        (legacy(12, H265), H265),
        (legacy(7, H265), H265),  # OBS before 29.1
        (legacy(12, H264), H264),
        (legacy(7, H264), H264),
    ],
)
def test_a_stream_is_of_the_codec_that_its_record_is_of(
    bodies: list[bytes], made: CodedVideo
) -> None:
    results = demux(bodies)
    assert not [one for one in results if isinstance(one, Dropped | UnsupportedVideo)]
    assert codecs(results) == [(made.spec.codec, len(made.units))]
    units = [one for one in results if isinstance(one, VideoUnit)]
    assert [one.is_random_access for one in units] == [unit.is_key for unit in made.units]
    assert [one.composition_ms for one in units] == [
        unit.pts_ms - unit.dts_ms for unit in made.units
    ]


@pytest.mark.parametrize("bodies", [enhanced(AV1), legacy(13, AV1)])
def test_av1_is_taken_in_with_the_sequence_header_of_its_keyframes(bodies: list[bytes]) -> None:
    results = demux(bodies)
    assert [codec for codec, _ in codecs(results)] == [VideoCodec.AV1] * 2
    assert sum(count for _, count in codecs(results)) == len(AV1.units)


@pytest.mark.parametrize("codec_id", [7, 12])
def test_parameter_sets_in_band_tell_the_codec_where_no_record_came(codec_id: int) -> None:
    config = HevcConfig.parse(H265.record)
    _, first, *rest = legacy(codec_id, H265)
    sets = join_avcc([*config.vps, *config.sps, *config.pps])
    results = demux([first[:5] + sets + first[5:], *rest])
    assert codecs(results) == [(VideoCodec.H265, len(H265.units))]


@pytest.mark.parametrize(("first", "second"), [(H264, H265), (H265, H264), (H264, AV1)])
def test_a_publisher_may_change_its_codec(first: CodedVideo, second: CodedVideo) -> None:
    results = demux(enhanced(first), enhanced(second), enhanced(first))
    found = [codec for codec, count in codecs(results) if count]
    assert found == [made.spec.codec for made in (first, second, first)]


def test_pictures_of_another_codec_that_nothing_is_known_of_are_dropped() -> None:
    stray = enhanced(H265)[2]
    results = demux([*enhanced(H264)[:5], stray, *enhanced(H264)[5:]])
    assert codecs(results) == [(VideoCodec.H264, len(H264.units))]
    assert [one.reason for one in results if isinstance(one, Dropped)] == ["video of another codec"]


def test_a_broken_header_of_another_codec_changes_nothing() -> None:
    results = demux([*enhanced(H264)[:5], b"\x90hvc1\x01", *enhanced(H264)[5:]])
    assert codecs(results) == [(VideoCodec.H264, len(H264.units))]


@pytest.mark.parametrize("encoder", ["libx265", "libsvtav1"])
def test_what_libavformat_writes_is_taken_in(encoder: str) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as container:
        quiet = {"x265-params": "log-level=none:pools=none:frame-threads=1", "preset": "10"}
        options = quiet if encoder == "libsvtav1" else {**quiet, "preset": "ultrafast"}
        video = cast("av.VideoStream", container.add_stream(encoder, rate=25, options=options))
        video.width, video.height, video.pix_fmt = 192, 108, "yuv420p"
        for index in range(10):
            frame = video_frame(index, 192, 108)
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode())
    reader = FlvReader()
    reader.feed(file.getvalue())
    tags: list[Tag] = []
    while (tag := reader.next()) is not None:
        tags.append(tag)
    results = demux([tag.payload for tag in tags if tag.type is TagType.VIDEO])
    assert not [one for one in results if isinstance(one, Dropped | UnsupportedVideo)]
    assert sum(count for _, count in codecs(results)) == 10
