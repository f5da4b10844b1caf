"""ingest/rtmp/further_video.py: a publisher's further tracks, in the first one's time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.media.units import VideoConfig, VideoUnit
from ingest.rtmp.further_video import MAX_TRACKS, MAX_WAITING, FurtherVideo
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Dropped, TrackVideo
from tests.kit.ingest_ports import SPS_720, record
from tests.kit.multitrack import one_track

IDR = b"\x00\x00\x00\x08\x65\x88\x84\x00\x33\xff\xfe\xf7"
HEADER = one_track(1, b"\x17\x00\x00\x00\x00" + record(SPS_720))
PICTURE = one_track(1, b"\x17\x01\x00\x00\x00" + IDR)


def source(timestamp: int | None = None) -> SourceTimes:
    times = SourceTimes(Timeline(offset_ms=500))
    if timestamp is not None:
        times.video(timestamp, 1.0, 0, None)
    return times


def kinds(results: list[TrackVideo]) -> list[type]:
    return [type(one.result) for one in results]


@pytest.mark.parametrize(
    ("first", "timestamp", "later_ms"),
    [
        (1000, 1000, 0),
        (1000, 1040, 40),
        (1000, 960, -40),
        (0xFFFF_FFF0, 0x10, 0x20),  # it wraps
    ],
)
def test_a_picture_has_the_time_that_the_first_tracks_timestamps_stand_for(
    first: int, timestamp: int, later_ms: int
) -> None:
    times = source(first)
    assert times.last_video is not None
    further = FurtherVideo(times)
    further.message(0, HEADER, 1.0)
    (result,) = further.message(timestamp, PICTURE, 1.0)
    assert isinstance(result.result, VideoUnit)
    assert result.result.dts_ms == times.last_video[1] + later_ms
    assert (result.track_id, result.result.is_random_access) == (1, True)


def test_what_comes_before_the_first_tracks_first_picture_waits_for_it() -> None:
    times = source()
    further = FurtherVideo(times)
    assert kinds(further.message(0, HEADER, 1.0)) == [VideoConfig]
    assert further.message(0, PICTURE, 1.0) == []
    assert further.is_waiting
    assert further.take_waiting() == []
    times.video(0, 1.0, 0, None)
    assert kinds(further.take_waiting()) == [VideoUnit]
    assert not further.is_waiting


def test_what_waits_is_bounded() -> None:
    times = source()
    further = FurtherVideo(times)
    for _ in range(2 * MAX_WAITING):
        further.message(0, HEADER, 1.0)
    times.video(0, 1.0, 0, None)
    assert len(further._waiting) == MAX_WAITING


def test_a_picture_before_its_header_is_dropped_and_so_are_too_many_tracks() -> None:
    further = FurtherVideo(source(0))
    assert kinds(further.message(0, PICTURE, 1.0)) == [Dropped]
    read = 0
    for number in range(1, 100):
        body = b"\x17\x00\x00\x00\x00" + record(SPS_720)
        read += len(further.message(0, one_track(number, body), 1.0))
    assert read == MAX_TRACKS


@given(st.binary(max_size=60), st.integers(0, 0xFFFFFFFF))
def test_any_bytes_raise_nothing(payload: bytes, timestamp: int) -> None:
    further = FurtherVideo(source(0))
    further.message(timestamp, HEADER, 1.0)
    further.message(timestamp, payload, 1.0)
    further.message(timestamp, HEADER[:7] + payload, 1.0)
