"""What is kept of each publisher's messages: how much, whose goes first, and what stays of it."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.rtmp.events import AudioReceived, DataReceived, MetadataReceived, VideoReceived
from ingest.capture.recent_messages import (
    MESSAGE_BYTES,
    MessageMemory,
    RecentMessages,
    fair_share,
    header_kind,
)


def video(at_ms: int, size: int = 800) -> VideoReceived:
    return VideoReceived(at_ms, bytes(size))  # of no codec


def size_of(events: Iterable[Any]) -> int:
    return sum(len(event.payload) + MESSAGE_BYTES for event in events)


def memory_of(limit: int, seconds: float = 60.0) -> MessageMemory:
    memory = MessageMemory()
    memory.configure(limit, seconds)
    return memory


def times(recent: RecentMessages) -> list[float]:
    return [at_s for at_s, _, _ in recent.reads()]


def test_what_is_kept_is_the_very_list_that_came() -> None:
    recent = memory_of(10_000).begin()
    events = [video(0), video(33)]
    recent.add(events, 5.0)
    ((at_s, found, _),) = recent.reads()
    assert (at_s, recent.size) == (5.0, 2 * (800 + MESSAGE_BYTES))
    assert found is events


def test_what_is_older_than_the_time_is_forgotten() -> None:
    recent = memory_of(10**6, seconds=10.0).begin()
    for at_s in range(15):
        recent.add([video(0)], float(at_s))
    assert times(recent) == [float(at_s) for at_s in range(4, 15)]
    assert recent.starts_late
    assert recent.size == 11 * (800 + MESSAGE_BYTES)


def test_the_bound_holds_after_every_message() -> None:
    memory = memory_of(100_000)
    first, second = memory.begin(), memory.begin()
    for count in range(500):
        first.add([video(count)], count / 100)
        if count % 20 == 0:
            second.add([video(count)], count / 100)
        assert memory.size == first.size + second.size <= 100_000
    assert len(times(second)) == 25  # it has less than its share, and lost nothing
    assert first.size > 40_000


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
    memory = memory_of(100_000)
    recent = memory.begin()
    for count in range(50):
        recent.add([video(count)], count / 10)
    memory.configure(10_000, 60.0)
    assert 0 < memory.size <= 10_000
    memory.configure(0, 60.0)
    assert (memory.size, times(recent)) == (0, [])


def test_a_message_larger_than_the_bound_is_not_kept() -> None:
    memory = memory_of(10_000)
    recent = memory.begin()
    recent.add([video(0, 20_000)], 0.0)
    assert (memory.size, times(recent)) == (0, [])


def test_headers_of_what_is_gone_stay_ahead_of_the_rest() -> None:
    recent = memory_of(10**6, seconds=1.0).begin()
    metadata = MetadataReceived(0, b"meta")
    old, new = (VideoReceived(0, avc_sequence_header(text)) for text in (b"old", b"new"))
    sound = AudioReceived(0, aac_sequence_header(b"\x12\x10"))
    recent.add([metadata, old, sound], 0.0)
    recent.add([new, video(0)], 1.0)
    for at_s in (2.0, 3.0):
        recent.add([video(0)], at_s)
    headers, *rest = recent.reads()
    assert headers == (2.0, (metadata, new, sound), None)
    assert [at_s for at_s, _, _ in rest] == [2.0, 3.0]


def test_what_was_asked_of_a_publisher_that_is_held_back_stands_between_its_reads() -> None:
    memory = memory_of(10**6)
    recent = memory.begin()
    recent.add([video(0)], 0.0)
    recent.note_unread(4096, 0.5)
    recent.add([video(0)], 1.0)
    assert [(at_s, len(events), unread) for at_s, events, unread in recent.reads()] == [
        (0.0, 1, None),
        (0.5, 0, 4096),
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
    st.integers(0, 20_000),
)
def test_the_books_agree_whatever_comes(steps, limit: int) -> None:
    memory = memory_of(limit, seconds=5.0)
    everyone = [memory.begin() for _ in range(5)]
    now = 0.0
    for who, size, pause in steps:
        now += pause
        everyone[who].add([video(0, size)], now)
        assert memory.size == sum(recent.size for recent in everyone) <= limit
        for recent in everyone:
            assert recent.size == sum(size_of(events) for _, events, _ in recent.reads())
