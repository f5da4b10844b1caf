"""What is left of a message without its pictures and sound; ingest must not see the difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.capture.headers_only import HeadersOnly
from common.codecs.h264_access_units import clean_nals
from common.codecs.h265 import is_random_access
from common.errors import AvcError
from common.flv import amf0
from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header, video_body, video_header_body
from common.media.units import VideoCodec, VideoConfig, VideoUnit
from ingest.rtmp.to_units import Demuxer
from ingest.streams.clock.timeline import Timeline
from tests.kit.coded_video import CodedSpec, coded_video
from tests.kit.ingest_ports import ASC, PPS, SPS_1080, record

SECRET = b"SECRET PICTURE"
SLICE = b"\x41\x9a" + bytes(range(1, 30)) + SECRET * 20
IDR = b"\x65\x88" + bytes(range(1, 30)) + SECRET * 20
SEI = b"\x06\x05\x40" + SECRET * 4 + b"\x80"
AUD = b"\x09\xf0"
CODE = b"\x00\x00\x00\x01"


def prefixed(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


BODIES = {
    "one slice": prefixed(SLICE),
    "several slices": prefixed(AUD, SEI, IDR, SLICE, SLICE),
    "an empty NAL unit": prefixed(b"", SLICE),
    "parameter sets in band": prefixed(SPS_1080, PPS, IDR),
    "start codes in a NAL unit": prefixed(SPS_1080 + CODE + PPS + CODE[1:] + IDR),
    "zero bytes at the end": prefixed(SLICE + bytes(3), SLICE + bytes(40)),
    "Annex B": CODE + AUD + CODE + SEI + CODE[1:] + IDR + CODE + SLICE,
    "a length beyond the tag": prefixed(SLICE)[:-3] + b"\x01",
    "a few bytes behind": prefixed(SLICE) + b"\x00\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_nal_units_keep_their_kinds_lengths_and_heads_and_lose_the_picture(body: bytes) -> None:
    payload = avc_nalus(body, 40, is_key=True)
    outline = HeadersOnly().message(9, 5, payload)
    rebuilt = outline.payload()
    assert (outline.type_id, outline.timestamp, outline.size) == (9, 5, len(payload))
    assert len(rebuilt) == len(payload)
    assert SECRET not in b"".join(part for part in outline.parts if isinstance(part, bytes))
    assert facts(rebuilt[5:]) == facts(body)


def facts(body: bytes) -> object:
    try:
        nals, is_clean = clean_nals(body, 4)
    except AvcError as error:
        return str(error)
    heads = [nal[: 16 if nal[0] & 0x1F in (1, 5) else 2] for nal in nals]
    return is_clean, [len(nal) for nal in nals], heads


@given(
    st.lists(
        st.sampled_from((SLICE, IDR, SEI, AUD, SPS_1080, PPS, b"", b"\x00", CODE, CODE[1:])),
        max_size=8,
    ),
    st.booleans(),
    st.integers(0, 60),
)
def test_whatever_stands_in_a_tag_ingest_reads_the_same(nals, is_prefixed, cut) -> None:
    body = prefixed(*nals) if is_prefixed else CODE.join(nals)
    body = body[: max(0, len(body) - cut)]
    outline = HeadersOnly().message(9, 0, avc_nalus(body, 0, is_key=False))
    assert facts(outline.payload()[5:]) == facts(body)


@given(st.sampled_from((8, 9, 18)), st.binary(max_size=200))
def test_any_bytes_keep_their_length(type_id: int, payload: bytes) -> None:
    outline = HeadersOnly().message(type_id, 0, payload)
    assert len(outline.payload()) == len(payload) == outline.size


def test_lengths_of_two_bytes_are_known_by_the_record() -> None:
    two = bytearray(record())
    two[4] = 0xFC | 1
    outlines = HeadersOnly()
    header = avc_sequence_header(bytes(two))
    assert outlines.message(9, 0, header).payload() == header
    body = b"".join(len(nal).to_bytes(2, "big") + nal for nal in (AUD, SLICE))
    rebuilt = outlines.message(9, 0, avc_nalus(body, 0, is_key=False)).payload()
    assert [len(nal) for nal in clean_nals(rebuilt[5:], 2)[0]] == [len(AUD), len(SLICE)]


def test_sound_keeps_its_header_and_its_length() -> None:
    outlines = HeadersOnly()
    header = aac_sequence_header(ASC)
    assert outlines.message(8, 0, header).parts == (header,)
    frame = aac_frame(b"\x21" + SECRET)
    assert outlines.message(8, 0, frame).parts == (frame[:3], len(frame) - 3)
    adts = bytes.fromhex("fff15080") + (7 + len(SECRET) << 13 | 0x1FFC).to_bytes(3, "big")[-3:]
    adts = adts[:3] + ((adts[3] << 16) | (7 + len(SECRET)) << 5 | 0x1F).to_bytes(3, "big") + b"\xfc"
    outline = outlines.message(8, 0, aac_frame(adts + SECRET))
    assert outline.parts == (aac_frame(adts), len(SECRET))


def test_metadata_stays_whole_and_other_data_keeps_its_name() -> None:
    outlines = HeadersOnly()
    metadata = amf0.encode("onMetaData", {"width": 320.0})
    assert outlines.message(18, 0, metadata).parts == (metadata,)
    name = amf0.encode("onTextData")
    text = name + amf0.encode({"text": "SECRET"})
    assert outlines.message(18, 0, text).parts == (name, len(text) - len(name))


@pytest.mark.parametrize("codec", [VideoCodec.H264, VideoCodec.H265, VideoCodec.AV1])
def test_of_every_codec_ingest_decides_the_same_by_what_is_left(codec: VideoCodec) -> None:
    made = coded_video(CodedSpec(codec, b_frames=2 * (codec is not VideoCodec.AV1)))
    whole, kept = Demuxer(Timeline()), Demuxer(Timeline())
    outlines = HeadersOnly()
    bodies = [video_header_body(VideoConfig(codec, made.record, 2, 2))]
    for unit in made.units:
        coded = VideoUnit(
            codec, 0, unit.dts_ms, unit.pts_ms - unit.dts_ms, unit.is_key, unit.data, 0.0
        )
        bodies.append(video_body(coded))
    sizes = 0
    for number, body in enumerate(bodies):
        outline = outlines.message(9, 40 * number, body)
        sizes += sum(len(part) for part in outline.parts if isinstance(part, bytes))
        seen = [
            [decided(one) for one in demuxer.video(40 * number, payload, 100.0 + number / 25)]
            for demuxer, payload in ((whole, body), (kept, outline.payload()))
        ]
        assert seen[0] == seen[1]
    assert sizes < sum(map(len, bodies)) / 2


def decided(result: object) -> object:
    if isinstance(result, VideoUnit):
        return result.dts_ms, result.pts_ms, result.is_key, len(result.data)
    return result


def test_h265_that_is_called_h264_is_known_by_its_record() -> None:
    made = coded_video(CodedSpec(VideoCodec.H265))
    outlines = HeadersOnly()
    outlines.message(9, 0, avc_sequence_header(made.record))
    unit = made.units[0].data
    rebuilt = outlines.message(9, 0, avc_nalus(unit, 0, is_key=True)).payload()[5:]
    assert is_random_access(rebuilt, made.record)
