"""common/flv/on_metadata.py: what a stream is, as script data."""

from fractions import Fraction

import pytest

from common.errors import ProtocolError
from common.flv import amf0
from common.flv.on_metadata import encode_metadata, metadata_members, video_metadata
from common.media.units import VideoCodec


def test_members_come_back_out() -> None:
    members: dict[str, amf0.Value] = {"width": 640.0, "encoder": "x"}
    assert metadata_members(encode_metadata(members)) == members


@pytest.mark.parametrize(
    "body",
    [b"", b"\x02", b"\x02\x00\x0aonMetaData", amf0.encode("onMetaData", 5.0), b"\xff" * 20],
)
def test_what_cannot_be_read_says_nothing(body: bytes) -> None:
    assert metadata_members(body) == {}


def test_a_plain_object_is_read_too() -> None:
    assert metadata_members(amf0.encode("onMetaData", {"width": 1.0})) == {"width": 1.0}


def test_what_amf0_cannot_say_is_an_error() -> None:
    with pytest.raises(ProtocolError):
        encode_metadata({"x" * 70_000: 1.0})


@pytest.mark.parametrize(("codec", "number"), [("h264", 7.0), ("h265", float(0x68766331))])
def test_a_rendition_says_its_codec_size_and_rates(codec: str, number: float) -> None:
    body = video_metadata(VideoCodec(codec), 640, 360, Fraction(30_000, 1001), 700_000)
    assert metadata_members(body) == {
        "width": 640.0,
        "height": 360.0,
        "framerate": 29.97,
        "videodatarate": 700.0,
        "videocodecid": number,
        "encoder": "tfarm",
    }
