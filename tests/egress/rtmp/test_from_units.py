"""Entries as RTMP messages: their forms on the wire."""

from common.ipc.media_messages import HEADER, KEY
from egress.fanout.entries import AUDIO, DATA, METADATA, VIDEO
from egress.rtmp.from_units import CHUNK_SIZE, RtmpForm
from tests.kit.egress import (
    AUDIO_HEADER,
    RTMP_FORM,
    VIDEO_HEADER,
    EntryFeed,
    messages,
    picture,
    sound,
)


def fill(frames: int, step_ms: int = 40) -> EntryFeed:
    made = EntryFeed()
    made.add(VIDEO, 0, HEADER, VIDEO_HEADER)
    for i in range(frames):
        made.add(VIDEO, i * step_ms, KEY if i == 0 else 0, picture(f"v{i}", i == 0))
    return made


def test_shared_forms_in_a_row_give_absolute_times_back() -> None:
    made = EntryFeed()
    entries = [
        made.add(VIDEO, 1000, KEY, picture("v0", True)),
        made.add(AUDIO, 1010, 0, sound("a0")),
        made.add(VIDEO, 1040, 0, picture("v1")),
        made.add(AUDIO, 1033, 0, sound("a1")),
        made.add(DATA, 1035, 0, b"\x02\x00\x01d"),
    ]
    read = messages(b"".join(entry.shared(RTMP_FORM) for entry in entries))
    assert [(m.type_id, m.timestamp, m.message_stream_id) for m in read] == [
        (9, 1000, 1),
        (8, 1010, 1),
        (9, 1040, 1),
        (8, 1033, 1),
        (18, 1035, 1),
    ]


def test_the_shared_form_is_made_once_and_holds_no_message_stream() -> None:
    made = fill(2)
    entry = made.gop[1]
    assert entry.shared(RTMP_FORM) is entry.shared(RtmpForm(7))
    assert entry.shared(RTMP_FORM)[0] >> 6 == 1


def test_the_absolute_form_is_of_the_message_stream_asked_for() -> None:
    entry = fill(1).gop[0]
    assert [messages(entry.absolute(RtmpForm(i)))[0].message_stream_id for i in (1, 5, 1)] == [
        1,
        5,
        1,
    ]


def test_a_restart_goes_on_from_a_header_of_the_same_time() -> None:
    entry = fill(3).gop[2]
    wire = RTMP_FORM.absolute(VIDEO, entry.dts_ms, VIDEO_HEADER) + entry.restart(RTMP_FORM)
    assert [m.timestamp for m in messages(wire)] == [80, 80]


def test_a_large_keyframe_after_many_hours_has_no_extended_timestamp_in_its_chunks() -> None:
    late_ms = 0x1234567
    made = EntryFeed()
    made.add(VIDEO, late_ms, HEADER, VIDEO_HEADER)
    key = made.add(VIDEO, late_ms, KEY, picture("x" * (2 * CHUNK_SIZE), True))
    header = RTMP_FORM.absolute(VIDEO, late_ms, VIDEO_HEADER)
    read = messages(header + key.restart(RTMP_FORM))
    assert [m.timestamp for m in read] == [late_ms, late_ms]
    assert len(key.restart(RTMP_FORM)) == 8 + len(key.body) + 2  # two continuations of one byte


def test_times_wrap_at_32_bits() -> None:
    made = EntryFeed()
    entries = [
        made.add(VIDEO, 2**32 - 20, KEY, picture("v0", True)),
        made.add(VIDEO, 2**32 + 20, 0, picture("v1")),
    ]
    read = messages(b"".join(entry.shared(RTMP_FORM) for entry in entries))
    assert [m.timestamp for m in read] == [2**32 - 20, 20]


def test_metadata_goes_out_with_the_time_zero() -> None:
    entry = EntryFeed().add(METADATA, 5000, 0, b"\x02\x00\x0aonMetaData")
    assert messages(entry.shared(RTMP_FORM))[0].timestamp == 0


def test_no_time_is_counted_from_an_audio_header_ahead_of_all_audio() -> None:
    made = fill(2)
    entries = [
        made.add(AUDIO, 40, HEADER, AUDIO_HEADER),
        made.add(AUDIO, 10, 0, sound("a0")),
        made.add(AUDIO, 30, 0, sound("a1")),
    ]
    read = messages(b"".join(entry.shared(RTMP_FORM) for entry in entries))
    assert [m.timestamp for m in read] == [40, 10, 30]
    assert entries[1].shared(RTMP_FORM)[0] >> 6 == 0, "no step: it would be one back"
