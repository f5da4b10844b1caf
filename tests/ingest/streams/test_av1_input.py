"""ingest/streams/av1_input.py: a publisher's AV1, whatever its messages look like."""

import pytest

from common.codecs.av1 import Av1Config, parse_config, read_unit
from common.codecs.h264_access_units import MessageFacts
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from ingest.streams.av1_input import Av1Input, Av1Result
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Dropped
from tests.kit.coded_video import CodedSpec, coded_video

MADE = coded_video(CodedSpec(VideoCodec.AV1))
LARGER = coded_video(CodedSpec(VideoCodec.AV1, width=320, height=180, frames=2))
HEADER = read_unit(MADE.units[0].data).sequence_header
DELIMITER = b"\x12\0"


def facts(timestamp: int) -> MessageFacts:
    return MessageFacts(timestamp, 0, False, 100 + timestamp / 1000)


def fresh(record: bytes = b"") -> Av1Input:
    source = Av1Input(SourceTimes(Timeline()))
    if record:
        source.record(record)
    return source


def kinds(results: list[Av1Result]) -> list[str]:
    return [one.reason if isinstance(one, Dropped) else type(one).__name__ for one in results]


def test_the_sequence_header_in_band_makes_the_record() -> None:
    config, unit = fresh().message(MADE.units[0].data, facts(0))
    assert isinstance(config, VideoConfig)
    assert config == parse_config(Av1Config.from_sequence_header(HEADER).encode())
    assert isinstance(unit, VideoUnit)
    assert unit.is_random_access


def test_the_one_that_came_last_is_in_force() -> None:
    source = fresh(LARGER.record)
    assert kinds(source.message(MADE.units[0].data, facts(0))) == ["VideoConfig", "VideoUnit"]
    assert kinds(source.message(MADE.units[0].data, facts(40))) == ["VideoUnit"]
    assert source.record(LARGER.record) == [], "it is repeated with metadata, and says nothing"
    assert kinds(source.record(MADE.record)) in ([], ["VideoConfig"])


def test_delimiters_are_no_part_of_a_unit() -> None:
    source = fresh(MADE.record)
    source.message(MADE.units[0].data, facts(0))
    (unit,) = source.message(DELIMITER + MADE.units[1].data, facts(40))
    assert isinstance(unit, VideoUnit)
    assert unit.data == MADE.units[1].data
    data = memoryview(MADE.units[2].data)
    (unit,) = source.message(data, facts(80))
    assert isinstance(unit, VideoUnit)
    assert unit.data is data


@pytest.mark.parametrize(
    ("data", "results"),
    [
        (b"\x32\x7f", ["OBUs beyond their tag"]),
        (DELIMITER, ["video tag without a picture"]),
        (b"", ["video tag without a picture"]),
        (HEADER, ["VideoConfig"]),
        (b"\x0a\1\xff", ["unreadable sequence header in band"]),
        (b"\x32\2\x30\0", ["video before its sequence header"]),
    ],
)
def test_what_holds_no_picture(data: bytes, results: list[str]) -> None:
    assert kinds(fresh().message(data, facts(0))) == results


def test_a_header_that_cannot_be_read_is_complained_of_once() -> None:
    source = fresh(MADE.record)
    broken = b"\x0a\1\xff" + b"\x32\2\x10\0"
    assert kinds(source.message(broken, facts(0))) == [
        "unreadable sequence header in band",
        "VideoUnit",
    ]
    assert kinds(source.message(broken, facts(40))) == ["VideoUnit"]


@pytest.mark.parametrize(
    ("record", "results"),
    [
        (b"", ["empty sequence header"]),
        (b"\x81\4\x0c\0", []),  # it comes in band
        (b"\x01\4\x0c\0", ["unreadable sequence header"]),
        (MADE.record[:-3], ["unreadable sequence header"]),
        (MADE.record + bytes(20_000), ["unreadable sequence header"]),
    ],
)
def test_records(record: bytes, results: list[str]) -> None:
    assert kinds(fresh().record(record)) == results
