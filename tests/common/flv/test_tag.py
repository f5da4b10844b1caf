"""common/flv/tag.py: tags, files of them, and the units in them."""

import io
from itertools import pairwise

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FlvError, ProtocolError
from common.flv.audio import aac_frame, aac_sequence_header, audio_body, audio_header_body
from common.flv.tag import FlvReader, Tag, TagType, encode_file_header, encode_tag
from common.flv.video import (
    VideoPacket,
    avc_end_of_sequence,
    avc_nalus,
    avc_sequence_header,
    is_keyframe_payload,
    is_sequence_header,
    parse_video,
    video_body,
    video_header_body,
)
from common.media.units import (
    FLV_ONLY,
    AudioCodec,
    AudioConfig,
    AudioUnit,
    DataUnit,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from tests.common.flv.test_audio import BODIES as AUDIO_BODIES
from tests.common.flv.test_video import BODIES as VIDEO_BODIES
from tests.kit.ingest_ports import SPS_720, record

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


# ---- units and tags, both ways

VIDEO = [bytes.fromhex(case[1]) for case in VIDEO_BODIES]
AUDIO = [bytes.fromhex(case[1]) for case in AUDIO_BODIES]
CLASSIC = [  # bodies that come out again as they went in
    avc_nalus(b"\0\0\0\1\x65", 40, True),
    avc_nalus(b"\0\0\0\1\x41", -40, False),
    b"\x37" + avc_nalus(b"\0\0\0\1\x01", 0, False)[1:],  # disposable
    aac_frame(b"\x21"),
    b"\xae\x01\x21",  # AAC that says mono
    b"\x2a\xff\xfb",
    b"\xb6\x1d",
]


def body_of(unit: VideoUnit | AudioUnit) -> bytes:
    return video_body(unit) if isinstance(unit, VideoUnit) else audio_body(unit)


def type_of(unit: VideoUnit | AudioUnit) -> TagType:
    return TagType.VIDEO if isinstance(unit, VideoUnit) else TagType.AUDIO


def there_and_back(tag: Tag) -> None:
    """A tag's unit makes a tag whose unit is the same; the bytes are those that came or ours."""
    unit = tag.unit()
    if unit is None or isinstance(unit, DataUnit):
        return
    again = Tag(type_of(unit), tag.dts_ms, body_of(unit), tag.received_s)
    assert again.unit() == unit
    second = again.unit()
    assert isinstance(second, VideoUnit | AudioUnit)
    assert body_of(second) == again.payload, "what was written comes out as it is"


@pytest.mark.parametrize("payload", [*VIDEO, *AUDIO], ids=lambda payload: payload.hex())
def test_the_unit_of_a_tag_makes_a_tag_of_the_same_unit(payload: bytes) -> None:
    for type in (TagType.VIDEO, TagType.AUDIO):
        for size in range(len(payload) + 1):
            try:
                there_and_back(Tag(type, 1234, payload[:size], 5.0))
            except FlvError:
                continue


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([TagType.VIDEO, TagType.AUDIO]),
    st.sampled_from(
        [b"", b"\x17\x01", b"\x91avc1", b"\xa1hvc1", b"\x93av01", b"\xaf\x01", b"\x91Opus", b"\x95"]
    ),
    st.binary(max_size=40),
)
def test_any_bytes_are_a_unit_that_goes_both_ways_or_an_error_of_the_tree(
    type: TagType, head: bytes, data: bytes
) -> None:
    tag = Tag(type, 7, head + data)
    for look in (lambda: there_and_back(tag), tag.config):
        try:
            look()
        except ProtocolError:
            continue


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1, VideoCodec.VP9]),
    st.integers(-(2**23), 2**23 - 1),
    st.booleans(),
    st.binary(max_size=30),
)
def test_a_picture_comes_back_out_of_its_tag(
    codec: VideoCodec, composition_ms: int, is_key: bool, data: bytes
) -> None:
    if codec in (VideoCodec.AV1, VideoCodec.VP9):
        composition_ms = 0  # E-RTMP has none for them
    unit = VideoUnit(codec, 0, 40, composition_ms, is_key, data, 1.0, is_key)
    assert Tag(TagType.VIDEO, 40, video_body(unit), 1.0).unit() == unit


@pytest.mark.parametrize("codec", [codec for codec in AudioCodec if codec not in FLV_ONLY])
def test_sound_comes_back_out_of_its_tag(codec: AudioCodec) -> None:
    unit = AudioUnit(codec, 0, 40, b"\x21\x10", 1.0)
    assert Tag(TagType.AUDIO, 40, audio_body(unit), 1.0).unit() == unit


