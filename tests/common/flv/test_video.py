import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FlvError
from common.flv.video import (
    FrameType,
    VideoBody,
    VideoPacket,
    avc_end_of_sequence,
    avc_nalus,
    avc_sequence_header,
    is_keyframe_payload,
    is_sequence_header,
    parse_video,
)
from common.media.units import VideoCodec

AVC, HEVC = VideoCodec.H264, VideoCodec.H265
KEY, INTER = FrameType.KEY, FrameType.INTER
SEQUENCE_HEADER, NALUS, END = VideoPacket
# name, payload in hex, what it is, whether a keyframe, whether a sequence header
BODIES = [
    ("legacy sequence header", "17 00 000000 0164",
     VideoBody(AVC, KEY, SEQUENCE_HEADER, 0, b"\x01\x64"), False, True),
    ("legacy keyframe", "17 01 000028 aabb",
     VideoBody(AVC, KEY, NALUS, 40, b"\xaa\xbb"), True, False),
    ("legacy inter frame", "27 01 000000 aa", VideoBody(AVC, INTER, NALUS, 0, b"\xaa"),
     False, False),
    ("negative composition time", "27 01 ffffd8 aa", VideoBody(AVC, INTER, NALUS, -40, b"\xaa"),
     False, False),
    ("least composition time", "27 01 800000", VideoBody(AVC, INTER, NALUS, -(2**23), b""),
     False, False),
    ("disposable", "37 01 7fffff", VideoBody(AVC, FrameType.DISPOSABLE, NALUS, 2**23 - 1, b""),
     False, False),
    ("end of sequence", "17 02 000000", VideoBody(AVC, KEY, END, 0, b""), False, False),
    ("frame type 0", "07 01 000000 aa", VideoBody(AVC, INTER, NALUS, 0, b"\xaa"), False, False),
    ("frame type 7", "77 01 000000 aa", VideoBody(AVC, INTER, NALUS, 0, b"\xaa"), False, False),
    ("command", "57 00", VideoBody(AVC, FrameType.COMMAND, None, 0, b"\x00"), False, False),
    ("legacy HEVC", "1c 01 000000 aa", VideoBody(HEVC, KEY, NALUS, 0, b"\xaa"), True, False),
    ("H.263", "12 aa", VideoBody(VideoCodec.H263, KEY, None, 0, b"\xaa"), True, False),
    ("VP6", "24 aa", VideoBody(VideoCodec.VP6, INTER, None, 0, b"\xaa"), False, False),
    ("avc1 sequence start", "90 61766331 0164",
     VideoBody(AVC, KEY, SEQUENCE_HEADER, 0, b"\x01\x64"), False, True),
    ("avc1 coded frames", "91 61766331 ffffd8 aa", VideoBody(AVC, KEY, NALUS, -40, b"\xaa"),
     True, False),
    ("avc1 coded frames without composition time", "a3 61766331 aa",
     VideoBody(AVC, INTER, NALUS, 0, b"\xaa"), False, False),
    ("avc1 sequence end", "92 61766331", VideoBody(AVC, KEY, END, 0, b""), False, False),
    ("hvc1", "91 68766331 000001 aa", VideoBody(HEVC, KEY, NALUS, 1, b"\xaa"), True, False),
    ("av01 has no composition time", "91 61763031 aabbcc",
     VideoBody(VideoCodec.AV1, KEY, NALUS, 0, b"\xaa\xbb\xcc"), True, False),
    ("av01 in MPEG-2 TS", "95 61763031 aa",
     VideoBody(VideoCodec.AV1, KEY, SEQUENCE_HEADER, 0, b"\xaa"), False, True),
    ("vp09", "a1 76703039 aa", VideoBody(VideoCodec.VP9, INTER, NALUS, 0, b"\xaa"), False, False),
    ("colour info", "94 61766331 02", VideoBody(AVC, KEY, None, 0, b"\x02"), False, False),
    ("colour info with the command bits", "d4 61766331 02",
     VideoBody(AVC, FrameType.COMMAND, None, 0, b"\x02"), False, False),
    ("extended command", "d1 00", VideoBody(None, FrameType.COMMAND, None, 0, b"\x00"),
     False, False),
    ("ModEx", "97 02 0000ff 01 61766331 000000 aa", VideoBody(AVC, KEY, NALUS, 0, b"\xaa"),
     True, False),
    ("two ModEx", "97 00 ff 07 00 ff 00 61766331 aa",
     VideoBody(AVC, KEY, SEQUENCE_HEADER, 0, b"\xaa"), False, True),
    ("ModEx with a long size", "97 ff 0100" + "00" * 257 + "03 61766331 aa",
     VideoBody(AVC, KEY, NALUS, 0, b"\xaa"), True, False),
    ("one track, the first", "96 01 61766331 00 000000 aa", VideoBody(AVC, KEY, NALUS, 0, b"\xaa"),
     True, False),
    ("one track, another", "96 01 68766331 01 000000 aa", VideoBody(HEVC, KEY, None, 0, b"", 1),
     False, False),
    ("many tracks", "96 10 61766331 01 000002 bbbb 00 000001 aa",
     VideoBody(AVC, KEY, SEQUENCE_HEADER, 0, b"\xaa"), False, True),
    ("many codecs", "96 23 68766331 01 000002 bbbb 61766331 00 000001 aa",
     VideoBody(AVC, KEY, NALUS, 0, b"\xaa"), True, False),
    ("ModEx, then multitrack", "97 00 00 06 00 61766331 00 aa",
     VideoBody(AVC, KEY, SEQUENCE_HEADER, 0, b"\xaa"), False, True),
]  # fmt: skip
by_body = pytest.mark.parametrize(
    ("payload", "body", "key", "header"),
    [(bytes.fromhex(case[1]), *case[2:]) for case in BODIES],
    ids=[case[0] for case in BODIES],
)


