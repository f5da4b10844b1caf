"""ingest/srt/to_units.py: transport streams as an ingest takes them."""

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.h264 import split_annexb
from common.codecs.h264_access_units import clean_nals
from common.errors import TransportStreamError
from common.ipc.unit_messages import UnitItem
from ingest.srt.to_units import FIRST_MS, Clock, StreamUnits, split_opus
from tests.kit.scte35_writer import INSERTION, NULL, insertion
from tests.kit.ts_writer import (
    AAC,
    AUDIO_PID,
    H264,
    OPUS,
    PRIVATE,
    SPLICE_PID,
    SPLICES,
    VIDEO_PID,
    TsWriter,
    adts,
)

IDR, SLICE = b"\x00\x00\x00\x01\x65\x88", b"\x00\x00\x01\x41\x88"
STREAMS = ((VIDEO_PID, H264, b""), (AUDIO_PID, AAC, b""))
WRAP = 1 << 33


def read(*parts: bytes) -> list[tuple[UnitItem, bytes]]:
    units = StreamUnits()
    for part in parts:
        units.feed(part, 1.0)
    items, payloads = units.take()
    return list(zip(items, payloads, strict=True))


def test_pictures_get_lengths_and_times_from_the_first_one() -> None:
    ts = TsWriter()
    found = read(
        ts.tables(STREAMS),
        ts.pes(VIDEO_PID, IDR, 900_000 + 7200, 900_000),
        ts.pes(VIDEO_PID, SLICE, 900_000 + 3600 + 7200, 900_000 + 3600),
    )
    assert found == [
        (UnitItem("video", "h264", FIRST_MS, 80, 0, 1.0), b"\x00\x00\x00\x02\x65\x88"),
        (UnitItem("video", "h264", FIRST_MS + 40, 80, 0, 1.0), b"\x00\x00\x00\x02\x41\x88"),
    ]


@pytest.mark.parametrize("start", [0, WRAP - 9_000, WRAP - 1, 12_345])
def test_times_go_on_over_the_33_bits(start: int) -> None:
    ts = TsWriter()
    found = read(
        ts.tables(STREAMS),
        *(ts.pes(VIDEO_PID, SLICE, start + n * 3600 + 3600, start + n * 3600) for n in range(10)),
    )
    assert [item.stamp_ms - FIRST_MS for item, _ in found] == [n * 40 for n in range(10)]
    assert {item.composition_ms for item, _ in found} == {40}


@given(
    st.integers(0, WRAP - 1),
    st.lists(st.integers(-90_000, 900_000), min_size=1, max_size=30),
)
def test_a_clock_follows_steps_of_any_size(start: int, steps: list[int]) -> None:
    clock, at = Clock(), start
    first = clock.ticks(1, start)
    for step in steps:
        at += step
        assert clock.ticks(1, at % WRAP) - first == at - start
    assert clock.ticks(2, (at + 90) % WRAP) - first == at + 90 - start, "another track's first"


def test_sound_that_begins_ahead_of_the_picture_is_not_below_zero() -> None:
    ts = TsWriter()
    found = read(
        ts.tables(STREAMS), ts.pes(VIDEO_PID, IDR, 9_000), ts.pes(AUDIO_PID, adts(b"x"), 0)
    )
    assert found[-1][0].stamp_ms == FIRST_MS - 100


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 100))
def test_frames_of_sound_may_go_over_the_borders_of_packets(sizes: list[int], piece: int) -> None:
    ts = TsWriter()
    raws = [bytes((number + 1,)) * size for number, size in enumerate(sizes)]
    data = b"".join(map(adts, raws))
    starts = [sum(size + 7 for size in sizes[:number]) for number in range(len(sizes))]
    packets = []
    for at in range(0, len(data), piece):
        begins = [n for n, start in enumerate(starts) if at <= start < at + piece]
        pts = begins[0] * 1920 if begins else None
        packets.append(ts.pes(AUDIO_PID, data[at : at + piece], pts))
    found = read(ts.tables(STREAMS), *packets)
    config, *frames = found
    assert config[0].kind == "audio-config"
    assert [payload for _, payload in frames] == raws
    expected = [FIRST_MS + round(number * 1024 / 48) for number in range(len(sizes))]
    assert [item.stamp_ms for item, _ in frames] == expected


def test_a_configuration_comes_again_when_it_changes() -> None:
    ts = TsWriter()
    frames = [adts(b"a"), adts(b"b"), adts(b"c", channels=1)]
    found = read(ts.tables(STREAMS), *(ts.pes(AUDIO_PID, one, 0) for one in frames))
    kinds = [item.kind for item, _ in found]
    assert kinds == ["audio-config", "audio", "audio", "audio-config", "audio"]


def test_a_picture_with_a_gap_is_lost_and_told() -> None:
    ts = TsWriter()
    whole = ts.pes(VIDEO_PID, IDR + bytes(range(1, 255)) * 4, 0, is_bounded=False)
    found = read(
        ts.tables(STREAMS),
        whole[:188] + whole[376:],
        ts.pes(VIDEO_PID, SLICE, 3600),
    )
    assert [item.kind for item, _ in found] == ["lost", "video"]


def test_what_is_no_picture_is_lost() -> None:
    ts = TsWriter()
    found = read(ts.tables(STREAMS), ts.pes(VIDEO_PID, b"nothing", 0))
    assert [item.kind for item, _ in found] == ["lost"]


def test_video_that_nobody_can_be_given_ends_it_with_words() -> None:
    with pytest.raises(TransportStreamError, match="MPEG-2 video in a transport stream"):
        read(TsWriter().tables(((VIDEO_PID, 0x02, b""),)))


