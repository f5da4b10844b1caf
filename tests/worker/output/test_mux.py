"""FLV tag bodies of a rendition."""

from fractions import Fraction

from common.codecs.h264 import AvcConfig
from common.config.ladder import RenditionFormat
from common.flv.amf0 import EcmaArray, decode_all
from common.flv.video import FrameType, VideoPacket, parse_video
from common.media.units import VideoCodec
from worker.output.mux import coded_picture, metadata, sequence_header

RENDITION = RenditionFormat(
    "360p", 640, 360, 0, 0, 640, 360, Fraction(30), 700_000, 1000, 2000, "main", "p3"
)
SPS = bytes.fromhex("674d401fda014016e840000003004000000ca3c60ca8")
PPS = bytes.fromhex("68ef3c80")


def test_metadata_is_the_renditions_own() -> None:
    name, values = decode_all(metadata(RENDITION, Fraction(30000, 1001)))
    assert name == "onMetaData"
    assert isinstance(values, EcmaArray)
    assert values == {
        "width": 640.0,
        "height": 360.0,
        "framerate": 29.97,
        "videodatarate": 700.0,
        "videocodecid": 7.0,
        "encoder": "tfarm",
    }


def test_the_sequence_header_holds_the_parameter_sets() -> None:
    config = AvcConfig.from_parameter_sets([SPS], [PPS])
    body = parse_video(sequence_header(config))
    assert body.packet is VideoPacket.SEQUENCE_HEADER
    assert AvcConfig.parse(body.data) == config


def test_a_coded_picture_has_no_composition_time_and_its_captions_in_front() -> None:
    body = parse_video(coded_picture(b"\0\0\0\1\x65", True, b"\0\0\0\1\x06"))
    assert body.codec is VideoCodec.H264
    assert body.frame_type is FrameType.KEY
    assert body.packet is VideoPacket.NALUS
    assert body.composition_ms == 0
    assert body.data == b"\0\0\0\1\x06\0\0\0\1\x65"
    assert parse_video(coded_picture(b"\0\0\0\1\x41", False)).frame_type is FrameType.INTER
