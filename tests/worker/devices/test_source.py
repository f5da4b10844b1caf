"""Records of sequence headers: what can be served and what can't."""

import pytest

from common.codecs.h264 import AvcConfig
from common.errors import AvcError, DecodeFailed
from common.media.units import VideoCodec
from tests.kit.coded_video import CodedSpec, coded_video
from tests.kit.session_driver import SourceSpec, make_source
from worker.devices.source import read_source


def test_a_record_gives_its_configuration_and_the_sources_size() -> None:
    record = make_source(SourceSpec(frames=1)).record
    source = read_source(record)
    assert source.record == record
    assert source.config == AvcConfig.parse(record)
    assert (source.format.width, source.format.height) == (320, 180)
    assert source.size == "320x180"
    assert source.samples == 320 * 180
    assert source.length_size == 4
    assert source.fps == source.format.fps == 30


def test_a_record_without_sps_cannot_be_decoded() -> None:
    with pytest.raises(DecodeFailed, match="no SPS"):
        read_source(b"\x01\x4d\x00\x1f\xff\xe0\x00")


@pytest.mark.parametrize("record", [b"", b"\x01", b"\x01\x4d\x00\x1f\xff\xe1\x00\x02\x67\x4d\x00"])
def test_a_record_that_cannot_be_read_is_the_publishers_mistake(record: bytes) -> None:
    with pytest.raises(AvcError):
        read_source(record)


@pytest.mark.parametrize("codec", [VideoCodec.H265, VideoCodec.AV1])
def test_records_of_other_codecs_say_the_same_of_the_pictures(codec: VideoCodec) -> None:
    made = coded_video(CodedSpec(codec, frames=2))
    source = read_source(made.record, codec)
    assert source.codec is source.config.codec is codec
    assert (source.size, source.samples) == ("192x108", 192 * 108)
    assert source.length_size == (4 if codec is VideoCodec.H265 else 0)
    assert source.has_leading == (codec is VideoCodec.H265)
    assert [source.can_start_at(unit.data) for unit in made.units] == [True, False]
    assert not source.can_start_at(b"\xff")


@pytest.mark.parametrize(
    ("codec", "record", "words"),
    [
        (VideoCodec.H265, bytes(23), "no SPS"),
        (VideoCodec.AV1, b"\x81\x04\x0c\x00", "no sequence header"),
        (VideoCodec.VP6, b"", "VP6 is not decoded"),
    ],
)
def test_what_no_device_could_decode_is_said(codec: VideoCodec, record: bytes, words: str) -> None:
    with pytest.raises(DecodeFailed, match=words):
        read_source(record, codec)