def test_other_codecs_come_under_their_names() -> None:
    ts = TsWriter()
    opus = b"\x7f\xe0\x03\xfcxy\x7f\xe0\x03\xfcab"
    found = read(
        ts.tables(((VIDEO_PID, 0x24, b""), (AUDIO_PID, PRIVATE, OPUS))),
        ts.pes(VIDEO_PID, b"\x00\x00\x01\x26\x01x", 0),
        ts.pes(AUDIO_PID, opus, 0),
    )
    assert [(item.kind, item.codec) for item, _ in found] == [
        ("audio-config", "opus"),
        ("video", "h265"),
        ("audio", "opus"),
        ("audio", "opus"),
    ]
    assert [item.stamp_ms for item, _ in found[2:]] == [FIRST_MS, FIRST_MS + 20]


@pytest.mark.parametrize(
    ("data", "packets"),
    [
        (b"\x7f\xe0\x02ab", [b"ab"]),
        (b"\x7f\xe0\xff\x02" + bytes(257), [bytes(257)]),
        (b"\x7f\xf8\x02\x00\x01\x00\x02ab", [b"ab"]),
        (b"\x7f\xe4\x02\x01xab", [b"ab"]),
        (b"\x7f\xe0\x05ab", []),
        (b"raw", []),
        (b"", []),
    ],
)
def test_opus_packets_stand_behind_control_headers(data: bytes, packets: list[bytes]) -> None:
    assert split_opus(data) == packets


@given(st.binary(max_size=300))
def test_nothing_raises_whatever_the_sound_is(data: bytes) -> None:
    ts = TsWriter()
    split_opus(data)
    if data:
        read(ts.tables(STREAMS), ts.pes(AUDIO_PID, data, 0), ts.pes(AUDIO_PID, data, 1))


def _muxed(seconds: int = 1) -> bytes:
    """A transport stream as FFmpeg makes it, with B-frames and sound."""
    out = io.BytesIO()
    with av.open(out, "w", format="mpegts") as muxer:
        video = muxer.add_stream("libx264", rate=25, options={"bf": "2", "g": "10"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        audio = muxer.add_stream("aac", rate=48000)
        audio.layout = "stereo"
        for number in range(25 * seconds):
            frame = av.VideoFrame(320, 180, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            muxer.mux(video.encode(frame))
        for number in range(47 * seconds):
            sound = av.AudioFrame("fltp", "stereo", 1024)
            sound.sample_rate, sound.pts = 48000, number * 1024
            for plane in sound.planes:
                plane.update(bytes(plane.buffer_size))
            muxer.mux(audio.encode(sound))
        muxer.mux(video.encode(None))
        muxer.mux(audio.encode(None))
    return out.getvalue()


def _nals(data: bytes) -> Sequence[bytes]:
    return clean_nals(data, 4)[0]


def test_all_that_ffmpeg_muxes_is_found_as_ffmpeg_finds_it() -> None:
    data = _muxed()
    with av.open(io.BytesIO(data), "r", format="mpegts") as demuxer:
        expected = [
            (packet.stream.type, packet.pts or 0, packet.dts, bytes(packet))
            for packet in demuxer.demux()
            if packet.dts is not None
        ]
    pictures = [packet for packet in expected if packet[0] == "video"]
    units = StreamUnits()
    for at in range(0, len(data), 1316):
        units.feed(data[at : at + 1316], 1.0)
    units.end()  # the last picture, behind which nothing comes
    items, payloads = units.take()
    video = [(i, p) for i, p in zip(items, payloads, strict=True) if i.kind == "video"]
    assert len(video) == len(pictures) == 25
    for (item, payload), (_, pts, dts, picture) in zip(video, pictures, strict=True):
        assert item.composition_ms == round((pts - dts) / 90)
        assert list(_nals(payload)) == split_annexb(picture)
    assert [b[0].stamp_ms - a[0].stamp_ms for a, b in pairwise(video)] == [40] * 24
    assert sum(item.kind == "audio" for item in items) == len(expected) - 25


@pytest.mark.parametrize("start", [0, WRAP - 9_000, 12_345])
def test_a_splice_says_how_far_it_is_from_the_picture_before(start: int) -> None:
    ts = TsWriter()

    def told(data: bytes) -> bytes:
        return ts.packets(SPLICE_PID, data, is_section=True)

    ahead, now = insertion(7, (start + 3600 + 180_000) % WRAP), insertion(7)
    far, broken = insertion(7, (start + WRAP // 2) % WRAP), INSERTION[:-1] + b"x"
    found = read(
        ts.tables((*STREAMS, (SPLICE_PID, SPLICES, b""))),
        told(INSERTION),
        ts.pes(VIDEO_PID, IDR, start),
        ts.pes(VIDEO_PID, SLICE, start + 3600),
        *map(told, (ahead, now, far, broken, NULL)),
        ts.pes(VIDEO_PID, SLICE, start + 7200),
    )
    assert [item.kind for item, _ in found] == ["video"] * 2 + ["data"] * 3 + ["video"]
    at = FIRST_MS + 40
    assert found[2:5] == [
        (UnitItem("data", "scte35", at, 2_000, 0, 1.0), ahead),
        (UnitItem("data", "scte35", at, 0, 0, 1.0), now),
        (UnitItem("data", "scte35", at, 0, 0, 1.0), broken),
    ]
    assert found[5][0].stamp_ms == FIRST_MS + 80, "the splices' times are no track's"
