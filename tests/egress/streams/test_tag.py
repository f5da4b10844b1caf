"""egress/streams/tag.py: what is read of a tag's body, and its unit."""

import pytest

from common.flv.audio import aac_frame
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.media_messages import HEADER, KEY, REPLAY
from egress.streams.tag import AUDIO, DATA, VIDEO, read_tag


@pytest.mark.parametrize(
    ("tag_type", "body", "codec", "composition_ms", "data"),
    [
        (VIDEO, avc_nalus(b"picture", -80, True), "h264", -80, b"picture"),
        (VIDEO, avc_sequence_header(b"record"), "h264", 0, None),
        (AUDIO, aac_frame(b"sound"), "aac", 0, b"sound"),
        (AUDIO, b"\x2fmp3", "", 0, b"\x2fmp3"),
        (DATA, b"\x02\x00\x01d", "", 0, b"\x02\x00\x01d"),
    ],
)
def test_a_tag_tells_its_codec_and_gives_its_unit(
    tag_type: int, body: bytes, codec: str, composition_ms: int, data: bytes | None
) -> None:
    tag = read_tag(tag_type, 1000, 0, 5.0, body)
    assert (tag.codec, tag.composition_ms) == (codec, composition_ms)
    unit = tag.unit()
    assert (bytes(unit.data) if unit is not None else None) == data
    assert tag.pts_ms == 1000 + composition_ms


@pytest.mark.parametrize(
    ("tag_type", "body"), [(VIDEO, b"\x17"), (VIDEO, b"\x22sorenson"), (VIDEO, b""), (AUDIO, b"")]
)
def test_a_body_without_a_known_codec_is_kept_as_it_is(tag_type: int, body: bytes) -> None:
    tag = read_tag(tag_type, 1000, 0, 5.0, body)
    assert (tag.codec, tag.composition_ms, tag.body) == ("", 0, body)


@pytest.mark.parametrize(
    ("tag_type", "flags", "is_key"),
    [
        (VIDEO, KEY, True),
        (VIDEO, KEY | REPLAY, True),
        (VIDEO, KEY | HEADER, False),
        (VIDEO, 0, False),
        (AUDIO, KEY, False),
    ],
)
def test_only_a_picture_is_a_keyframe(tag_type: int, flags: int, is_key: bool) -> None:
    tag = read_tag(tag_type, 0, flags, 0.0, b"body")
    assert tag.is_key is is_key
    assert tag.is_replay is bool(flags & REPLAY)
