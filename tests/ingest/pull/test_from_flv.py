"""ingest/pull/from_flv.py: what RTMP servers send to players, as units."""

import pytest

from common.flv import amf0
from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.unit_messages import (
    AUDIO,
    AUDIO_CONFIG,
    DATA,
    KEY,
    LOST,
    METADATA,
    VIDEO,
    VIDEO_CONFIG,
)
from common.rtmp.client import ClientEvent
from common.rtmp.events import AudioReceived, DataReceived, MetadataReceived, VideoReceived
from ingest.pull.from_flv import FlvUnits
from tests.kit.ingest_ports import record

ASC = bytes((0x11, 0x90))
MP3 = b"\x2f\xff\xfb\x90\x00"
OPUS_HEAD = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"


def units(*events: ClientEvent) -> list[tuple[str, str, int, int, int, bytes]]:
    batch = FlvUnits().take(events, 7.0)
    assert all(item.received_s in (0.0, 7.0) for item in batch.items)
    return [
        (item.kind, item.codec, item.stamp_ms, item.composition_ms, item.flags, bytes(payload))
        for item, payload in zip(batch.items, batch.payloads, strict=True)
    ]


def test_a_stream_of_h264_and_aac() -> None:
    found = units(
        MetadataReceived(0, b"meta"),
        VideoReceived(0, avc_sequence_header(record())),
        AudioReceived(0, aac_sequence_header(ASC)),
        VideoReceived(40, avc_nalus(b"picture", 80, True)),
        AudioReceived(50, aac_frame(b"sound")),
        VideoReceived(80, avc_nalus(b"next", 0, False)),
    )
    assert found == [
        (METADATA, "", 0, 0, 0, b"meta"),
        (VIDEO_CONFIG, "h264", 0, 0, 0, record()),
        (AUDIO_CONFIG, "aac", 0, 0, 0, ASC),
        (VIDEO, "h264", 40, 80, KEY, b"picture"),
        (AUDIO, "aac", 50, 0, 0, b"sound"),
        (VIDEO, "h264", 80, 0, 0, b"next"),
    ]


def test_enhanced_codecs_and_what_only_flv_knows() -> None:
    assert units(VideoReceived(0, b"\x93hvc1picture")) == [
        (VIDEO, "h265", 0, 0, KEY, b"picture"),
    ]
    assert units(AudioReceived(1, b"\x90Opus" + OPUS_HEAD), AudioReceived(2, b"\x91Opusx")) == [
        (AUDIO_CONFIG, "opus", 0, 0, 0, OPUS_HEAD),
        (AUDIO, "opus", 2, 0, 0, b"x"),
    ]
    assert units(AudioReceived(1, MP3), AudioReceived(2, MP3)) == [
        (AUDIO_CONFIG, "mp3", 0, 0, 0, b""),
        (AUDIO, "mp3", 1, 0, 0, MP3),
        (AUDIO, "mp3", 2, 0, 0, MP3),
    ]


@pytest.mark.parametrize("name", ["|RtmpSampleAccess", "onStatus"])
def test_what_servers_say_to_players_is_no_data_of_the_stream(name: str) -> None:
    assert units(DataReceived(0, amf0.encode(name, True))) == []
    cue = amf0.encode("onCuePoint", True)
    assert units(DataReceived(5, cue)) == [(DATA, "", 5, 0, 0, cue)]


@pytest.mark.parametrize("body", [b"", b"\x1f", b"\x17\x09\x00\x00\x00", b"\x17\x01", b"\x90abcd"])
def test_a_picture_that_cannot_be_read_is_a_loss(body: bytes) -> None:
    assert [unit[0] for unit in units(VideoReceived(0, body))] == [LOST]


@pytest.mark.parametrize("body", [b"", b"\xaf", b"\x90", b"\x95", b"\xf0"])
def test_sound_that_cannot_be_read_is_nothing(body: bytes) -> None:
    assert units(AudioReceived(0, body)) == []
