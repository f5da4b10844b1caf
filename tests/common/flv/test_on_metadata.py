"""common/flv/on_metadata.py: what a stream is, as script data."""

import math
from fractions import Fraction

import pytest

from common.errors import ProtocolError
from common.flv import amf0
from common.flv.on_metadata import declared_size, encode_metadata, metadata_members, video_metadata
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


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (1280.0, 720.0, (1280, 720)),
        (1919.999, 1080.0, (1919, 1080)),
        (0.0, 0.0, None),
        (1280.0, None, None),
        ("1280", "720", None),
        (math.nan, 720.0, None),
        (1280.0, math.inf, None),
        (1e9, 720.0, None),
        (-1280.0, -720.0, None),
    ],
)
def test_a_size_is_taken_if_it_is_a_sensible_one(
    width: amf0.Value, height: amf0.Value, size: tuple[int, int] | None
) -> None:
    assert declared_size({"width": width, "height": height}) == size