@pytest.mark.parametrize("payload", CLASSIC, ids=lambda payload: payload.hex())
def test_a_classic_body_goes_out_as_it_came_and_uncopied(payload: bytes) -> None:
    type = TagType.VIDEO if payload[0] & 0x0F == 7 else TagType.AUDIO
    unit = Tag(type, 0, payload).unit()
    assert isinstance(unit, VideoUnit | AudioUnit)
    assert isinstance(unit.data, memoryview)
    assert unit.data.obj is payload
    assert body_of(unit) == payload
    if isinstance(unit, VideoUnit) or unit.codec is AudioCodec.AAC:
        assert body_of(unit) is payload


def test_a_body_that_says_something_else_of_the_picture_is_made_anew() -> None:
    payload = avc_nalus(b"\0\0\0\1\x65", 40, False)
    unit = Tag(TagType.VIDEO, 0, payload).unit()
    assert isinstance(unit, VideoUnit)
    unit.is_key = True
    assert video_body(unit) == avc_nalus(b"\0\0\0\1\x65", 40, True)
    unit.composition_ms = 0
    assert video_body(unit) == avc_nalus(b"\0\0\0\1\x65", 0, True)
    unit.data = unit.data[:-1]
    assert video_body(unit) == avc_nalus(b"\0\0\0\1", 0, True)


def test_data_messages_are_units_as_they_are() -> None:
    assert Tag(TagType.SCRIPT, 5, b"\x02\x00\x06onText", 2.0).unit() == DataUnit(
        5, b"\x02\x00\x06onText", 2.0
    )


@pytest.mark.parametrize(
    "payload", [avc_sequence_header(record()), avc_end_of_sequence(), b"\x57\x00", b"\x12\xaa"]
)
def test_headers_commands_ends_and_what_only_flv_knows_are_no_units(payload: bytes) -> None:
    assert Tag(TagType.VIDEO, 0, payload).unit() is None


def test_sequence_headers_are_configurations_both_ways() -> None:
    video = Tag(TagType.VIDEO, 0, avc_sequence_header(record(SPS_720))).config()
    assert isinstance(video, VideoConfig)
    assert (video.codec, video.width, video.height) == (VideoCodec.H264, 1280, 720)
    assert video_header_body(video) == avc_sequence_header(record(SPS_720))
    audio = Tag(TagType.AUDIO, 0, aac_sequence_header(b"\x11\x90")).config()
    assert audio == AudioConfig(AudioCodec.AAC, b"\x11\x90", sample_rate=48_000, channels=2)
    assert audio_header_body(audio) == aac_sequence_header(b"\x11\x90")
    assert Tag(TagType.VIDEO, 0, CLASSIC[0]).config() is None
    assert Tag(TagType.AUDIO, 0, aac_frame(b"\x21")).config() is None
    assert Tag(TagType.SCRIPT, 0, b"").config() is None


def test_other_codecs_are_written_with_their_fourcc() -> None:
    assert video_header_body(VideoConfig(VideoCodec.H265, b"rec", 64, 64)) == b"\x90hvc1rec"
    assert audio_header_body(AudioConfig(AudioCodec.OPUS, b"head")) == b"\x90Opushead"
    assert audio_header_body(AudioConfig(AudioCodec.MP3)) == b""
    unit = VideoUnit(VideoCodec.H265, 0, 0, 40, True, b"\xaa", 0.0)
    assert video_body(unit) == b"\x91hvc1\x00\x00\x28\xaa"
    unit.composition_ms = 0
    assert video_body(unit) == b"\x93hvc1\xaa"


@pytest.mark.parametrize("payload", [b"\x90vvc1\x01", b"\x90vp09\x81"])
def test_a_configuration_that_nobody_here_reads_is_an_flv_error(payload: bytes) -> None:
    with pytest.raises(FlvError, match="cannot be read"):
        Tag(TagType.VIDEO, 0, payload).config()


def test_what_no_tag_can_hold_is_an_flv_error() -> None:
    with pytest.raises(FlvError, match="VP6"):
        video_body(VideoUnit(VideoCodec.VP6, 0, 0, 0, True, b"", 0.0))
    with pytest.raises(FlvError, match="track 1"):
        audio_body(AudioUnit(AudioCodec.OPUS, 1, 0, b"", 0.0))
    assert issubclass(FlvError, ProtocolError)
