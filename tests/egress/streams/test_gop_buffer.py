"""egress/streams/gop_buffer.py: entries, their forms on the wire, and the GOP that is kept."""

import pytest

from common.ipc.media_messages import HEADER, KEY
from egress.streams import gop_buffer as gop_buffer
from egress.streams.gop_buffer import AUDIO, CHUNK_SIZE, DATA, METADATA, VIDEO, GopBuffer
from tests.kit.egress import AUDIO_HEADER, VIDEO_HEADER, messages, picture, sound


def fill(frames: int, step_ms: int = 40) -> GopBuffer:
    made = GopBuffer()
    made.append(VIDEO, 0, HEADER, VIDEO_HEADER)
    for i in range(frames):
        made.append(VIDEO, i * step_ms, KEY if i == 0 else 0, picture(f"v{i}", i == 0))
    return made


def test_shared_forms_in_a_row_give_absolute_times_back() -> None:
    made = GopBuffer()
    entries = [
        made.append(VIDEO, 1000, KEY, picture("v0", True)),
        made.append(AUDIO, 1010, 0, sound("a0")),
        made.append(VIDEO, 1040, 0, picture("v1")),
        made.append(AUDIO, 1033, 0, sound("a1")),
        made.append(DATA, 1035, 0, b"\x02\x00\x01d"),
    ]
    read = messages(b"".join(entry.shared(1) for entry in entries))
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
    assert entry.shared(1) is entry.shared(7)
    assert entry.shared(1)[0] >> 6 == 1


def test_the_absolute_form_is_of_the_message_stream_asked_for() -> None:
    entry = fill(1).gop[0]
    assert [messages(entry.absolute(i))[0].message_stream_id for i in (1, 5, 1)] == [1, 5, 1]


def test_a_restart_goes_on_from_a_header_of_the_same_time() -> None:
    entry = fill(3).gop[2]
    wire = gop_buffer.absolute(VIDEO, entry.dts_ms, 1, VIDEO_HEADER) + entry.restart()
    assert [m.timestamp for m in messages(wire)] == [80, 80]


def test_a_large_keyframe_after_many_hours_has_no_extended_timestamp_in_its_chunks() -> None:
    late_ms = 0x1234567
    made = GopBuffer()
    made.append(VIDEO, late_ms, HEADER, VIDEO_HEADER)
    key = made.append(VIDEO, late_ms, KEY, picture("x" * (2 * CHUNK_SIZE), True))
    header = gop_buffer.absolute(VIDEO, late_ms, 1, VIDEO_HEADER)
    read = messages(header + key.restart())
    assert [m.timestamp for m in read] == [late_ms, late_ms]
    assert len(key.restart()) == 8 + len(key.payload) + 2  # two continuations of one byte


def test_times_wrap_at_32_bits() -> None:
    made = GopBuffer()
    entries = [
        made.append(VIDEO, 2**32 - 20, KEY, picture("v0", True)),
        made.append(VIDEO, 2**32 + 20, 0, picture("v1")),
    ]
    read = messages(b"".join(entry.shared(1) for entry in entries))
    assert [m.timestamp for m in read] == [2**32 - 20, 20]


def test_metadata_goes_out_with_the_time_zero() -> None:
    entry = GopBuffer().append(METADATA, 5000, 0, b"\x02\x00\x0aonMetaData")
    assert messages(entry.shared(1))[0].timestamp == 0


def test_a_gop_begins_anew_at_each_keyframe() -> None:
    made = fill(3)
    assert [entry.dts_ms for entry in made.gop] == [0, 40, 80]
    made.append(VIDEO, 120, KEY, picture("v3", True))
    assert [entry.dts_ms for entry in made.gop] == [120]


def test_what_comes_before_the_first_keyframe_is_no_start() -> None:
    made = GopBuffer()
    made.append(VIDEO, 0, HEADER, VIDEO_HEADER)
    made.append(AUDIO, 0, 0, sound("a0"))
    assert not made.gop


def test_a_gop_too_long_in_time_is_forgotten_until_the_next_keyframe() -> None:
    made = fill(2)
    made.append(VIDEO, gop_buffer.MAX_GOP_MS + 1, 0, picture("v"))
    assert not made.gop
    made.append(VIDEO, gop_buffer.MAX_GOP_MS + 40, KEY, picture("v", True))
    assert len(made.gop) == 1


def test_audio_that_leads_makes_no_gop_longer() -> None:
    made = GopBuffer()
    made.append(VIDEO, 0, KEY, picture("v", True))
    for at_ms in (0, 5000, 9000):
        made.append(AUDIO, 9000 + at_ms, 0, sound("a"))
    assert len(made.gop) == 4
    made.append(AUDIO, 9000 + gop_buffer.MAX_GOP_MS + 1, 0, sound("a"))
    assert not made.gop, "video that stopped keeps no audio for ever"


@pytest.mark.parametrize("jump_ms", [gop_buffer.MAX_GOP_MS - 400, gop_buffer.MAX_GOP_MS, 60_000])
def test_audio_whose_clock_was_set_makes_no_gop_longer(jump_ms: int) -> None:
    made = fill(2)
    for at_ms in (0, 500, 500 + jump_ms, 520 + jump_ms):
        made.append(AUDIO, at_ms, 0, sound("a"))
    assert len(made.gop) == 6
    made.append(AUDIO, 500 + jump_ms + gop_buffer.MAX_GOP_MS + 1, 0, sound("a"))
    assert len(made.gop) == 7, "another jump"


def test_pictures_that_are_far_apart_are_no_start() -> None:
    made = fill(2)
    made.append(VIDEO, 60_000, 0, picture("v"))
    assert not made.gop


@pytest.mark.parametrize("kind", [DATA, METADATA])
def test_data_messages_of_any_time_make_no_gop_longer(kind: int) -> None:
    made = fill(2)
    for at_ms in (0, gop_buffer.MAX_GOP_MS + 1):
        made.append(kind, at_ms, 0, b"data")
    assert len(made.gop) == 4


def test_a_gop_too_long_in_entries_or_bytes_is_forgotten() -> None:
    assert not fill(gop_buffer.MAX_GOP_ENTRIES + 1, step_ms=1).gop
    made = fill(1)
    for i in range(5):
        made.append(VIDEO, i + 1, 0, bytes(gop_buffer.MAX_GOP_BYTES // 4))
    assert not made.gop


def test_no_time_is_counted_from_an_audio_header_ahead_of_all_audio() -> None:
    made = fill(2)
    entries = [
        made.append(AUDIO, 40, HEADER, AUDIO_HEADER),
        made.append(AUDIO, 10, 0, sound("a0")),
        made.append(AUDIO, 30, 0, sound("a1")),
    ]
    read = messages(b"".join(entry.shared(1) for entry in entries))
    assert [m.timestamp for m in read] == [40, 10, 30]
    assert entries[1].shared(1)[0] >> 6 == 0, "no step: it would be one back"


def test_headers_are_those_in_force_when_the_entry_came() -> None:
    made = fill(1)
    first = made.gop[0]
    made.append(AUDIO, 10, HEADER, AUDIO_HEADER)
    made.append(VIDEO, 40, HEADER, VIDEO_HEADER + b"2")
    second = made.append(VIDEO, 40, KEY, picture("v1", True))
    assert first.headers.video == VIDEO_HEADER
    assert first.headers.audio == b""
    assert second.headers == (b"", VIDEO_HEADER + b"2", AUDIO_HEADER)
