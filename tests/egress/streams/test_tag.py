"""egress/streams/tag.py: what is read of a tag's body, and its unit."""

import pytest

from common.flv.audio import aac_frame
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.media_messages import HEADER, KEY, REPLAY, TagHeader
from egress.streams.tag import AUDIO, DATA, VIDEO, read_tags


@pytest.mark.parametrize(
    ("header", "body", "data"),
    [
        (TagHeader(VIDEO, "h264", 1000, -80, 0, 5.0), avc_nalus(b"picture", -80, True), b"picture"),
        (TagHeader(VIDEO, "h264", 1000, 0, HEADER, 5.0), avc_sequence_header(b"record"), None),
        (TagHeader(AUDIO, "aac", 1000, 0, 0, 5.0), aac_frame(b"sound"), b"sound"),
        (TagHeader(AUDIO, "mp3", 1000, 0, 0, 5.0), b"\x2fmp3", b"\x2fmp3"),
        (TagHeader(DATA, "", 1000, 0, 0, 5.0), b"\x02\x00\x01d", b"\x02\x00\x01d"),
    ],
)
def test_a_tag_says_what_its_message_says_and_gives_its_unit(
    header: TagHeader, body: bytes, data: bytes | None
) -> None:
    [tag] = read_tags([header], [body])
    assert (
        tag.type,
        tag.codec,
        tag.dts_ms,
        tag.composition_ms,
        tag.flags,
        tag.received_s,
    ) == header
    assert tag.body is body
    unit = tag.unit()
    assert (bytes(unit.data) if unit is not None else None) == data
    assert tag.pts_ms == 1000 + header.composition_ms
    [later] = read_tags([header], [body], 500)
    assert later.dts_ms == 1500


@pytest.mark.parametrize(
    ("tag_type", "body"), [(VIDEO, b"\x17"), (VIDEO, b"\x22sorenson"), (VIDEO, b""), (AUDIO, b"")]
)
def test_nobody_reads_a_body_to_route_it(tag_type: int, body: bytes) -> None:
    [tag] = read_tags([TagHeader(tag_type, "h264", 1000, 40, 0, 5.0)], [body])
    assert (tag.codec, tag.composition_ms, tag.body) == ("h264", 40, body)


@pytest.mark.parametrize(
    ("tag_type", "flags", "is_key"),
    [
        (VIDEO, KEY, True),
        (VIDEO, KEY | REPLAY, True),
        (VIDEO, KEY | HEADER, False),
        (VIDEO, 0, False),
        (AUDIO, KEY, True),
        (AUDIO, 0, False),
    ],
)
def test_one_begins_at_what_is_flagged(tag_type: int, flags: int, is_key: bool) -> None:
    [tag] = read_tags([TagHeader(tag_type, "h264", 0, 0, flags, 0.0)], [b"body"])
    assert tag.is_key is is_key
    assert tag.is_replay is bool(flags & REPLAY)
