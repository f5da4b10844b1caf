"""ingest/pull/from_packets.py: what libavformat's demuxers give, as units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.h264 import join_avcc
from common.ipc.unit_messages import AUDIO, AUDIO_CONFIG, KEY, LOST, VIDEO, VIDEO_CONFIG
from ingest.pull.from_packets import PacketFacts, PacketUnits, TrackFacts
from ingest.pull.source import Batch
from tests.kit.ingest_ports import record
from tests.kit.ts_writer import adts

SPS, PPS = b"\x67sps", b"\x68pps"
START = b"\x00\x00\x00\x01"
IDR, SLICE = b"\x65idr", b"\x41slice"
ASC = bytes((0x11, 0x90))


def packet(data: bytes, at_s: float | None = 1.0, *, is_key: bool = False) -> PacketFacts:
    return PacketFacts(data, at_s, at_s, is_key, 7.0)


def shown(batch: Batch) -> list[tuple[str, str, int, int, bytes]]:
    return [
        (item.kind, item.codec, item.stamp_ms, item.flags, bytes(payload))
        for item, payload in zip(batch.items, batch.payloads, strict=True)
    ]


def test_rtsp_has_parameter_sets_outside_and_start_codes() -> None:
    """They come with the first picture, whatever it is, and with each keyframe."""
    units = PacketUnits(TrackFacts("h264", True, START + SPS + START + PPS), None)
    batch = Batch()
    units.begin(batch)
    units.video(batch, packet(START + SLICE))
    units.video(batch, packet(START + SLICE, 1.04))
    units.video(batch, packet(START + IDR, 1.08, is_key=True))
    assert shown(batch) == [
        (VIDEO, "h264", 1000, 0, join_avcc([SPS, PPS, SLICE])),
        (VIDEO, "h264", 1040, 0, join_avcc([SLICE])),
        (VIDEO, "h264", 1080, KEY, join_avcc([SPS, PPS, IDR])),
    ]


def test_fmp4_has_a_record_and_lengths() -> None:
    units = PacketUnits(TrackFacts("h264", True, record()), TrackFacts("aac", False, ASC))
    batch = Batch()
    units.begin(batch)
    units.video(batch, packet(join_avcc([IDR]), is_key=True))
    units.audio(batch, packet(b"raw", 1.02))
    assert shown(batch) == [
        (VIDEO_CONFIG, "h264", 0, 0, record()),
        (AUDIO_CONFIG, "aac", 0, 0, ASC),
        (VIDEO, "h264", 1000, KEY, join_avcc([IDR])),
        (AUDIO, "aac", 1020, 0, b"raw"),
    ]


def test_transport_streams_have_aac_with_headers_several_in_a_packet() -> None:
    units = PacketUnits(None, TrackFacts("aac", False))
    batch = Batch()
    units.begin(batch)
    units.audio(batch, packet(adts(b"one") + adts(b"two"), 2.0))
    kinds = [(kind, stamp, data) for kind, _, stamp, _, data in shown(batch)]
    assert kinds[0][0] == AUDIO_CONFIG
    assert kinds[1:] == [(AUDIO, 2000, b"one"), (AUDIO, 2021, b"two")]


@pytest.mark.parametrize(
    ("codec", "name"), [("pcm_mulaw", "G.711 mu-law audio"), ("mp3", "MP3 audio"), ("g722", "g722")]
)
def test_sound_that_cannot_be_served_goes_on_by_name_for_the_ingest_to_say_so(
    codec: str, name: str
) -> None:
    units = PacketUnits(None, TrackFacts(codec, False))
    batch = Batch()
    units.begin(batch)
    units.audio(batch, packet(b"x"))
    assert [item.codec for item in batch.items] == [name]


def test_a_picture_without_times_has_those_of_the_one_before() -> None:
    units = PacketUnits(TrackFacts("h264", True), None)
    batch = Batch()
    units.video(batch, packet(START + IDR, 3.0, is_key=True))
    units.video(batch, packet(START + SLICE, None))
    units.video(batch, PacketFacts(START + SLICE, 3.1, 3.3, False, 7.0))
    assert [(item.stamp_ms, item.composition_ms) for item in batch.items] == [
        (3000, 0),
        (3000, 0),
        (3100, 200),
    ]


def test_what_is_no_picture_is_a_loss() -> None:
    units = PacketUnits(TrackFacts("h264", True), None)
    batch = Batch()
    units.video(batch, packet(b"garbage"))
    assert [item.kind for item in batch.items] == [LOST]


@given(st.binary(max_size=200), st.sampled_from(["h264", "hevc", "av1", "vp9", "wmv3"]))
def test_any_bytes_make_units_that_are_as_long_or_losses(data: bytes, codec: str) -> None:
    units = PacketUnits(TrackFacts(codec, True, data[:9]), TrackFacts("aac", False, data[:3]))
    batch = Batch()
    units.begin(batch)
    units.video(batch, packet(data))
    units.audio(batch, packet(data))
    assert len(batch.items) == len(batch.payloads)
