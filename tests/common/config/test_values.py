"""Kinds of values: what they write they read, and their schema says what they read."""

from fractions import Fraction
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from common.config.access_values import IpAddress
from common.config.ladder import RENDITION_CODECS, RateControl
from common.config.picture_values import CodecName
from common.config.settings import Listen
from common.config.values import (
    Bitrate,
    Boolean,
    ByteCount,
    Choice,
    Even,
    Flush,
    FrameRate,
    Integer,
    Kind,
    ListenAddress,
    Milliseconds,
    Name,
    Network,
    Number,
    Seconds,
    Secret,
    Sha256,
    SourceLimit,
    Text,
    Word,
    listen_address,
)
from common.media.units import VideoCodec

# a kind, a value of the file, the setting that it gives, and how that is written
READ: list[tuple[Kind, Any, Any, Any]] = [
    (Milliseconds(0, 60_000), "1.5s", 1500, "1.5s"),
    (Milliseconds(0, 60_000), "45 ms", 45, "45ms"),
    (Milliseconds(0, 7_200_000), "1m", 60_000, "1m"),
    (Milliseconds(0, 7_200_000), "1h", 3_600_000, "1h"),
    (Milliseconds(0, 7_200_000), "90s", 90_000, "90s"),
    (Seconds(0, 7 * 86_400), "12h", 43_200.0, "12h"),
    (Milliseconds(0, 60_000), 0, 0, "0s"),
    (Seconds(0.1, 60), "2500ms", 2.5, "2.5s"),
    (Flush(), "frame", 0, "frame"),
    (Flush(), "20ms", 20, "20ms"),
    (Bitrate(16_000, 10_000_000), "2.5M", 2_500_000, "2500k"),
    (Bitrate(16_000, 10_000_000), "2M", 2_000_000, "2M"),
    (Bitrate(16_000, 10_000_000), 20_001, 20_001, "20001"),
    (ByteCount(0, 2**40), "256KiB", 262_144, "256KiB"),
    (ByteCount(0, 2**40), "1kB", 1000, "1000B"),
    (ByteCount(0, 2**40), 2**31, 2**31, "2GiB"),
    (ByteCount(0, 2**40), "0B", 0, "0B"),
    (Integer(0, 64), 3, 3, 3),
    (Even(16, 4096), 640, 640, 640),
    (Number(0, 1e9), 12, 12.0, 12),
    (Number(0, 1e9), 2.5, 2.5, 2.5),
    (Boolean(), True, True, True),
    (FrameRate(), 30, Fraction(30), 30),
    (FrameRate(), 29.97, Fraction(30000, 1001), "30000/1001"),
    (FrameRate(), "30000/1001", Fraction(30000, 1001), "30000/1001"),
    (FrameRate(), "source", None, "source"),
    (SourceLimit(), "1920x1080@60", (1920, 1080, 60), "1920x1080@60"),
    (Name(), "cam-1_a", "cam-1_a", "cam-1_a"),
    (Choice(RateControl), "vbr", RateControl.VBR, "vbr"),
    (Word(("a", "b")), "b", "b", "b"),
    (CodecName(RENDITION_CODECS), "h265", VideoCodec.H265, "h265"),
    (Text(), "x", "x", "x"),
    (Secret(), "x", "x", "x"),
    (Sha256(), "0" * 64, "0" * 64, "0" * 64),
    (Network(), "192.0.2.0/24", "192.0.2.0/24", "192.0.2.0/24"),
    (IpAddress(), "2001:DB8::7", "2001:db8::7", "2001:db8::7"),
    (ListenAddress(), "0.0.0.0:1935", Listen("0.0.0.0", 1935), "0.0.0.0:1935"),
    (ListenAddress(), "[::1]:0", Listen("::1", 0), "[::1]:0"),
]
# values that are refused, with words of the problem, and whether a schema refuses them as well
REFUSED: list[tuple[Kind, Any, str, bool]] = [
    (Milliseconds(100, 60_000), "3", "unit", True),
    (Milliseconds(100, 60_000), False, "unit", True),
    (Milliseconds(100, 60_000), 0, "between 100ms and 1m", True),
    (Milliseconds(100, 60_000), "1ms", "between 100ms and 1m", False),
    (Milliseconds(1500, 2050), "1s", "between 1.5s and 2050ms", False),
    (Flush(), "frames", 'or "frame"', True),
    (Bitrate(16_000, 200_000_000), "1k", "between 16k and 200M", False),
    (Bitrate(16_000, 200_000_000), 1000, "between 16k and 200M", True),
    (Bitrate(16_000, 200_000_000), True, "a bitrate", True),
    (ByteCount(65536, 2**26), "10", "a size", True),
    (ByteCount(65536, 2**26), 1, "between 64KiB and 64MiB", True),
    (Integer(0, 64), True, "whole number", True),
    (Integer(0, 64), 65, "between 0 and 64", True),
    (Even(16, 4096), 641, "even, 641 is odd", True),
    (Number(0, 1), "1", "a number", True),
    (Number(0, 1), float("nan"), "between 0 and 1", False),
    (Boolean(), 1, "true or false", True),
    (FrameRate(), "30/0", "a frame rate", False),
    (FrameRate(), 241, "between 1 and 240", True),
    (SourceLimit(), "1080p", '"1920x1080@60"', True),
    (SourceLimit(), "8x8@1", "16x16@1", False),
    (Name(), "a b", "letters", True),
    (Choice(RateControl), "abr", '"cbr", "vbr"', True),
    (Word(("a", "b")), ["a"], '"a", "b"', True),
    (CodecName(RENDITION_CODECS), "vp9", '"h264", "h265", "av1"', True),
    (Text(), "", "not empty", True),
    (Secret(), "x" * 257, "1 to 256", True),
    (Sha256(), "A" * 64, "64 hex digits", True),
    (Network(), "192.0.2.1/24", "a network", False),
    (IpAddress(), "example.org", "an address", False),
    (ListenAddress(), "::1:1935", "brackets", True),
    (ListenAddress(), "host:70000", "HOST:PORT", False),
]


@pytest.mark.parametrize(("kind", "value", "setting", "written"), READ)
def test_what_a_kind_writes_it_reads_again(
    kind: Kind, value: Any, setting: Any, written: Any
) -> None:
    assert kind.read(value) == setting
    assert kind.write(setting) == written
    assert kind.read(written) == setting
    schema = Draft202012Validator(kind.schema())
    assert schema.is_valid(value)
    assert schema.is_valid(written)


@pytest.mark.parametrize(("kind", "value", "words", "by_schema"), REFUSED)
def test_what_a_kind_refuses_it_refuses_with_the_reason(
    kind: Kind, value: Any, words: str, by_schema: bool
) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refused:
        kind.read(value)
    assert words in str(refused.value)
    assert Draft202012Validator(kind.schema()).is_valid(value) != by_schema


def test_an_address_to_listen_on_is_read_for_the_command_line_too() -> None:
    assert listen_address("127.0.0.1:1") == Listen("127.0.0.1", 1)
