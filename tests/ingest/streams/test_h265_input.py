"""ingest/streams/h265_input.py: a publisher's H.265, whatever its messages look like."""

from dataclasses import replace

import pytest

from common.codecs.h264 import join_avcc, split_avcc
from common.codecs.h264_access_units import MessageFacts
from common.codecs.h265 import RASL, HevcConfig, NalType, slice_type
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.h265_input import H265Input, H265Result
from ingest.streams.media_events import Dropped
from tests.kit.coded_video import CodedSpec, CodedVideo, coded_video

SC = b"\x00\x00\x00\x01"
MADE = coded_video(CodedSpec(VideoCodec.H265, b_frames=3))
LARGER = coded_video(CodedSpec(VideoCodec.H265, width=320, height=180, frames=2))
CONFIG = HevcConfig.parse(MADE.record)
SETS = (*CONFIG.vps, *CONFIG.sps, *CONFIG.pps)
CRA = next(i for i, unit in enumerate(MADE.units) if slice_type(unit.data, 4) == NalType.CRA)


def facts(timestamp: int, *, is_flagged: bool = False) -> MessageFacts:
    return MessageFacts(timestamp, 0, is_flagged, 100 + timestamp / 1000)


def made(record: bytes = MADE.record) -> H265Input:
    source = H265Input(SourceTimes(Timeline()))
    (config,) = source.record(record)
    assert isinstance(config, VideoConfig)
    return source


def kinds(results: list[H265Result]) -> list[str]:
    return [one.reason if isinstance(one, Dropped) else type(one).__name__ for one in results]


def feed(source: H265Input, video: CodedVideo, begin: int = 0) -> list[H265Result]:
    return [
        one
        for at, unit in enumerate(video.units[begin:])
        for one in source.message(unit.data, facts(40 * at))
    ]


def test_a_publisher_that_begins_with_a_cra_picture_has_its_leading_pictures_left_out() -> None:
    omitted = "leading picture without what it refers to"
    results = kinds(feed(made(), MADE, CRA))
    wanted = []
    is_later = False
    for index, unit in enumerate(MADE.units[CRA:]):
        kind = slice_type(unit.data, 4)
        is_later = is_later or (kind == NalType.CRA and index > 0)
        wanted.append(omitted if kind in RASL and not is_later else "VideoUnit")
    assert omitted in wanted
    assert results == wanted
    assert omitted not in kinds(feed(made(), MADE))


def test_parameter_sets_in_band_make_the_record() -> None:
    source = H265Input(SourceTimes(Timeline()))
    idr = split_avcc(MADE.units[0].data)
    config, unit = source.message(join_avcc([*SETS, *idr]), facts(0))
    assert isinstance(config, VideoConfig)
    assert HevcConfig.parse(config.record).sps == CONFIG.sps
    assert isinstance(unit, VideoUnit)
    assert unit.is_random_access
    assert kinds(source.message(join_avcc([*SETS, *idr]), facts(40))) == ["VideoUnit"]


def test_parameter_sets_ahead_of_their_picture_go_with_it() -> None:
    source = H265Input(SourceTimes(Timeline()))
    assert kinds(source.message(join_avcc(SETS), facts(0))) == ["VideoConfig"]
    (unit,) = source.message(MADE.units[0].data, facts(0))
    assert isinstance(unit, VideoUnit)
    assert split_avcc(bytes(unit.data))[:3] == list(SETS)


def test_other_parameter_sets_in_band_are_a_new_configuration() -> None:
    source = made()
    source.message(MADE.units[0].data, facts(0))
    other = HevcConfig.parse(LARGER.record)
    nals = [*other.vps, *other.sps, *other.pps, *split_avcc(LARGER.units[0].data)]
    config, unit = source.message(join_avcc(nals), facts(40))
    assert isinstance(config, VideoConfig)
    assert (config.width, config.height) == (320, 180)
    assert HevcConfig.parse(config.record).sei == CONFIG.sei
    assert isinstance(unit, VideoUnit)


@pytest.mark.parametrize(
    ("record", "results"),
    [
        (replace(CONFIG, nal_length_size=2).encode(), ["VideoConfig"]),
        (b"\0" + MADE.record[1:], ["VideoConfig"]),
        (b"".join(SC + nal for nal in SETS), ["VideoConfig"]),
        (replace(CONFIG, pps=()).encode(), ["sequence header without parameter sets"]),
        (b"", ["empty sequence header"]),
        (b"\1\2", ["unreadable sequence header"]),
        (replace(CONFIG, sps=(CONFIG.sps[0][:9],)).encode(), ["unreadable sequence header"]),
        (
            replace(CONFIG, sei=tuple(b"\x4e\1" + bytes((n,)) * 5000 for n in range(4))).encode(),
            ["unreadable sequence header"],
        ),
    ],
)
def test_records(record: bytes, results: list[str]) -> None:
    source = H265Input(SourceTimes(Timeline()))
    assert kinds(source.record(record)) == results


def test_lengths_are_as_the_record_says() -> None:
    source = made(replace(CONFIG, nal_length_size=2).encode())
    nals = split_avcc(MADE.units[0].data)
    (unit,) = source.message(join_avcc(nals, 2), facts(0))
    assert isinstance(unit, VideoUnit)
    assert unit.is_random_access


def test_units_that_cannot_be_read_break_what_refers_to_them() -> None:
    source = made()
    (dropped,) = source.message(b"\0\0\xff\xff\x02\x01", facts(0))
    assert isinstance(dropped, Dropped)
    assert dropped.breaks_references
    assert kinds(source.message(b"", facts(40))) == ["video tag without a picture"]


def test_a_recovery_point_is_a_keyframe_that_is_none_of_the_codecs() -> None:
    source = made()
    point = b"\x4e\x01\x06\x01\xd0\x80"
    (unit,) = source.message(join_avcc([point, b"\x02\x01\xd0\x20"]), facts(0))
    assert isinstance(unit, VideoUnit)
    assert (unit.is_key, unit.is_random_access) == (True, False)


def test_a_split_picture_comes_again_whole_and_waits_from_then_on() -> None:
    source = made()
    first, second = b"\x02\x01\xd0\x20", b"\x02\x01\x50\x20"
    assert kinds(source.message(join_avcc([first]), facts(0))) == ["VideoUnit"]
    assert source.message(join_avcc([second]), facts(0)) == []
    (whole,) = source.message(join_avcc([first]), facts(40))
    assert isinstance(whole, VideoUnit)
    assert split_avcc(bytes(whole.data)) == [first, second]
    assert source.flush(100.0) == []
    assert kinds(source.flush(101.0)) == ["VideoUnit"]
