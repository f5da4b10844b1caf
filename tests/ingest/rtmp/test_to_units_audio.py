"""ingest/rtmp/to_units.py: what a publisher's audio messages hold."""

import pytest

from common.codecs.aac import AudioSpecificConfig
from common.flv.audio import aac_frame, aac_sequence_header, audio_body
from common.media.units import AudioCodec, AudioConfig, AudioUnit, MediaKind
from ingest.rtmp.to_units import Demuxer
from ingest.streams.media_events import AudioOmitted, Dropped
from ingest.streams.timeline import Timeline
from tests.kit.ingest_ports import audio_unit

NOW = 100.0
ASC = b"\x12\x10"
AAC = AudioConfig(AudioCodec.AAC, ASC, sample_rate=44_100, channels=2)
RAW = b"\x21\x10\x04\x60\x8c\x1c"


def test_aac_needs_its_sequence_header() -> None:
    demuxer = Demuxer(Timeline())
    assert demuxer.audio(0, aac_frame(RAW), NOW) == [
        Dropped(MediaKind.AUDIO, "AAC before its sequence header")
    ]
    assert demuxer.audio(0, aac_sequence_header(ASC), NOW) == [AAC]
    assert demuxer.audio(0, aac_sequence_header(ASC), NOW) == []
    assert demuxer.audio(20, aac_frame(RAW), NOW) == [audio_unit(20, RAW, NOW)]
    (changed,) = demuxer.audio(40, aac_sequence_header(b"\x11\x90"), NOW)
    assert isinstance(changed, AudioConfig)
    assert AudioSpecificConfig.parse(changed.record) == AudioSpecificConfig(2, 48000, 2, 2)


def test_enhanced_mp4a_comes_out_in_legacy_form() -> None:
    demuxer = Demuxer(Timeline())
    assert demuxer.audio(0, b"\x90mp4a" + ASC, NOW) == [AAC]
    assert demuxer.audio(0, b"\x91mp4a" + RAW, NOW) == [audio_unit(0, RAW, NOW)]
    assert demuxer.audio(0, b"\x94mp4a\x01\x02\x00\x00\x00\x03", NOW) == []
    assert demuxer.audio(0, b"\x92mp4a", NOW) == []


def adts(raw: bytes) -> bytes:
    size = len(raw) + 7
    head = 0xFFF1 << 40 | 1 << 38 | 4 << 34 | 2 << 30 | size << 13 | 0x1FFC
    return head.to_bytes(7, "big") + raw


def test_adts_is_stripped_and_stands_in_for_a_missing_header() -> None:
    demuxer = Demuxer(Timeline())
    assert demuxer.audio(0, aac_frame(adts(RAW)), NOW) == [AAC, audio_unit(0, RAW, NOW)]
    assert demuxer.audio(20, aac_frame(adts(RAW)), NOW) == [audio_unit(20, RAW, NOW)]
    assert demuxer.audio(20, aac_sequence_header(ASC), NOW) == []


def test_legacy_formats_pass_with_a_config_that_only_names_them() -> None:
    demuxer = Demuxer(Timeline())
    mp3 = b"\x2f\xff\xfb\x90"
    assert demuxer.audio(0, mp3, NOW) == [
        AudioConfig(AudioCodec.MP3),
        audio_unit(0, mp3, NOW, codec=AudioCodec.MP3),
    ]
    (frame,) = demuxer.audio(26, mp3, NOW)
    assert frame == audio_unit(26, mp3, NOW, codec=AudioCodec.MP3)
    assert isinstance(frame, AudioUnit)
    assert audio_body(frame) is mp3, "what only FLV knows passes as it is"
    speex = b"\xb6\x1d"
    assert demuxer.audio(50, speex, NOW)[0] == AudioConfig(AudioCodec.SPEEX)
    assert demuxer.audio(70, b"\x91.mp3\xff\xfb\x90", NOW) == [
        AudioConfig(AudioCodec.MP3),
        audio_unit(70, mp3, NOW, codec=AudioCodec.MP3),
    ]


def test_other_audio_is_omitted_and_said_once() -> None:
    demuxer = Demuxer(Timeline())
    opus, track = b"\x91Opus\xfc", b"\x95\x01mp4a\x01" + RAW
    assert demuxer.audio(0, opus, NOW) == [AudioOmitted("Opus audio")]
    assert demuxer.audio(0, track, NOW) == [AudioOmitted("audio tracks beyond the first")]
    assert demuxer.audio(20, opus, NOW) == demuxer.audio(20, track, NOW) == []
    assert demuxer.audio(20, b"\x91fLaC\xff", NOW) == [AudioOmitted("FLAC audio")]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "empty audio tag"),
        (b"\xaf", "unreadable audio tag"),
        (b"\xc0\x00", "unreadable audio tag"),
        (b"\xaf\x00", "empty AAC configuration"),
        (b"\xaf\x00\x17", "unreadable AAC configuration"),
        (b"\xaf\x00\x12\x08" + bytes(1024), "unreadable AAC configuration"),
        (b"\xaf\x01", "audio tag without a frame"),
        (b"\x2f", "audio tag without a frame"),
    ],
)
def test_unreadable_audio_is_dropped_and_the_rest_goes_on(payload: bytes, reason: str) -> None:
    demuxer = Demuxer(Timeline())
    demuxer.audio(0, aac_sequence_header(ASC), NOW)
    (dropped,) = demuxer.audio(0, payload, NOW)
    assert isinstance(dropped, Dropped)
    assert (dropped.kind, dropped.reason) == (MediaKind.AUDIO, reason)
    assert demuxer.audio(0, aac_frame(RAW), NOW) == [audio_unit(0, RAW, NOW)]
