"""common/mpegts/muxer.py: units as a transport stream, and back."""

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.h264 import AvcConfig
from common.errors import TransportStreamError
from common.media.units import (
    AudioCodec,
    AudioConfig,
    AudioUnit,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from common.mpegts.demuxer import (
    PACKET_BYTES,
    PesPacket,
    SpliceSection,
    TracksChosen,
    TransportStream,
)
from common.mpegts.muxer import AUDIO_PID, BEGIN_MS, LEAD_MS, VIDEO_PID, Muxer
from common.scte35.section import parse
from tests.kit.coded_tracks import coded_track
from tests.kit.scte35_writer import insertion, section

SPS, PPS = (
    bytes.fromhex("6742c00adb0bb201100000030010000003003c8c4a65"),
    bytes.fromhex("68ca83cb20"),
)
AVC = VideoConfig(VideoCodec.H264, AvcConfig.from_parameter_sets((SPS,), (PPS,)).encode(), 320, 180)
AAC = AudioConfig(AudioCodec.AAC, bytes.fromhex("1190"))


def picture(dts_ms: int, size: int = 100, *, is_key: bool = False, later_ms: int = 0) -> VideoUnit:
    nal = bytes((0x65 if is_key else 0x41,)) + b"\xaa" * size
    data = len(nal).to_bytes(4, "big") + nal
    return VideoUnit(VideoCodec.H264, 0, dts_ms, later_ms, is_key, data, 0.0)


def sound(dts_ms: int, data: bytes = b"\x21" * 40) -> AudioUnit:
    return AudioUnit(AudioCodec.AAC, 0, dts_ms, data, 0.0)


def a_muxer(video: VideoConfig | None = AVC, audio: AudioConfig | None = AAC) -> Muxer:
    muxer = Muxer()
    muxer.configure(video, audio)
    return muxer


def read(data: bytes) -> list[PesPacket | TracksChosen]:
    stream = TransportStream(("aac", "opus"))
    events = [*stream.feed(data, 0.0), *stream.flush()]
    assert not stream.lost
    return [event for event in events if isinstance(event, PesPacket | TracksChosen)]


@pytest.mark.parametrize("video", [VideoCodec.H264, VideoCodec.H265])
@pytest.mark.parametrize("audio", [AudioCodec.AAC, AudioCodec.OPUS])
def test_a_player_decodes_every_picture_at_its_time(video: VideoCodec, audio: AudioCodec) -> None:
    pictures, sounds = coded_track(video), coded_track(audio)
    assert isinstance(pictures.config, VideoConfig)
    assert isinstance(sounds.config, AudioConfig)
    muxer = a_muxer(pictures.config, sounds.config)
    units: list[VideoUnit | AudioUnit] = []
    at = pictures.begin
    for sample in pictures.samples:
        dts = round(at * 1000 / pictures.timescale)
        later = round(sample.composition * 1000 / pictures.timescale)
        units.append(VideoUnit(video, 0, dts, later, sample.is_key, sample.data, 0.0))
        at += sample.duration
    at = sounds.begin
    for sample in sounds.samples:
        dts = round(at * 1000 / sounds.timescale)
        units.append(AudioUnit(audio, 0, dts, sample.data, 0.0))
        at += sample.duration
    units.sort(key=lambda unit: unit.dts_ms)
    data = b"".join(part for unit in units for part in muxer.add(unit))
    assert not len(data) % PACKET_BYTES
    container: Any
    with av.open(io.BytesIO(data), format="mpegts") as container:
        frames = list(container.decode(video=0))
    assert len(frames) == pictures.decoded
    shown = sorted(unit.pts_ms for unit in units if isinstance(unit, VideoUnit))
    assert [round(frame.time * 1000) - BEGIN_MS for frame in frames] == pytest.approx(shown, abs=1)
    with av.open(io.BytesIO(data), format="mpegts") as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples >= sounds.decoded - 2048


def test_tables_stand_before_each_keyframe_and_nowhere_else() -> None:
    muxer = a_muxer()
    for dts, is_key in ((0, True), (40, False), (80, True)):
        data = b"".join(muxer.add(picture(dts, is_key=is_key)))
        pids = [(data[at + 1] & 0x1F) << 8 | data[at + 2] for at in range(0, len(data), 188)]
        assert (pids[:2] == [0, 0x1000]) == is_key
        assert set(pids[2 if is_key else 0 :]) == {VIDEO_PID}
    events = read(b"".join(a_muxer().add(picture(0, is_key=True))))
    assert isinstance(events[0], TracksChosen)
    assert isinstance(events[1], PesPacket)
    assert events[1].is_random_access
    assert SPS in events[1].data
    assert PPS in events[1].data


def test_another_track_brings_tables_with_the_next_unit() -> None:
    muxer = a_muxer(AVC, None)
    data = b"".join(muxer.add(picture(0, is_key=True)))
    assert not muxer.add(sound(10))
    muxer.configure(AVC, AAC)
    data += b"".join(muxer.add(sound(20)) + muxer.add(picture(40)))
    chosen = [event for event in read(data) if isinstance(event, TracksChosen)]
    assert [one.audio is not None for one in chosen] == [False, True]
    muxer.configure(AVC, AAC)
    assert len(b"".join(muxer.add(sound(60)))) == PACKET_BYTES


def test_sound_that_is_not_carried_is_left_out_and_pictures_are_refused() -> None:
    for audio in (AudioConfig(AudioCodec.MP3), AudioConfig(AudioCodec.AAC, b"\xff")):
        muxer = a_muxer(AVC, audio)
        assert not muxer.add(sound(0))
        assert muxer.add(picture(0, is_key=True))
    with pytest.raises(TransportStreamError, match="AV1"):
        a_muxer(VideoConfig(VideoCodec.AV1, b"", 320, 180))


def pcrs(data: bytes) -> list[int]:
    found = []
    for at in range(0, len(data), PACKET_BYTES):
        if data[at + 3] & 0x20 and data[at + 4] and data[at + 5] & 0x10:
            found.append(int.from_bytes(data[at + 6 : at + 10], "big") * 2 // 90)
    return found


def test_the_clock_goes_on_between_pictures_that_are_far_apart_and_never_back() -> None:
    muxer = a_muxer()
    parts: list[bytes] = []
    for at in range(0, 2000, 20):
        if at % 500 == 0:
            parts += muxer.add(picture(at, is_key=not at))
        parts += muxer.add(sound(at + 60))
    found = pcrs(b"".join(parts))
    assert found[0] == BEGIN_MS - LEAD_MS
    assert all(0 <= after - before <= 100 for before, after in pairwise(found))


def test_sound_alone_has_the_clock() -> None:
    muxer = a_muxer(None, AAC)
    data = b"".join(part for at in range(0, 500, 20) for part in muxer.add(sound(at)))
    assert len(pcrs(data)) >= 5
    assert {event.track.pid for event in read(data) if isinstance(event, PesPacket)} == {AUDIO_PID}


SIZES = st.lists(st.tuples(st.integers(0, 70_000), st.booleans(), st.integers(0, 200)), max_size=6)


@given(SIZES, st.integers(0, 1 << 40))
def test_whatever_the_sizes_all_comes_back(
    sizes: Sequence[tuple[int, bool, int]], begin_ms: int
) -> None:
    muxer = a_muxer()
    parts, sent = [], []
    for number, (size, is_key, later) in enumerate(sizes):
        unit = picture(begin_ms + number * 40, size, is_key=is_key or not number, later_ms=later)
        parts += muxer.add(unit)
        sent.append((unit.dts_ms, unit.pts_ms, size))
    data = b"".join(parts)
    assert len(data) % PACKET_BYTES == 0
    found = [event for event in read(data) if isinstance(event, PesPacket)]
    wrap = 1 << 33
    assert [(pes.dts, pes.pts) for pes in found] == [
        ((dts + BEGIN_MS) * 90 % wrap, (pts + BEGIN_MS) * 90 % wrap) for dts, pts, _ in sent
    ]
    assert [pes.data.count(b"\xaa") for pes in found] == [size for _, _, size in sent]


def test_a_splice_has_a_track_from_the_first_one_on_and_the_stream_s_time() -> None:
    muxer = a_muxer()
    long = section(0xFF, bytes(400))
    data = b"".join(muxer.add(picture(0, is_key=True)))
    data += b"".join(muxer.splice(insertion(7, 5), 4_000) + muxer.splice(insertion(7, 9), 8_000))
    data += b"".join(muxer.splice(long, 8_000) + muxer.add(picture(40)))
    assert not len(data) % PACKET_BYTES
    stream = TransportStream(("aac",))
    events = [*stream.feed(data, 0.0), *stream.flush()]
    assert not stream.lost
    found = [event.data for event in events if isinstance(event, SpliceSection)]
    assert [parse(one).pts for one in found[:2]] == [(at + BEGIN_MS) * 90 for at in (4_000, 8_000)]
    assert found[2] == long
    assert sum(isinstance(event, PesPacket) for event in events) == 2
    assert b"\x05\x04CUEI" in data
    plain = a_muxer()
    assert b"CUEI" not in b"".join(plain.add(picture(0, is_key=True)))
