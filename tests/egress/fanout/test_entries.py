"""Entries: what is in force where they came, and bytes that are made once."""

from common.ipc.media_messages import HEADER, KEY
from egress.fanout.entries import AUDIO, VIDEO
from egress.flv.from_units import FLV_FORM
from tests.kit.egress import AUDIO_HEADER, RTMP_FORM, VIDEO_HEADER, EntryFeed, picture


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