@by_body
def test_a_video_body_is_taken_apart(
    payload: bytes, body: VideoBody[bytes], key: bool, header: bool
) -> None:
    assert parse_video(payload) == body
    assert (is_keyframe_payload(payload), is_sequence_header(payload)) == (key, header)


@by_body
def test_a_video_body_cut_anywhere_is_shorter_or_an_flv_error(
    payload: bytes, body: VideoBody[bytes], key: bool, header: bool
) -> None:
    for size in range(len(payload)):
        is_keyframe_payload(payload[:size])
        is_sequence_header(payload[:size])
        try:
            cut = parse_video(payload[:size])
        except FlvError:
            continue
        assert cut.codec in (body.codec, None) or cut.track_id
        assert len(cut.data) <= len(body.data) or body.track_id


BAD_BODIES = [
    ("empty", "", "empty"),
    ("codec id 1", "11", "codec id 1"),
    ("too short for AVC", "17 01 0000", "4 bytes"),
    ("packet type 3", "17 03 000000", "packet type 3"),
    ("unknown FourCC", "90 78797a31", "'xyz1'"),
    ("FourCC of control characters", "90 00ff0a0d", r"'\\x00\\xff\\n\\r'"),
    ("cut FourCC", "90 6176", "FourCC cut short"),
    ("coded frames without composition time", "91 61766331 0000", "without its composition"),
    ("ModEx only", "97", "ModEx cut short"),
    ("ModEx beyond the tag", "97 ff ffff 00", "ModEx reaches"),
    ("multitrack only", "96", "multitrack header cut short"),
    ("multitrack in multitrack", "96 06 61766331 00", "within multitrack"),
    ("multitrack kind", "96 30 61766331 00", "multitrack kind 3"),
    ("no track", "96 10 61766331", "without a track"),
    ("track beyond the tag", "96 10 61766331 00 00ffff aa", "beyond its tag"),
    ("track without its size", "96 10 61766331 00 00", "beyond its tag"),
]


@pytest.mark.parametrize(
    ("payload", "reason"), [c[1:] for c in BAD_BODIES], ids=[c[0] for c in BAD_BODIES]
)
def test_an_unreadable_video_body_is_refused_with_the_reason(payload: str, reason: str) -> None:
    with pytest.raises(FlvError, match=reason):
        parse_video(bytes.fromhex(payload))


def test_bodies_written_are_as_in_annex_e() -> None:
    assert avc_sequence_header(b"\x01").hex(" ") == "17 00 00 00 00 01"
    assert avc_nalus(b"\xaa", -40, False).hex(" ") == "27 01 ff ff d8 aa"
    assert avc_end_of_sequence().hex(" ") == "17 02 00 00 00"
    with pytest.raises(FlvError, match="8388608"):
        avc_nalus(b"", 2**23, True)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda data: b"\x96" + data))
def test_any_bytes_are_a_video_body_or_an_flv_error(payload: bytes) -> None:
    is_keyframe_payload(payload)
    is_sequence_header(payload)
    try:
        parse_video(payload)
    except FlvError:
        return
