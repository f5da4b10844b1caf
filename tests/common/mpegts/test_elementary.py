"""common/mpegts/elementary.py: units as what stands in PES packets."""

import pytest

from common.codecs.h264 import AvcConfig, split_annexb
from common.errors import ProtocolError, TransportStreamError
from common.media.units import AudioCodec, AudioConfig, VideoCodec, VideoConfig
from common.mpegts.elementary import picture_writer, sound_writer

SPS = bytes.fromhex("6742c00adb0bb201100000030010000003003c8c4a65")
PPS = bytes.fromhex("68ca83cb20")
AUD, IDR, SEI = b"\x09\xf0", b"\x65\xaa", b"\x06\x05"
AVC = VideoConfig(VideoCodec.H264, AvcConfig.from_parameter_sets((SPS,), (PPS,)).encode(), 320, 180)


def avcc(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


@pytest.mark.parametrize(
    ("nals", "is_key", "written"),
    [
        ((b"\x41\xaa",), False, [AUD, b"\x41\xaa"]),
        ((IDR,), True, [AUD, SPS, PPS, IDR]),
        ((SEI, IDR), True, [AUD, SPS, PPS, SEI, IDR]),
        ((b"\x09\x10", IDR), True, [AUD, SPS, PPS, IDR]),
        ((SPS, PPS, IDR), True, [AUD, SPS, PPS, IDR]),
    ],
)
def test_a_picture_has_one_delimiter_and_a_keyframe_its_sets_once(
    nals: tuple[bytes, ...], is_key: bool, written: list[bytes]
) -> None:
    assert split_annexb(picture_writer(AVC).write(avcc(*nals), is_key)) == written


def test_a_picture_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(ProtocolError):
        picture_writer(AVC).write(b"\x00\x00\x00\x09\x41", False)


@pytest.mark.parametrize("size", [0, 1, 254, 255, 256, 510, 1000])
def test_opus_says_its_size(size: int) -> None:
    writer = sound_writer(AudioConfig(AudioCodec.OPUS))
    assert writer is not None
    data = writer.write(b"\x01" * size, True)
    assert data[:2] == b"\x7f\xe0"
    head = data[: len(data) - size]
    assert sum(head[2:]) == size
    assert head[-1] < 255


def test_aac_of_a_kind_without_a_header_is_refused() -> None:
    with pytest.raises(ProtocolError):
        sound_writer(AudioConfig(AudioCodec.AAC, b"\xff\xff"))


def test_what_is_not_carried_is_left_out_or_refused() -> None:
    assert sound_writer(AudioConfig(AudioCodec.MP3)) is None
    with pytest.raises(TransportStreamError, match="AV1"):
        picture_writer(VideoConfig(VideoCodec.AV1, b"", 320, 180))
