import io
from itertools import pairwise

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FlvError
from common.flv.video import (
    FlvReader,
    FrameType,
    Tag,
    TagType,
    VideoBody,
    VideoCodec,
    VideoPacket,
    avc_end_of_sequence,
    avc_nalus,
    avc_sequence_header,
    encode_file_header,
    encode_tag,
    is_keyframe_payload,
    is_sequence_header,
    parse_video,
)

TAGS = [
    Tag(TagType.SCRIPT, 0, b"\x02\x00\x0aonMetaData\x05"),
    Tag(TagType.VIDEO, 0, avc_sequence_header(b"\x01\x64\x00\x1f")),
    Tag(TagType.AUDIO, 0, b"\xaf\x00\x12\x10"),
    Tag(TagType.VIDEO, 0x1234_5678, avc_nalus(b"\x00\x00\x00\x01\x65", 40, True)),
    Tag(TagType.AUDIO, 0x1234_5679, b""),
]
FILE = encode_file_header(True, True) + b"".join(encode_tag(tag) for tag in TAGS)


def read(*pieces: bytes) -> list[Tag]:
    reader = FlvReader()
    tags: list[Tag] = []
    for piece in pieces:
        reader.feed(piece)
        while (tag := reader.next()) is not None:
            tags.append(tag)
    return tags


def test_a_tag_is_laid_out_as_in_annex_e() -> None:
    tag = Tag(TagType.VIDEO, 0x0102_0304, b"\xaa\xbb")
    assert encode_tag(tag).hex(" ") == "09 00 00 02 02 03 04 01 00 00 00 aa bb 00 00 00 0d"
    assert encode_file_header(True, True).hex() == "464c5601050000000900000000"
    assert encode_file_header(False, True)[4] == 1


@pytest.mark.parametrize("cut", range(len(FILE) + 1))
def test_a_file_in_two_pieces_has_the_same_tags(cut: int) -> None:
    assert read(FILE[:cut], FILE[cut:]) == TAGS


def test_a_file_byte_by_byte_has_the_same_tags() -> None:
    assert read(*(FILE[at : at + 1] for at in range(len(FILE)))) == TAGS


@pytest.mark.parametrize("size", range(len(FILE)))
def test_a_file_cut_short_has_fewer_tags_and_no_error(size: int) -> None:
    tags = read(FILE[:size])
    assert tags == TAGS[: len(tags)]
    assert len(tags) < len(TAGS)


def test_times_go_on_where_the_timestamp_wraps() -> None:
    times = [2**32 - 40, 2**32, 2**32 + 40]
    data = b"".join(encode_tag(Tag(TagType.AUDIO, time, b"x")) for time in times)
    assert [tag.dts_ms for tag in read(encode_file_header(True, False) + data)] == times


HEADER = encode_file_header(True, True)
BAD_FILES = [
    ("no FLV", b"RIFF", "not with FLV"),
    ("no FLV in one byte", b"G", "not with FLV"),
    ("absurd header size", b"FLV\x01\x05\x00\x01\x00\x00", "FLV header of 65536"),
    ("header size too small", b"FLV\x01\x05\x00\x00\x00\x08", "FLV header of 8"),
    ("encrypted", HEADER + b"\x28" + bytes(10), "encrypted"),
    ("wrong PreviousTagSize", HEADER + encode_tag(TAGS[1])[:-1] + b"\xff", "PreviousTagSize"),
]


@pytest.mark.parametrize(
    ("data", "reason"), [c[1:] for c in BAD_FILES], ids=[c[0] for c in BAD_FILES]
)
def test_a_damaged_file_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(FlvError, match=reason):
        read(data)


def test_a_tag_over_the_limit_is_refused_before_it_came() -> None:
    reader = FlvReader(max_payload_bytes=100)
    reader.feed(HEADER + b"\x09\x00\x00\x65" + bytes(7))
    with pytest.raises(FlvError, match="tag of 101 bytes exceeds 100"):
        reader.next()


def test_a_tag_that_does_not_fit_its_size_field_is_not_written() -> None:
    with pytest.raises(FlvError, match="exceeds 16777215"):
        encode_tag(Tag(TagType.VIDEO, 0, bytes(2**24)))


def test_unknown_tags_are_skipped_and_a_previous_tag_size_of_zero_is_tolerated() -> None:
    unknown = b"\x0b" + encode_tag(TAGS[1])[1:]
    sloppy = encode_tag(TAGS[2])[:-4] + bytes(4)
    assert read(HEADER + unknown + sloppy + encode_tag(TAGS[1])) == [TAGS[2], TAGS[1]]


def test_a_longer_file_header_is_stepped_over() -> None:
    longer = b"FLV\x01\x05\x00\x00\x00\x0c" + b"abc" + bytes(4)
    assert read(longer + encode_tag(TAGS[0])) == [TAGS[0]]


AVC, HEVC = VideoCodec.AVC, VideoCodec.HEVC
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
    payload: bytes, body: VideoBody, key: bool, header: bool
) -> None:
    assert parse_video(payload) == body
    assert (is_keyframe_payload(payload), is_sequence_header(payload)) == (key, header)


@by_body
def test_a_video_body_cut_anywhere_is_shorter_or_an_flv_error(
    payload: bytes, body: VideoBody, key: bool, header: bool
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
    ("frame type 0", "07 01 000000", "frame type 0"),
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


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_tags_or_an_flv_error(data: bytes, with_header: bool) -> None:
    try:
        read(HEADER + data if with_header else data)
    except FlvError:
        return


def test_an_flv_of_libavformat_is_read_and_ours_is_read_by_it() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"x264-params": "bframes=2:keyint=5:scenecut=0"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(10):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([index * 20]) * plane.buffer_size)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    tags = [tag for tag in read(file.getvalue()) if tag.type is TagType.VIDEO]
    assert is_sequence_header(tags[0].payload)
    bodies = [parse_video(tag.payload) for tag in tags]
    pictures = [
        (tag.dts_ms, tag.dts_ms + body.composition_ms)
        for tag, body in zip(tags, bodies, strict=True)
        if body.packet is VideoPacket.NALUS
    ]
    assert len(pictures) == 10
    assert any(pts > dts for dts, pts in pictures)
    assert all(later[0] > sooner[0] for sooner, later in pairwise(pictures))
    assert sum(is_keyframe_payload(tag.payload) for tag in tags) == 2
    ours = encode_file_header(False, True) + b"".join(encode_tag(tag) for tag in tags)
    with av.open(io.BytesIO(ours), "r") as container:
        again = [(p.dts, p.pts) for p in container.demux(video=0) if p.size]
    assert again == pictures
