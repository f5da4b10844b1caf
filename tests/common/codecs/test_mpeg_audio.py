"""common/codecs/mpeg_audio.py: how long MPEG audio frames are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.mpeg_audio import mpeg_audio_ms

MP3_44 = b"\xff\xfb\x90\x00"  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes
FRAME_44 = MP3_44 + bytes(413)


@pytest.mark.parametrize(
    ("data", "samples", "rate"),
    [
        (FRAME_44, 1152, 44_100),
        (b"\xff\xfb\x94\x00", 1152, 48_000),
        (b"\xff\xf3\x40\x00", 576, 22_050),  # MPEG-2
        (b"\xff\xe3\x18\x00", 576, 8_000),  # MPEG-2.5
        (b"\xff\xfd\x94\x00", 1152, 48_000),  # layer II
        (b"\xff\xff\x94\x00", 384, 48_000),  # layer I
        (FRAME_44 * 3, 3 * 1152, 44_100),
        (FRAME_44 + b"ID3", 1152, 44_100),
        (MP3_44, 1152, 44_100),  # a part of one
        (b"\xff\xfb\x00\x00" + bytes(80), 1152, 44_100),  # free format
    ],
)
def test_a_message_is_as_long_as_its_frames(data: bytes, samples: int, rate: int) -> None:
    assert mpeg_audio_ms(data) == pytest.approx(samples * 1000 / rate)
    assert mpeg_audio_ms(memoryview(data)) == mpeg_audio_ms(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfb\x90",
        b"ID3\x04",
        b"\xff\xfb\xf0\x00",
        b"\xff\xfb\x9c\x00",
        b"\xff\xeb\x90\x00",
        b"\xff\xf9\x90\x00",
    ],
)
def test_what_is_no_frame_has_no_length(data: bytes) -> None:
    assert mpeg_audio_ms(data) is None


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: MP3_44 + tail))
def test_whatever_comes_is_read(data: bytes) -> None:
    length_ms = mpeg_audio_ms(data)
    assert length_ms is None or 0 < length_ms < 64 * 200
