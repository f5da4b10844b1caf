"""ingest/streams/video_input.py: what holds of the input of every codec."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.h264_access_units import MessageFacts
from common.codecs.table import VIDEO_CODECS
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Dropped
from ingest.streams.video_input import VIDEO_INPUTS, VideoInput, VideoInputResult
from tests.kit.coded_video import CodedSpec, CodedVideo, coded_video

CODECS = list(VIDEO_INPUTS)
STREAMS = {codec: CodedSpec(codec, b_frames=2 * (codec is not VideoCodec.AV1)) for codec in CODECS}


def fresh(codec: VideoCodec) -> VideoInput:
    return VIDEO_INPUTS[codec](SourceTimes(Timeline()))


def feed(video: VideoInput, made: CodedVideo, first: int = 0) -> list[VideoInputResult]:
    found: list[VideoInputResult] = []
    for unit in made.units[first:]:
        at = unit.dts_ms + 1000
        facts = MessageFacts(at, unit.pts_ms - unit.dts_ms, unit.is_key, 100 + at / 1000)
        found += video.message(memoryview(unit.data), facts)
    return found


def test_what_is_taken_in_has_its_record_read() -> None:
    assert set(CODECS) == set(VIDEO_CODECS)


@pytest.mark.parametrize("codec", CODECS)
def test_a_stream_comes_out_as_it_went_in(codec: VideoCodec) -> None:
    made = coded_video(STREAMS[codec])
    video = fresh(codec)
    (config,) = video.record(made.record)
    assert isinstance(config, VideoConfig)
    assert (config.codec, config.width, config.height) == (codec, 192, 108)
    assert video.record(made.record) == []
    results = feed(video, made)
    assert not [one for one in results if isinstance(one, Dropped)]
    units = [one for one in results if isinstance(one, VideoUnit)]
    assert [(one.pts_ms - 1000, one.is_key, one.is_random_access) for one in units] == [
        (unit.pts_ms, unit.is_key, unit.is_key) for unit in made.units
    ]
    assert {one.codec for one in units} == {codec}
    assert [len(one.data) for one in units] == [len(unit.data) for unit in made.units]


@pytest.mark.parametrize("codec", CODECS)
def test_a_publisher_of_whom_nothing_is_known_has_its_video_dropped(codec: VideoCodec) -> None:
    made = coded_video(STREAMS[codec])
    results = feed(fresh(codec), made, first=1)
    reasons = {one.reason for one in results[:5] if isinstance(one, Dropped)}
    assert reasons == {"video before its sequence header"}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [0, 1, 5, 12])
def test_a_record_that_is_cut_off_says_nothing(codec: VideoCodec, size: int) -> None:
    made = coded_video(STREAMS[codec])
    video = fresh(codec)
    found = video.record(made.record[:size])
    assert all(isinstance(one, Dropped) for one in found)
    (config,) = video.record(made.record)
    assert isinstance(config, VideoConfig)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(CODECS),
    st.lists(
        st.tuples(
            st.sampled_from(["record", "message", "unit", "flush"]),
            st.integers(0, 29),
            st.integers(0, 60),
            st.binary(max_size=24),
        ),
        max_size=20,
    ),
)
def test_nothing_raises_and_units_follow_a_configuration(
    codec: VideoCodec, steps: list[tuple[str, int, int, bytes]]
) -> None:
    made = coded_video(STREAMS[codec])
    video = fresh(codec)
    is_known = False
    for number, (what, index, cut, data) in enumerate(steps):
        facts = MessageFacts(40 * number, 0, index % 2 == 0, 100 + number / 25)
        match what:
            case "record":
                results = video.record(data or made.record[: cut or None])
            case "message":
                results = video.message(data, facts)
            case "unit":
                results = video.message(made.units[index].data[: -cut or None] + data, facts)
            case _:
                results = video.flush(float("inf"))
        for one in results:
            is_known = is_known or isinstance(one, VideoConfig)
            assert is_known or isinstance(one, Dropped)
