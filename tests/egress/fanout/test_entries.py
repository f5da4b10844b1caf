"""Entries: what is in force where they came, and bytes that are made once."""

from dataclasses import replace

from common.codecs.opus import OpusHead
from common.flv.audio import audio_body, audio_header_body
from common.ipc.media_messages import HEADER, KEY
from common.media.units import AudioCodec, AudioConfig, AudioUnit
from egress.fanout.entries import AUDIO, VIDEO
from egress.flv.from_units import FLV_FORM
from egress.streams import tag as tags
from tests.kit.egress import AUDIO_HEADER, RTMP_FORM, VIDEO_HEADER, EntryFeed, made_tag, picture


def fill(frames: int) -> EntryFeed:
    made = EntryFeed()
    made.add(VIDEO, 0, HEADER, VIDEO_HEADER)
    for i in range(frames):
        made.add(VIDEO, i * 40, KEY if i == 0 else 0, picture(f"v{i}", i == 0))
    return made


def test_bytes_are_made_once_for_each_form() -> None:
    entry = fill(2).gop[1]
    for form in (RTMP_FORM, FLV_FORM):
        assert entry.shared(form) is entry.shared(form)
        assert entry.restart(form) is entry.restart(form)
        assert entry.absolute(form) is entry.absolute(form)
    assert entry.shared(RTMP_FORM) != entry.shared(FLV_FORM)


def test_headers_are_those_in_force_when_the_entry_came() -> None:
    made = fill(1)
    first = made.gop[0]
    made.add(AUDIO, 10, HEADER, AUDIO_HEADER)
    made.add(VIDEO, 40, HEADER, VIDEO_HEADER + b"2")
    second = made.add(VIDEO, 40, KEY, picture("v1", True))
    assert first.headers.video == VIDEO_HEADER
    assert first.headers.audio == b""
    assert second.headers == (b"", VIDEO_HEADER + b"2", AUDIO_HEADER)


def test_sound_that_classic_flv_has_no_number_for_is_left_out() -> None:
    """FFmpeg 5.1 stops at a track of sound that it does not know."""
    made = fill(1)
    config = AudioConfig(AudioCodec.OPUS, OpusHead(2, 312, 48_000, 0, 0).encode())
    header = replace(made_tag(tags.AUDIO, 0, HEADER, audio_header_body(config)), codec="opus")
    made.configure(made._given._replace(audio=header))
    unit = AudioUnit(AudioCodec.OPUS, 0, 10, b"\xfc\xff\xfe", 0.0)
    sound = replace(made_tag(tags.AUDIO, 10, 0, audio_body(unit)), codec="opus")
    assert made.append([sound]) == []
    assert made.headers.audio == b""
    assert not made.chains & AUDIO, "nobody waits for it"
    assert made.add(VIDEO, 40, 0, picture("v1", False)).headers.audio == b""
