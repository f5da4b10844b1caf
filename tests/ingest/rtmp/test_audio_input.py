"""ingest/rtmp/audio_input.py: what a publisher's audio messages hold."""

from itertools import pairwise

import pytest

from common.codecs.aac import AudioSpecificConfig, parse_config
from common.codecs.opus import STEREO_HEAD, OpusHead
from common.flv import amf0
from common.flv.audio import aac_frame, aac_sequence_header, audio_body
from common.media.units import AudioCodec, AudioConfig, AudioUnit, MediaKind
from common.rtmp.events import AudioReceived, MetadataReceived
from ingest.rtmp.audio_input import MAX_EARLY_BYTES, MAX_EARLY_FRAMES
from ingest.rtmp.to_units import Demuxer
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import AudioHeaderMade, AudioOmitted, Dropped, TrackOmitted
from tests.kit.ingest_ports import audio_unit

NOW = 100.0
ASC = b"\x12\x10"
AAC = AudioConfig(AudioCodec.AAC, ASC, sample_rate=44_100, channels=2)
RAW = b"\x21\x10\x04\x60\x8c\x1c"


def test_aac_needs_its_sequence_header() -> None:
    demuxer = Demuxer(Timeline())
    assert demuxer.audio(0, aac_sequence_header(ASC), NOW) == [AAC]
    assert demuxer.audio(0, aac_sequence_header(ASC), NOW) == []
    assert demuxer.audio(20, aac_frame(RAW), NOW) == [audio_unit(20, RAW, NOW)]
    (changed,) = demuxer.audio(40, aac_sequence_header(b"\x11\x90"), NOW)
    assert isinstance(changed, AudioConfig)
    assert AudioSpecificConfig.parse(changed.record) == AudioSpecificConfig(2, 48000, 2, 2)


def test_aac_before_its_sequence_header_follows_it_with_the_times_it_came_with() -> None:
    demuxer = Demuxer(Timeline())
    for at_ms in (100, 123, 146):
        assert demuxer.audio(at_ms, aac_frame(RAW), NOW + at_ms / 1000) == []
    assert demuxer.audio(0, aac_sequence_header(ASC), NOW + 0.16) == [
        AAC,
        *(audio_unit(at_ms, RAW, NOW + at_ms / 1000) for at_ms in (100, 123, 146)),
    ]
    assert demuxer.audio(170, aac_frame(RAW), NOW + 0.17) == [audio_unit(170, RAW, NOW + 0.17)]
    assert demuxer.audio(0, aac_sequence_header(b"\x11\x90"), NOW)[1:] == []


