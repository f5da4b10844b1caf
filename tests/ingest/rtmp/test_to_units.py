import io
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.aac import AudioSpecificConfig
from common.codecs.h264 import AvcConfig, nal_type, split_avcc, to_annexb
from common.flv import amf0
from common.flv.audio import aac_sequence_header, audio_body
from common.flv.tag import FlvReader, Tag, TagType
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
    AudioCodec,
    AudioConfig,
    AudioUnit,
    DataUnit,
    MediaKind,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from common.rtmp.events import AudioReceived, DataReceived, MetadataReceived, VideoReceived
from ingest.rtmp.audio_input import AudioResult
from ingest.rtmp.to_units import Demuxer, VideoResult
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import (
    AudioOmitted,
    Dropped,
    Metadata,
    TrackOmitted,
    UnsupportedVideo,
)
from tests.kit.ingest_ports import video_unit

NOW = 100.0


@cache
def published(width: int, options: str, audio: bool = False) -> list[Tag]:
    """Ten pictures as libx264 and libavformat make them, with AAC if asked for."""
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as container:
        video = container.add_stream("libx264", rate=25, options={"x264-params": options})
        video.width, video.height, video.pix_fmt = width, 240, "yuv420p"
        sound = container.add_stream("aac", rate=44100, layout="stereo") if audio else None
        for index in range(10):
            frame = av.VideoFrame(width, 240, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([index * 20]) * plane.buffer_size)
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound is not None:
            silence = np.zeros((2, 44100 * 2 // 5), "float32")
            samples = av.AudioFrame.from_ndarray(silence, "fltp", "stereo")
            samples.sample_rate = 44100
            container.mux(sound.encode(samples))
            container.mux(sound.encode())
    reader = FlvReader()
    reader.feed(file.getvalue())
    tags = []
    while (tag := reader.next()) is not None:
        tags.append(tag)
    return tags


def videos(width: int = 320, options: str = "bframes=0:keyint=5") -> list[Tag]:
    return [tag for tag in published(width, options) if tag.type is TagType.VIDEO]


def record_of(tags: list[Tag]) -> bytes:
    return next(parse_video(tag.payload).data for tag in tags if is_sequence_header(tag.payload))


def pictures_of(tags: list[Tag]) -> list[Tag]:
    return [tag for tag in tags if parse_video(tag.payload).packet is VideoPacket.NALUS]


def fresh(record: bytes | None = None) -> Demuxer:
    demuxer = Demuxer(Timeline())
    if record is not None:
        (config,) = demuxer.video(0, avc_sequence_header(record), NOW)
        assert isinstance(config, VideoConfig)
    return demuxer


RECORD = record_of(videos())
PICTURES = pictures_of(videos())
IDR = parse_video(PICTURES[0].payload).data
INTER = parse_video(PICTURES[1].payload).data
CONFIG = AvcConfig.parse(RECORD)


def test_a_stream_of_libavformat_comes_out_as_it_went_in() -> None:
    demuxer = Demuxer(Timeline())
    results: list[VideoResult | AudioResult] = []
    tags = published(320, "bframes=2:keyint=5:scenecut=0", True)
    for tag in tags:
        match tag.type:
            case TagType.VIDEO:
                results += demuxer.video(tag.dts_ms, tag.payload, NOW)
            case TagType.AUDIO:
                results += demuxer.audio(tag.dts_ms, tag.payload, NOW)
            case _:
                pass
    assert not [result for result in results if isinstance(result, Dropped | AudioOmitted)]
    (video,) = [result for result in results if isinstance(result, VideoConfig)]
    assert (video.width, video.height, video.codec) == (320, 240, VideoCodec.H264)
    assert video.record == record_of([tag for tag in tags if tag.type is TagType.VIDEO])
    (audio,) = [result for result in results if isinstance(result, AudioConfig)]
    assert audio.codec is AudioCodec.AAC
    assert AudioSpecificConfig.parse(audio.record) == AudioSpecificConfig(2, 44100, 2, 2)
    units = [result for result in results if isinstance(result, VideoUnit)]
    assert [(unit.dts_ms, video_body(unit)) for unit in units] == [
        (tag.dts_ms, tag.payload)
        for tag in pictures_of([tag for tag in tags if tag.type is TagType.VIDEO])
    ]
    assert [unit.is_random_access for unit in units] == [unit.is_key for unit in units]
    assert [unit.is_random_access for unit in units].count(True) == 2
    assert [unit.pts_ms for unit in units] != sorted(unit.pts_ms for unit in units)
    frames = [result for result in results if isinstance(result, AudioUnit)]
    assert [(frame.dts_ms, audio_body(frame)) for frame in frames] == [
        (tag.dts_ms, tag.payload)
        for tag in tags
        if tag.type is TagType.AUDIO and tag.payload[1] == 1
    ]


def test_the_bytes_of_a_legacy_tag_are_not_copied() -> None:
    (unit,) = fresh(RECORD).video(0, PICTURES[0].payload, NOW)
    assert isinstance(unit, VideoUnit)
    assert video_body(unit) is PICTURES[0].payload
    assert (unit.data, unit.received_s) == (IDR, NOW)


def extended(packet_type: int, body: bytes, key: bool = True) -> bytes:
    return bytes((0x80 | (0x10 if key else 0x20) | packet_type,)) + b"avc1" + body


def test_enhanced_avc1_comes_out_in_legacy_form() -> None:
    demuxer = Demuxer(Timeline())
    (config,) = demuxer.video(0, extended(0, RECORD), NOW)
    assert isinstance(config, VideoConfig)
    assert video_header_body(config) == avc_sequence_header(RECORD)
    (key,) = demuxer.video(0, extended(1, b"\x00\x00\x28" + IDR), NOW)
    (inter,) = demuxer.video(40, extended(3, INTER, key=False), NOW)
    assert key == video_unit(0, key=True, composition_ms=40, data=IDR, received_s=NOW)
    assert inter == video_unit(40, data=INTER, received_s=NOW)


def test_annexb_inside_tags_becomes_lengths_of_the_records_size() -> None:
    for length_size in (4, 2):
        config = AvcConfig.from_parameter_sets(CONFIG.sps, CONFIG.pps, length_size)
        demuxer = fresh(config.encode())
        nals = split_avcc(IDR)
        (unit,) = demuxer.video(0, avc_nalus(to_annexb(nals), 0, True), NOW)
        assert isinstance(unit, VideoUnit)
        assert split_avcc(bytes(unit.data), length_size) == nals
        assert unit.is_random_access


def test_a_sequence_header_in_annexb_is_read() -> None:
    header = avc_sequence_header(to_annexb([*CONFIG.sps, *CONFIG.pps]))
    (config,) = Demuxer(Timeline()).video(0, header, NOW)
    assert isinstance(config, VideoConfig)
    read = AvcConfig.parse(config.record)
    assert (read.sps, read.pps) == (CONFIG.sps, CONFIG.pps)


def test_a_repeated_sequence_header_says_nothing() -> None:
    demuxer = fresh(RECORD)
    assert demuxer.video(40, avc_sequence_header(RECORD), NOW) == []
    assert demuxer.video(40, avc_sequence_header(RECORD + b"garbage"), NOW) == []
    other_ref_idc = RECORD.replace(CONFIG.sps[0], b"\x27" + CONFIG.sps[0][1:])
    assert demuxer.video(40, avc_sequence_header(other_ref_idc), NOW) == []


def test_a_new_sequence_header_is_a_change() -> None:
    record = record_of(videos(640))
    (config,) = fresh(RECORD).video(0, avc_sequence_header(record), NOW)
    assert isinstance(config, VideoConfig)
    assert (config.width, config.record) == (640, record)


def test_a_sequence_header_takes_no_time() -> None:
    """OBS sends headers with timestamp 0 whenever: it is no jump."""
    demuxer = fresh(RECORD)
    demuxer.video(50_000, PICTURES[0].payload, NOW)
    demuxer.video(0, avc_sequence_header(RECORD), NOW)
    demuxer.audio(0, aac_sequence_header(b"\x12\x10"), NOW)
    (unit,) = demuxer.video(50_040, PICTURES[1].payload, NOW)
    assert isinstance(unit, VideoUnit)
    assert (unit.dts_ms, unit.discontinuity) == (50_040, False)


def avcc(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


def test_a_flagged_keyframe_that_is_no_idr_stays_one() -> None:
    (unit,) = fresh(RECORD).video(0, avc_nalus(INTER, 0, True), NOW)
    assert isinstance(unit, VideoUnit)
    assert (unit.is_key, unit.is_random_access) == (True, False)


def test_an_idr_that_is_not_flagged_becomes_a_keyframe() -> None:
    (unit,) = fresh(RECORD).video(0, avc_nalus(IDR, 40, False), NOW)
    assert unit == video_unit(0, key=True, composition_ms=40, data=IDR, received_s=NOW)
    assert video_body(unit) == avc_nalus(IDR, 40, True)


def test_an_encoder_that_flags_every_picture_is_believed_on_idrs_only() -> None:
    demuxer = fresh(RECORD)
    units = [
        demuxer.video(at * 40, avc_nalus(data, 0, True), NOW)[0]
        for at, data in enumerate([IDR, INTER, INTER, IDR, INTER])
    ]
    assert [unit.is_key for unit in units if isinstance(unit, VideoUnit)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    assert units[1] == video_unit(40, data=INTER, received_s=NOW)
    assert video_body(units[1]) == avc_nalus(INTER, 0, False)


def test_intra_refresh_has_keyframes_that_are_no_idr() -> None:
    tags = videos(320, "bframes=0:keyint=4:intra-refresh=1")
    demuxer = fresh(record_of(tags))
    units = [demuxer.video(tag.dts_ms, tag.payload, NOW)[-1] for tag in pictures_of(tags)]
    assert [unit.is_random_access for unit in units if isinstance(unit, VideoUnit)] == [True] + [
        False
    ] * 9
    assert [unit.is_key for unit in units if isinstance(unit, VideoUnit)].count(True) > 1


def test_dts_moved_up_leaves_pts_where_it_was() -> None:
    demuxer = fresh(RECORD)
    demuxer.video(100, avc_nalus(IDR, 0, True), NOW)
    (moved,) = demuxer.video(90, avc_nalus(INTER, 80, False), NOW)
    assert moved == video_unit(101, composition_ms=69, data=INTER, received_s=NOW)
    assert video_body(moved) == avc_nalus(INTER, 69, False)
    (at_dts,) = demuxer.video(95, avc_nalus(INTER, 0, False), NOW)
    assert isinstance(at_dts, VideoUnit)
    assert (at_dts.dts_ms, at_dts.composition_ms) == (102, 0)
    (negative,) = demuxer.video(140, avc_nalus(INTER, -40, False), NOW)
    assert isinstance(negative, VideoUnit)
    assert (negative.dts_ms, negative.composition_ms) == (140, -40)


def test_an_absurd_composition_time_is_taken_as_none() -> None:
    (unit,) = fresh(RECORD).video(0, avc_nalus(IDR, 2**23 - 1, True), NOW)
    assert isinstance(unit, VideoUnit)
    assert (unit.composition_ms, parse_video(video_body(unit)).composition_ms) == (0, 0)


def test_a_jump_is_marked_on_the_unit() -> None:
    demuxer = fresh(RECORD)
    demuxer.video(50_000, PICTURES[0].payload, NOW)
    (unit,) = demuxer.video(0, PICTURES[1].payload, NOW + 0.04)
    assert isinstance(unit, VideoUnit)
    assert (unit.dts_ms, unit.discontinuity) == (50_040, True)


@pytest.mark.parametrize("stray", [b"\x00", b"\x80\x00", b"\x01\x02\x03"])
def test_a_picture_with_stray_bytes_behind_it_goes_on_without_them(stray: bytes) -> None:
    for wanted in PICTURES[:2]:
        (unit,) = fresh(RECORD).video(0, wanted.payload + stray, NOW)
        assert isinstance(unit, VideoUnit)
        assert video_body(unit) == wanted.payload


DROPPED = [
    ("too short", b"\x17\x01\x00", "unreadable video tag"),
    ("empty", b"", "unreadable video tag"),
    ("no NAL units", avc_nalus(b"", 0, True), "video tag without a picture"),
    ("empty NAL units", avc_nalus(bytes(8), 0, True), "video tag without a picture"),
    ("length beyond the tag", avc_nalus(IDR[:-1], 0, True), "NAL units beyond their tag"),
    ("empty sequence header", avc_sequence_header(b""), "empty sequence header"),
    ("cut sequence header", avc_sequence_header(RECORD[:9]), "unreadable sequence header"),
    ("SPS of garbage",
     avc_sequence_header(b"\x01\x64\x00\x1f\xff\xe1\x00\x02\x67\x64\x01\x00\x01\x68"),
     "unreadable sequence header"),
    ("SPS of garbage in band", avc_nalus(avcc(b"\x67\x64"), 0, True),
     "unreadable parameter sets in band"),
    ("33 SPS in band", avc_nalus(avcc(*[b"\x67\x64"] * 33), 0, True),
     "too many parameter sets in band"),
    ("257 PPS in band", avc_nalus(avcc(*[b"\x68\x64"] * 257), 0, True),
     "too many parameter sets in band"),
    ("a record of 17 KiB", avc_sequence_header(RECORD + bytes(17 * 1024)),
     "unreadable sequence header"),
    ("8193 NAL units", avc_nalus(avcc(*[b"\x41"] * 8193), 0, False),
     "NAL units beyond their tag"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "reason"), [c[1:] for c in DROPPED], ids=[c[0] for c in DROPPED]
)
def test_what_cannot_be_read_is_dropped_and_the_stream_goes_on(payload: bytes, reason: str) -> None:
    demuxer = fresh(RECORD)
    first = demuxer.video(0, payload, NOW)[0]
    assert isinstance(first, Dropped)
    assert (first.kind, first.reason) == (MediaKind.VIDEO, reason)
    assert first.breaks_references == (reason == "NAL units beyond their tag")
    (unit,) = demuxer.video(0, PICTURES[0].payload, NOW)
    assert isinstance(unit, VideoUnit)


def test_video_before_its_sequence_header_is_dropped() -> None:
    assert Demuxer(Timeline()).video(0, PICTURES[0].payload, NOW) == [
        Dropped(MediaKind.VIDEO, "video before its sequence header")
    ]


@pytest.mark.parametrize(
    ("payload", "tracks"),
    [
        (b"\x96\x01hvc1\x01\0\0\0\xaa", [(1, "HEVC", 4)]),
        (b"\xa6\x01avc1\x03\0\0\0\xaa\xbb", [(3, "H.264", 5)]),
        (b"\xa6\x01wxyz\x02\0\0\0", [(2, "'wxyz'", 3)]),
        (b"\xa6\x21hvc1\x01\0\0\x02\xaa\xbbav01\x02\0\0\x01\xcc", [(1, "HEVC", 2), (2, "AV1", 1)]),
    ],
)
def test_further_tracks_are_counted_and_go_nowhere(
    payload: bytes, tracks: list[tuple[int, str, int]]
) -> None:
    demuxer = Demuxer(Timeline())
    assert demuxer.video(0, payload, NOW) == [
        TrackOmitted(MediaKind.VIDEO, *track, NOW) for track in tracks
    ]


def test_messages_that_hold_no_picture_pass_silently() -> None:
    demuxer = fresh(RECORD)
    for payload in (
        avc_end_of_sequence(),
        b"\x57\x00",  # a command frame
        b"\xd1\x00",  # an E-RTMP command frame
        extended(4, b"\x02\x00\x09colorInfo"),
    ):
        assert demuxer.video(0, payload, NOW) == []


@pytest.mark.parametrize(
    ("payload", "name"),
    [(b"\x90vvc1\x01", "VVC"), (b"\x90vp08\x81", "VP8"), (b"\x91vvc1\x00\x00\x00\x01", "VVC"),
     (b"\x14\xaa", "VP6"), (b"\x12\xaa", "H.263"), (b"\x91vp09\xaa", "VP9")],
)  # fmt: skip
def test_other_codecs_are_named_once(payload: bytes, name: str) -> None:
    demuxer = Demuxer(Timeline())
    (found,) = demuxer.video(0, payload, NOW)
    assert isinstance(found, UnsupportedVideo)
    assert found.codec.label == name
    assert demuxer.video(0, payload, NOW) == []


ASC = b"\x12\x10"
AAC = AudioConfig(AudioCodec.AAC, ASC, sample_rate=44_100, channels=2)


def test_what_the_publisher_says_of_its_stream_comes_with_its_rate() -> None:
    body = amf0.encode("onMetaData", amf0.EcmaArray(framerate=59.94))
    assert fresh().metadata(body) == Metadata(body, Fraction(60_000, 1001))
    assert fresh().metadata(b"\x02") == Metadata(b"\x02")
    body = amf0.encode("onMetaData", amf0.EcmaArray(width=1280.0, height=720.0))
    assert fresh().metadata(body) == Metadata(body, None, (1280, 720))


def test_events_become_what_they_hold_each_when_it_is_asked_for() -> None:
    demuxer = fresh(RECORD)
    body = amf0.encode("onMetaData", amf0.EcmaArray(framerate=25.0))
    taken = demuxer.take(
        [
            VideoReceived(0, PICTURES[0].payload),
            MetadataReceived(0, body),
            DataReceived(10, b"\x02\x00\x06onText"),
            AudioReceived(0, aac_sequence_header(ASC)),
        ],
        NOW + 1,
    )
    assert demuxer.last_media_s == NOW
    assert next(taken) == video_unit(0, key=True, data=IDR, received_s=NOW + 1)
    assert demuxer.last_media_s == NOW + 1
    assert list(taken) == [
        Metadata(body, Fraction(25)),
        DataUnit(10, b"\x02\x00\x06onText", NOW + 1),
        AAC,
    ]


def test_data_messages_get_the_streams_time() -> None:
    demuxer = fresh(RECORD)
    demuxer.video(1_000, PICTURES[0].payload, NOW)
    assert demuxer.data(1_010, b"\x02\x00\x06onText", NOW) == DataUnit(
        1_010, b"\x02\x00\x06onText", NOW
    )


def test_metadata_that_came_as_data_is_dropped() -> None:
    demuxer = fresh(RECORD)
    without_an_end = amf0.encode("onMetaData", amf0.EcmaArray(width=640.0))[:-3]
    dropped = demuxer.data(1_010, without_an_end, NOW)
    assert dropped == Dropped(MediaKind.DATA, "unreadable metadata")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(
        [b"", b"\x17\x00\x00\x00\x00", b"\x17\x01\x00\x00\x00", b"\x91avc1\x00\x00\x00"]
    ),
    st.binary(max_size=60),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
)
def test_any_bytes_and_any_damage_are_results(
    head: bytes, data: bytes, damage: list[tuple[int, int]]
) -> None:
    demuxer = fresh(RECORD)
    demuxer.video(0, head + data, NOW)
    demuxer.audio(0, data, NOW)
    for payload in (avc_sequence_header(RECORD), avc_nalus(avcc(*CONFIG.sps) + IDR, 0, True)):
        damaged = bytearray(payload)
        for at, value in damage:
            damaged[at % len(damaged)] = value
        for result in demuxer.video(40, bytes(damaged), NOW):
            if isinstance(result, VideoUnit):
                assert is_keyframe_payload(video_body(result)) == result.is_key
                assert parse_video(video_body(result)).composition_ms == result.composition_ms
                assert result.data
            elif isinstance(result, VideoConfig):
                assert AvcConfig.parse(result.record).sps


def test_units_decode_after_every_rewriting() -> None:
    """Annex B in E-RTMP tags, parameter sets only in band: the whole chain, decoded strictly."""
    demuxer = Demuxer(Timeline())
    demuxer.video(0, extended(0, AvcConfig(100, 0, 31, 4, (), ()).encode()), NOW)
    results: list[VideoResult] = []
    for tag in PICTURES:
        nals = split_avcc(parse_video(tag.payload).data)
        key = any(nal_type(nal) == 5 for nal in nals)
        sets = [*CONFIG.sps, *CONFIG.pps] if key else []
        body = b"\x00\x00\x00" + to_annexb([*sets, *nals])
        results += demuxer.video(tag.dts_ms, extended(1, body, key), NOW)
    config = results[0]
    assert isinstance(config, VideoConfig)
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = config.record
    decoder.options = {"err_detect": "explode"}
    units = [result for result in results if isinstance(result, VideoUnit)]
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(bytes(unit.data)))]
    frames += decoder.decode(None)
    assert len(frames) == len(PICTURES)
