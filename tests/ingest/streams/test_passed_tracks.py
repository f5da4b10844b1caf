"""ingest/streams/passed_tracks.py: which tracks of a publisher stand in for which renditions."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.config.ladder import Rendition, SourceFormat, Template
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from ingest.streams.passed_tracks import FIRST, SILENT_S, PassedTracks, follow_on
from tests.kit.ingest_ports import video_unit

TEMPLATE = Template(
    "live",
    (
        Rendition("720p", 1280, 720, 3_000_000),
        Rendition("480p", 854, 480, 1_000_000),
        Rendition("240p", 426, 240, 400_000, codec=VideoCodec.H265),
    ),
)
SOURCE = SourceFormat(1920, 1080, fps=Fraction(30))
FULL_HD = VideoConfig(VideoCodec.H264, b"1080", 1920, 1080, fps=Fraction(30))
HD = VideoConfig(VideoCodec.H264, b"720", 1280, 720, fps=Fraction(30))
SD = VideoConfig(VideoCodec.H264, b"480", 852, 480, fps=Fraction(30))
MS = 1000 / 30


def tracks(*further: VideoConfig, first: VideoConfig = FULL_HD) -> PassedTracks:
    passed = PassedTracks(TEMPLATE)
    passed.on_source(replace(SOURCE, width=first.width, height=first.height), first, 0.0)
    for number, config in enumerate(further, 1):
        passed.configure(number, config, first, 0.0)
    return passed


def names(passed: PassedTracks) -> list[str]:
    return [*passed.names]  # a call, because it changes behind mypy's back


def pictures(
    passed: PassedTracks,
    *numbers: int,
    seconds: float = 5,
    gop: int = 60,
    size: int = 1000,
    fps: int = 30,
) -> list[str]:
    """Feed pictures of these tracks; the names that came of it, once each."""
    found: list[str] = []
    for i in range(int(seconds * fps)):
        at_ms = round(i * 1000 / fps)
        for number in numbers:
            unit = video_unit(at_ms, key=i % gop == 0, data=bytes(size))
            found.append(passed.unit(number, unit, at_ms / 1000))
        passed.tick(at_ms / 1000)
    return sorted({name for name in found if name})


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (HD, "720p"),
        (SD, "480p"),
        (replace(SD, width=854), "480p"),
        (replace(SD, sample_aspect=Fraction(640, 639)), "480p"),
        (replace(HD, fps=None), "720p"),
        (replace(HD, fps=Fraction(90_000)), "720p"),  # no rate, but a clock's
        (replace(HD, fps=Fraction(60)), ""),  # more than the rendition's
        (replace(HD, codec=VideoCodec.H265), ""),
        (replace(HD, bit_depth=10), ""),
        (replace(HD, chroma_format=3), ""),
        (replace(HD, rotation=90), ""),
        (replace(SD, width=640), ""),
        (replace(SD, sample_aspect=Fraction(4, 3)), ""),
        (replace(SD, codec=VideoCodec.H265, width=426, height=240), "240p"),
    ],
)
def test_a_track_stands_in_for_the_rendition_of_its_size_rate_and_codec(
    config: VideoConfig, name: str
) -> None:
    passed = tracks(config)
    assert names(passed) == ([name] if name else [])
    assert passed.may_be_passed(1) is bool(name)
    assert passed.has_changed is bool(name)


def test_a_publisher_of_one_track_has_all_made() -> None:
    passed = tracks(first=HD)
    assert pictures(passed, FIRST) == []
    assert not passed.has_tracks
    assert names(passed) == []


def test_the_first_track_stands_in_too_where_there_are_others() -> None:
    passed = tracks(SD, first=HD)
    assert names(passed) == ["480p", "720p"]
    assert pictures(passed, FIRST, 1) == ["480p", "720p"]
    assert [one.state for one in passed.status(5.0)] == ["passed", "passed"]


def test_headers_of_a_track_that_come_before_the_first_ones_wait_for_these() -> None:
    passed = PassedTracks(TEMPLATE)
    passed.configure(1, SD, None, 0.0)
    assert names(passed) == []
    assert passed.may_be_passed(1)
    passed.on_source(SOURCE, FULL_HD, 0.0)
    assert names(passed) == ["480p"]


def test_of_two_tracks_for_one_rendition_the_closer_one_stands_in() -> None:
    passed = PassedTracks(TEMPLATE)
    passed.configure(1, replace(SD, width=848), None, 0.0)
    passed.configure(2, SD, None, 0.0)
    passed.on_source(SOURCE, FULL_HD, 0.0)
    assert names(passed) == ["480p"]
    assert (passed.may_be_passed(1), passed.may_be_passed(2)) == (False, True)


def test_a_template_may_have_all_made() -> None:
    passed = PassedTracks(replace(TEMPLATE, multitrack_video=False))
    passed.on_source(SOURCE, FULL_HD, 0.0)
    passed.configure(1, HD, FULL_HD, 0.0)
    assert not passed.has_tracks


def test_nothing_is_passed_before_the_tracks_first_keyframe() -> None:
    passed = tracks(HD)
    passed.unit(FIRST, video_unit(0, key=True), 0.0)
    assert passed.unit(1, video_unit(0), 0.0) == ""
    passed.unit(FIRST, video_unit(33, key=True), 0.03)
    assert passed.unit(1, video_unit(33, key=True), 0.03) == "720p"
    assert passed.unit(1, video_unit(67), 0.06) == "720p"


def of_first(until_ms: int, keys: int = 2000) -> Iterator[VideoUnit]:
    for at_ms in range(0, until_ms, 40):
        yield video_unit(at_ms, key=at_ms % keys == 0)


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ([video_unit(0, key=True), video_unit(40, composition_ms=80)], "B-frames"),
        ([video_unit(0, key=True), video_unit(0)], "steps back"),
        ([video_unit(i * 40, key=i == 0) for i in range(60)], "from one keyframe to the next"),
        ([video_unit(i * 40, key=i % 30 == 0) for i in range(60)], "where the first track's are"),
        ([video_unit(i * 20, key=i % 100 == 0) for i in range(130)], "50 frames a second, of 30"),
    ],
)
def test_a_track_that_breaks_what_players_rely_on_stands_in_no_more(
    units: list[VideoUnit], words: str
) -> None:
    passed = tracks(replace(HD, fps=None))
    passed.has_changed = False
    ahead = list(of_first(3000))
    for unit in units:
        while ahead and ahead[0].dts_ms <= unit.dts_ms:
            passed.unit(FIRST, ahead.pop(0), unit.dts_ms / 1000)
        passed.unit(1, unit, unit.dts_ms / 1000)
    assert names(passed) == []
    assert passed.has_changed
    assert passed.notices[0].startswith("video track 1 stands in for 720p no more: ")
    assert words in passed.notices[0]
    passed.on_source(SOURCE, FULL_HD, 3.0)
    assert names(passed) == [], "not before another publisher"


def test_a_track_that_stops_stands_in_no_more() -> None:
    passed = tracks(HD, SD)
    assert pictures(passed, FIRST, 1, 2, seconds=2) == ["480p", "720p"]
    for unit in of_first(2000 + round(SILENT_S * 1000) + 80):
        if unit.dts_ms >= 2000:
            passed.unit(FIRST, unit, unit.dts_ms / 1000)
            if unit.dts_ms % 80 == 0:
                passed.unit(2, unit, unit.dts_ms / 1000)
            passed.tick(unit.dts_ms / 1000)
    assert names(passed) == ["480p"]
    assert passed.notices == ["video track 1 stands in for 720p no more: no picture for 3 s"]


def test_where_all_tracks_stop_a_silent_publisher_loses_none() -> None:
    passed = tracks(HD)
    pictures(passed, FIRST, 1, seconds=2)
    passed.tick(60.0)
    assert names(passed) == ["720p"]


def test_a_track_of_more_bits_than_its_rendition_may_have_stands_in_no_more() -> None:
    passed = tracks(SD)
    pictures(passed, FIRST, 1, seconds=10, size=8_000)  # 1.9 Mbit/s, of 1.5 at most
    assert names(passed) == []
    assert "1.9 Mbit/s, of 1.5 at most" in passed.notices[0]


def test_a_picture_that_cannot_be_read_ends_it() -> None:
    passed = tracks(SD)
    passed.broken(7, "unreadable")
    assert names(passed) == ["480p"]
    passed.broken(1, "unreadable")
    assert names(passed) == []


def test_a_source_of_another_size_ends_all_and_another_publisher_begins_anew() -> None:
    passed = tracks(SD)
    passed.on_source(replace(SOURCE, width=1280, height=720), HD, 1.0)
    assert names(passed) == []
    passed.restart()
    passed.on_source(SOURCE, FULL_HD, 2.0)
    passed.configure(1, SD, FULL_HD, 2.0)
    assert names(passed) == ["480p"]


def test_one_that_stood_by_goes_on_with_its_tracks_from_their_next_keyframe() -> None:
    aside, passed = tracks(HD, replace(SD, rotation=90)), tracks(SD)
    pictures(aside, FIRST, 1)
    passed.restart()
    follow_on(passed, aside, 9.0)
    assert names(passed) == [], "its first track's headers have to tell"
    passed.on_source(SOURCE, FULL_HD, 9.0)
    assert names(passed) == ["720p"]
    assert passed.unit(1, video_unit(9_000, key=False, data=b"1"), 9.0) == ""
    assert passed.unit(1, video_unit(9_040, key=True, data=b"1"), 9.04) == "720p"


def test_new_headers_of_the_same_size_change_the_headers_alone() -> None:
    passed = tracks(SD)
    passed.has_changed = False
    passed.configure(1, replace(SD, record=b"other"), FULL_HD, 1.0)
    assert passed.has_changed
    config, video = passed.described()["480p"]
    assert config.record == b"other"
    assert (video.width, video.height, video.bitrate_bps) == (852, 480, 1_000_000)
    assert video.fps == Fraction(30)
    passed.configure(1, replace(SD, width=640), FULL_HD, 1.0)
    assert names(passed) == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(0, 5000), st.booleans(), st.sampled_from([0, 0, 0, 40])
        ),
        max_size=60,
    )
)
def test_whatever_comes_a_track_is_passed_in_order_from_a_keyframe_on(
    units: list[tuple[int, int, bool, int]],
) -> None:
    passed = tracks(HD, SD)
    times: dict[str, int] = {}
    for i, (number, dts_ms, is_key, composition_ms) in enumerate(units):
        unit = video_unit(dts_ms, key=is_key, composition_ms=composition_ms)
        name = passed.unit(number, unit, i / 30)
        if name:
            assert is_key or name in times
            assert times.get(name, -1) < dts_ms
            assert not composition_ms
            times[name] = dts_ms
        passed.tick(i / 30)