def test_of_too_much_that_comes_before_its_header_the_oldest_is_dropped() -> None:
    demuxer = Demuxer(Timeline())
    results = [
        result
        for number in range(MAX_EARLY_FRAMES + 3)
        for result in demuxer.audio(number, aac_frame(RAW), NOW)
    ]
    assert results == [Dropped(MediaKind.AUDIO, "AAC before its sequence header")] * 3
    large = RAW + bytes(MAX_EARLY_BYTES // 2)
    for _ in range(3):
        demuxer.audio(900, aac_frame(large), NOW)
    config, *units = demuxer.audio(0, aac_sequence_header(ASC), NOW)
    assert config == AAC
    assert [len(unit.data) for unit in units if isinstance(unit, AudioUnit)] == [len(large)]


def test_sound_of_another_format_ends_the_wait_for_a_header() -> None:
    demuxer = Demuxer(Timeline())
    demuxer.audio(0, aac_frame(RAW), NOW)
    assert len(demuxer.audio(20, b"\x2f\xff\xfb\x90", NOW)) == 2
    assert demuxer.audio(40, aac_sequence_header(ASC), NOW) == [AAC]


# A message's first byte and its sound; how long it is.
LENGTHS = [
    ("MP3", b"\x2f", b"\xff\xfb\x90\x00" + bytes(413), 26.12),
    ("MP3 at 8 kHz", b"\xee", b"\xff\xe3\x18\x00" + bytes(68), 72.0),
    ("two frames of MP3", b"\x2f", (b"\xff\xfb\x90\x00" + bytes(413)) * 2, 52.24),
    ("PCM", b"\x3f", bytes(4 * 441), 10.0),
    ("G.711", b"\x72", bytes(160), 20.0),
    ("Nellymoser at 8 kHz", b"\x52", bytes(64), 32.0),
    ("Nellymoser at 11 kHz", b"\x66", bytes(128), 46.44),
]


@pytest.mark.parametrize(
    ("head", "sound", "length_ms"), [row[1:] for row in LENGTHS], ids=[row[0] for row in LENGTHS]
)
def test_frames_of_one_time_are_spread_in_every_format_that_tells_their_length(
    head: bytes, sound: bytes, length_ms: float
) -> None:
    demuxer = Demuxer(Timeline())
    times = []
    for number in range(40):
        at_ms = round(number // 4 * 4 * length_ms)
        for result in demuxer.audio(at_ms, head + sound, NOW + at_ms / 1000):
            if isinstance(result, AudioUnit):
                times.append(result.dts_ms)
    assert len(times) == 40
    assert all(abs(at - number * length_ms) <= 1.5 for number, at in enumerate(times))


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
    ac3, track = b"\x91ac-3\xfc", b"\x95\x01mp4a\x01" + RAW
    assert demuxer.audio(0, ac3, NOW) == [AudioOmitted("AC-3 audio")]
    assert demuxer.audio(0, track, NOW) == [TrackOmitted(MediaKind.AUDIO, 1, "AAC", 6, NOW)]
    assert demuxer.audio(20, ac3, NOW) == []
    assert demuxer.audio(20, b"\x91fLaC\xff", NOW) == [AudioOmitted("FLAC audio")]


def test_opus_has_the_header_that_came_or_that_of_stereo() -> None:
    demuxer = Demuxer(Timeline())
    mono = AudioConfig(AudioCodec.OPUS, OpusHead(1, 0, 0, 0, 0).encode(), "", 48_000, 1)
    packet = b"\xfc" + bytes(40)
    config, unit = demuxer.audio(0, b"\x91Opus" + packet, NOW)
    assert config == AudioConfig(AudioCodec.OPUS, STEREO_HEAD, "", 48_000, 2)
    assert unit == audio_unit(0, packet, NOW, codec=AudioCodec.OPUS)
    assert demuxer.audio(0, b"\x90Opus" + mono.record, NOW) == [mono]
    assert demuxer.audio(20, b"\x91Opus" + packet, NOW) == [
        audio_unit(20, packet, NOW, codec=AudioCodec.OPUS)
    ]
    assert demuxer.audio(40, b"\x92Opus", NOW) == []  # its end


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x90OpusOpusHead", "unreadable Opus header"),
        (b"\x90Opus" + STEREO_HEAD + bytes(2000), "unreadable Opus header"),
        (b"\x91Opus", "unreadable Opus"),
        (b"\x91Opus\xff\x3f", "unreadable Opus"),
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


def test_a_track_of_an_unknown_codec_is_named_by_its_fourcc() -> None:
    results = Demuxer(Timeline()).audio(0, b"\x95\x01abcd\x02" + RAW, NOW)
    assert results == [TrackOmitted(MediaKind.AUDIO, 2, "'abcd'", 6, NOW)]


@pytest.mark.parametrize(
    ("header", "codec", "form"),
    [
        (b"\x95\x00mp4a\x01\x12\x08\x56\xe5\x00", "AAC", "AAC-LC 44.1 kHz 1ch"),  # FFmpeg 9
        (b"\x95\x00Opus\x01" + STEREO_HEAD, "Opus", "Opus 48 kHz 2ch"),
        (b"\x95\x00mp4a\x01", "AAC", ""),
        (b"\x95\x00mp4a\x01\x17", "AAC", ""),
        (b"\x95\x00mp4a\x01\x12\x08" + bytes(1024), "AAC", ""),
        (b"\x95\x00OpusxOpusHead", "Opus", ""),
        (b"\x95\x00fLaC\x01fLaC", "FLAC", ""),
        (b"\x95\x04mp4a\x01\x01\x01\x00\x00\x00\x04", "AAC", ""),  # its channels' order
    ],
)
def test_a_further_tracks_header_says_what_sound_it_is(
    header: bytes, codec: str, form: str
) -> None:
    (part,) = Demuxer(Timeline()).audio(0, header, NOW)
    assert isinstance(part, TrackOmitted)
    assert (part.codec, part.form) == (codec, form)


def test_of_a_message_of_many_tracks_the_first_is_taken_and_the_others_counted() -> None:
    parts = b"".join(
        bytes((track,)) + size.to_bytes(3, "big") + RAW[:size] for track, size in ((0, 6), (1, 4))
    )
    demuxer = Demuxer(Timeline())
    demuxer.audio(0, aac_sequence_header(ASC), NOW)
    assert demuxer.audio(0, b"\x95\x11mp4a" + parts, NOW) == [
        TrackOmitted(MediaKind.AUDIO, 1, "AAC", 4, NOW),
        audio_unit(0, RAW, NOW),
    ]


def test_a_message_of_several_adts_frames_is_several_units() -> None:
    demuxer = Demuxer(Timeline())
    results = demuxer.audio(100, aac_frame(adts(RAW) + adts(RAW[:4]) + adts(RAW)), NOW)
    assert results == [
        AAC,
        audio_unit(100, RAW, NOW),
        audio_unit(123, RAW[:4], NOW),
        audio_unit(146, RAW, NOW),
    ]
    assert demuxer.audio(170, aac_frame(adts(RAW)), NOW) == [audio_unit(170, RAW, NOW)]


# ---- no sequence header


def unheaded(
    meta: dict[str, amf0.Value] | None,
    *,
    rate: float = 44_100,
    raw: bytes = RAW,
    seconds: float = 2.0,
    group: int = 1,
    before: AudioConfig | None = None,
) -> tuple[Demuxer, list[object]]:
    """What comes of AAC without its header, sent in real time."""
    demuxer = Demuxer(Timeline(), NOW, before)
    results: list[object] = []
    if meta is not None:
        body = amf0.encode("onMetaData", amf0.EcmaArray(meta))
        results += demuxer.take([MetadataReceived(0, body)], NOW)
    for number in range(round(seconds * rate / 1024)):
        at_s = (number - number % group) * 1024 / rate
        event = AudioReceived(round(at_s * 1000), aac_frame(raw))
        results += demuxer.take([event], NOW + at_s)
    return demuxer, results


def made_of(results: list[object]) -> bytes:
    (config,) = [result for result in results if isinstance(result, AudioConfig)]
    assert config.codec is AudioCodec.AAC
    return config.record


MONO = b"\x01\x40\x20\x07"
NO_RATE = b"\xc1\x40\x20\x07"  # begins with a fill element
MADE: list[tuple[str, dict[str, amf0.Value] | None, int, bytes, str]] = [
    ("by onMetaData", {"audiosamplerate": 44100.0, "stereo": True}, 44_100, RAW, "1210"),
    ("numbers as texts", {"audiosamplerate": "48000", "stereo": "true"}, 48_000, RAW, "1190"),
    ("in kHz", {"audiosamplerate": 44.1, "audiochannels": 2.0}, 44_100, RAW, "1210"),
    ("in kHz with its unit", {"audiosamplerate": "48 kHz"}, 48_000, RAW, "1190"),
    ("mono", {"audiosamplerate": 16000.0, "stereo": False}, 16_000, MONO, "1408"),
    ("an odd rate", {"audiosamplerate": 44000.0, "stereo": True}, 44_100, RAW, "1210"),
    ("one that is none's", {"audiosamplerate": 37_000.0}, 37_000, RAW, "1780484410"),
    ("nothing declared", {}, 44_100, RAW, "1210"),
    ("no onMetaData", None, 48_000, RAW, "1190"),
    ("a phone that says stereo, and is not", {"stereo": True}, 44_100, MONO, "1208"),
    ("channels that frames do not tell", {"audiochannels": 1.0}, 44_100, NO_RATE, "1208"),
    ("the rate behind SBR", {"audiosamplerate": 44100.0}, 22_050, RAW, "1390"),
    ("nonsense", {"audiosamplerate": -5.0, "audiochannels": 99.0}, 44_100, RAW, "1210"),
    ("six channels", {"audiochannels": 6.0, "audiosamplerate": 48000.0}, 48_000, MONO, "11b0"),
]


@pytest.mark.parametrize(
    ("meta", "rate", "raw", "wanted"), [m[1:] for m in MADE], ids=[m[0] for m in MADE]
)
@pytest.mark.parametrize("group", [1, 4])
def test_a_missing_header_is_made(
    meta: dict[str, amf0.Value] | None, rate: float, raw: bytes, wanted: str, group: int
) -> None:
    _, results = unheaded(meta, rate=rate, raw=raw, group=group)
    assert made_of(results).hex() == wanted
    notices = [result for result in results if isinstance(result, AudioHeaderMade)]
    assert len(notices) == 1
    assert notices[0].what
    units = [result for result in results if isinstance(result, AudioUnit)]
    assert len(units) == round(2.0 * rate / 1024)
    assert not any(isinstance(result, Dropped) for result in results)
    late = [unit.dts_ms - number * 1024_000 / rate for number, unit in enumerate(units)]
    assert max(late) - min(late) <= (2 if group == 1 else 6 * 1024_000 / rate)
    assert all(before.dts_ms < after.dts_ms for before, after in pairwise(units))


def test_a_header_that_comes_late_replaces_the_one_that_was_made() -> None:
    demuxer, results = unheaded({"audiosamplerate": 44100.0})
    assert made_of(results).hex() == "1210"
    late = demuxer.audio(2_000, aac_sequence_header(b"\x11\x90"), NOW + 2)
    assert late[0] == AudioHeaderMade("")
    assert isinstance(late[1], AudioConfig)
    assert late[1].record == b"\x11\x90"
    assert demuxer.audio(2_020, aac_sequence_header(b"\x11\x90"), NOW + 2) == []
    demuxer, _ = unheaded({"audiosamplerate": 44100.0})
    assert demuxer.audio(2_000, aac_sequence_header(ASC), NOW + 2) == [AudioHeaderMade("")]


def test_a_header_that_comes_within_half_a_second_is_waited_for() -> None:
    demuxer, results = unheaded({"audiosamplerate": 44100.0}, seconds=0.4)
    assert not any(isinstance(result, AudioConfig) for result in results)
    config, *units = demuxer.audio(400, aac_sequence_header(ASC), NOW + 0.4)
    assert config == AAC
    assert len(units) == round(0.4 * 44_100 / 1024)


def test_metadata_that_comes_late_tells_what_the_frames_do_not() -> None:
    demuxer, results = unheaded(None, raw=NO_RATE)
    assert made_of(results).hex() == "1210"
    body = amf0.encode("onMetaData", amf0.EcmaArray({"audiochannels": 1.0}))
    (_, notice, config) = demuxer.take([MetadataReceived(0, body)], NOW + 2)
    assert notice == AudioHeaderMade("AAC-LC 44.1 kHz 1ch")
    assert isinstance(config, AudioConfig)
    assert config.record == b"\x12\x08"


@pytest.mark.parametrize(
    ("before", "wanted"),
    [(b"\x13\x90\x56\xe5\xa5\x48\x00", None), (b"\x11\x90", "1390"), (b"\x13\x88", None)],
)
def test_a_publisher_that_is_back_without_it_is_taken_for_the_one_before(
    before: bytes, wanted: str | None
) -> None:
    config = parse_config(before)
    _, results = unheaded({"audiosamplerate": 44100.0}, rate=22_050, before=config)
    assert made_of(results).hex() == (wanted or before.hex())


def test_adts_frames_that_come_later_tell_more_than_what_was_made() -> None:
    demuxer, _ = unheaded({"audiosamplerate": 48000.0}, rate=48_000)
    results = demuxer.audio(2_000, aac_frame(adts(RAW)), NOW + 2)
    assert results[:2] == [AudioHeaderMade(""), AAC]
