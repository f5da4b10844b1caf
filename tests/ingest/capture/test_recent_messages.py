"""What is kept of each publisher's messages: how much, whose goes first, and what stays of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.rtmp.events import AudioReceived, DataReceived, MetadataReceived, VideoReceived
from ingest.capture.recent_messages import (
    KeptRead,
    MessageMemory,
    RecentMessages,
    fair_share,
    header_kind,
)


def video(at_ms: int, size: int = 800) -> VideoReceived:
    return VideoReceived(at_ms, b"\x27\x01" + bytes(max(0, size - 2)))


def memory_of(limit: int, seconds: float = 60.0) -> MessageMemory:
    memory = MessageMemory()
    memory.configure(limit, seconds)
    return memory


def times(recent: RecentMessages) -> list[float]:
    return [read.at_s for read in recent.snapshot().reads() if read.unread_bytes is None]


def test_messages_come_back_as_they_came_read_by_read() -> None:
    recent = memory_of(1 << 20).begin()
    recent.add([video(0), AudioReceived(7, b"\xaf\x01sound")], 5.0)
    recent.add([DataReceived(2**32 - 1, b""), MetadataReceived(9, b"meta")], 5.5)
    first, second = recent.snapshot().reads()
    assert first == KeptRead(5.0, ((9, 0, video(0).payload), (8, 7, b"\xaf\x01sound")))
    assert second == KeptRead(5.5, ((18, 2**32 - 1, b""), (18, 9, b"meta")))
    assert recent.snapshot().seconds == 0.5


def test_what_is_older_than_the_time_is_left_out_and_then_forgotten() -> None:
    memory = memory_of(1 << 20, seconds=10.0)
    recent = memory.begin()
    for at_s in range(1000):
        recent.add([video(0)], float(at_s))
    assert times(recent) == [float(at_s) for at_s in range(989, 1000)]
    assert recent.starts_late
    assert recent.size <= 3 * memory.block_bytes
    assert recent.snapshot().seconds == 10.0


def test_the_bound_holds_after_every_message() -> None:
    memory = memory_of(1 << 20)
    first, second = memory.begin(), memory.begin()
    for count in range(5000):
        first.add([video(count)], count / 100)
        if count % 20 == 0:
            second.add([video(count)], count / 100)
        assert memory.size == first.size + second.size <= 1 << 20
    assert len(times(second)) == 250  # it has less than its share, and lost nothing
    assert first.size > 600_000


def test_a_publisher_that_ends_leaves_its_room() -> None:
    memory = memory_of(100_000)
    first, second = memory.begin(), memory.begin()
    for recent in (first, second):
        recent.add([video(0, 40_000)], 0.0)
    memory.end(first)
    assert memory.size == second.size
    second.add([video(0, 50_000)], 1.0)
    assert len(times(second)) == 2


def test_a_smaller_bound_holds_at_once() -> None:
    memory = memory_of(1 << 20)
    recent = memory.begin()
    for count in range(500):
        recent.add([video(count)], count / 10)
    memory.configure(100_000, 60.0)
    assert 0 < memory.size <= 100_000
    recent.add([video(7)], 51.0)
    assert times(recent)[-1] == 51.0
    memory.configure(0, 60.0)
    assert (memory.size, times(recent), recent.is_empty) == (0, [], True)


def test_a_message_larger_than_the_bound_is_not_kept() -> None:
    memory = memory_of(10_000)
    recent = memory.begin()
    recent.add([video(0, 20_000)], 0.0)
    assert (memory.size, times(recent)) == (0, [])
    recent.add([video(0, 200)], 1.0)
    assert times(recent) == [1.0]


def test_headers_of_what_is_gone_stay_ahead_of_the_rest() -> None:
    recent = memory_of(1 << 20, seconds=1.0).begin()
    old, new, newest = (avc_sequence_header(text) for text in (b"old", b"new", b"newest"))
    sound = aac_sequence_header(b"\x12\x10")
    recent.add([MetadataReceived(0, b"meta"), VideoReceived(0, old), AudioReceived(0, sound)], 0.0)
    recent.add([VideoReceived(0, new), video(0, 40_000)], 0.5)
    for at_s in (2.0, 3.0, 4.0):
        recent.add([VideoReceived(3, newest), video(0, 40_000)], at_s)
    headers, *rest = recent.snapshot().reads()
    assert headers.at_s == 3.0
    assert headers.messages == ((18, 0, b"meta"), (9, 3, newest), (8, 0, sound))
    assert [read.at_s for read in rest] == [3.0, 4.0]


def test_a_snapshot_does_not_change() -> None:
    memory = memory_of(200_000)
    recent = memory.begin()
    for count in range(100):
        recent.add([video(count)], count / 100)
    snapshot = recent.snapshot()
    before = list(snapshot.reads())
    for count in range(1000):
        recent.add([video(count, 900)], 2.0 + count / 100)
    assert list(snapshot.reads()) == before
    assert len(before) == 100


def test_blocks_are_used_again() -> None:
    memory = memory_of(1 << 20, seconds=1.0)
    recent = memory.begin()
    seen = set()
    for count in range(2000):
        recent.add([video(count)], count / 20)
        seen |= {id(data) for data, _ in recent.snapshot().blocks} if count > 1990 else set()
    assert recent.size <= 3 * memory.block_bytes
    assert times(recent)[-1] == 1999 / 20


def test_what_was_asked_of_a_publisher_that_is_held_back_stands_between_its_reads() -> None:
    memory = memory_of(1 << 20)
    recent = memory.begin()
    recent.add([video(0)], 0.0)
    recent.note_unread(4096, 0.0)
    recent.note_unread(2**40, 0.5)
    recent.add([video(0)], 1.0)
    assert [(r.at_s, len(r.messages), r.unread_bytes) for r in recent.snapshot().reads()] == [
        (0.0, 1, None),
        (0.0, 0, 4096),
        (0.5, 0, 2**32 - 1),
        (1.0, 1, None),
    ]
    memory.end(recent)
    assert memory.size == 0


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (VideoReceived(0, avc_sequence_header(b"record")), "video"),
        (VideoReceived(0, avc_nalus(b"", 0, is_key=True)), ""),
        (VideoReceived(0, b"\x90avc1record"), "video"),
        (VideoReceived(0, b"\x91avc1nals"), ""),
        (VideoReceived(0, b""), ""),
        (VideoReceived(0, b"\x17"), ""),
        (AudioReceived(0, aac_sequence_header(b"\x12\x10")), "audio"),
        (AudioReceived(0, aac_frame(b"\x21")), ""),
        (AudioReceived(0, b"\x90Opushead"), "audio"),
        (AudioReceived(0, b"\x2f\x00"), ""),
        (AudioReceived(0, b""), ""),
        (MetadataReceived(0, b""), "metadata"),
        (DataReceived(0, b""), ""),
    ],
)
def test_headers_are_known(event, kind: str) -> None:
    assert header_kind(event) == kind


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(0, 10_000))
def test_shares_are_fair_and_within_the_whole(sizes: list[int], total: int) -> None:
    share = fair_share(sizes, total)
    assert sum(min(size, share) for size in sizes) <= max(total, 0)
    if sizes and share < max(sizes):  # nobody could have one byte more
        assert sum(min(size, share + 1) for size in sizes) > total


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5000), st.floats(0, 3)), max_size=80),
    st.integers(0, 40_000),
)
def test_the_books_agree_whatever_comes(steps, limit: int) -> None:
    memory = memory_of(limit, seconds=5.0)
    everyone = [memory.begin() for _ in range(5)]
    sent: list[list[tuple[float, bytes]]] = [[] for _ in everyone]
    now = 0.0
    for who, size, pause in steps:
        now += pause
        everyone[who].add([video(0, size)], now)
        sent[who].append((now, video(0, size).payload))
        assert memory.size == sum(recent.size for recent in everyone) <= limit
    for recent, all_of_it in zip(everyone, sent, strict=True):
        kept = [(r.at_s, m[2]) for r in recent.snapshot().reads() for m in r.messages]
        assert kept == all_of_it[len(all_of_it) - len(kept) :]
