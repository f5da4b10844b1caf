"""common/ipc/plain/frames.py"""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import LinkError
from common.ipc.plain.frames import (
    MAX_ENVELOPE_BYTES,
    MAX_FRAME_BYTES,
    MAX_GREETING_BYTES,
    MAX_PAYLOADS,
    ROOM_BYTES,
    FrameReader,
    frame_size,
    to_parts,
)

FRAMES = st.lists(
    st.tuples(st.binary(max_size=60), st.lists(st.binary(max_size=60), max_size=5)), max_size=5
)


def read_all(data: bytes, cuts: list[int]) -> list[tuple[bytes, list[bytes]]]:
    reader = FrameReader()
    reader.on_greeted()
    found, begin = [], 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        reader.feed(data[begin:end])
        begin = max(begin, end)
        while (frame := reader.next()) is not None:
            found.append(frame)
    return found


@given(FRAMES, st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_come_back_as_they_went_whatever_the_borders_of_reads(
    frames: list[tuple[bytes, list[bytes]]], cuts: list[int]
) -> None:
    wire = b"".join(b"".join(to_parts(envelope, payloads)) for envelope, payloads in frames)
    assert len(wire) == sum(frame_size(envelope, payloads) for envelope, payloads in frames)
    assert read_all(wire, cuts) == frames


@given(
    st.lists(st.integers(0, 3 * ROOM_BYTES), min_size=1, max_size=5),
    st.lists(st.integers(1, 2 * ROOM_BYTES), max_size=8),
)
def test_large_frames_are_read_by_a_socket_as_they_went(sizes: list[int], reads: list[int]) -> None:
    wire = b"".join(b"".join(to_parts(b"e", [bytes([n]) * s])) for n, s in enumerate(sizes))
    reader = FrameReader()
    reader.on_greeted()
    found: list[list[bytes]] = []
    at, most = 0, 0
    while at < len(wire):
        room = reader.room()  # held while the next is asked for, as a protocol's buffer is
        size = min(len(room), reads.pop() if reads else ROOM_BYTES, len(wire) - at)
        assert size > 0
        room[:size] = wire[at : at + size]
        at += size
        reader.filled(size)
        most = max(most, len(memoryview(room.obj)))
        while (frame := reader.next()) is not None:
            found.append(frame[1])
    assert found == [[bytes([n]) * s] for n, s in enumerate(sizes)]
    assert most <= 4 * max(ROOM_BYTES, *sizes)
    assert len(reader.room()) == ROOM_BYTES, "memory of a large frame is given back"


def test_memory_grows_with_what_came_not_with_what_a_frame_says() -> None:
    reader = FrameReader()
    reader.on_greeted()
    reader.feed(head(MAX_FRAME_BYTES - 4, 1, 1) + struct.pack("!I", MAX_FRAME_BYTES - 15))
    assert reader.next() is None
    assert len(reader.room()) <= ROOM_BYTES


@given(st.binary(max_size=400))
def test_any_bytes_are_frames_or_an_error_and_keep_no_more_than_came(data: bytes) -> None:
    reader = FrameReader()
    reader.feed(data)
    try:
        while reader.next() is not None:
            pass
    except LinkError:
        pass


def head(size: int, payloads: int, envelope: int) -> bytes:
    return struct.pack("!IHI", size, payloads, envelope)


@pytest.mark.parametrize(
    ("bytes_", "words"),
    [
        (head(MAX_FRAME_BYTES + 1, 0, 0), "are the most"),
        (head(MAX_FRAME_BYTES, MAX_PAYLOADS + 1, 0), "payloads"),
        (head(MAX_FRAME_BYTES, 0, MAX_ENVELOPE_BYTES + 1), "of envelope"),
        (head(6 + 3, 0, 4), "shorter"),
        (head(5, 0, 0), "shorter"),
        (head(6 + 4 + 10, 1, 4) + struct.pack("!I", 7), "not those of its parts"),
        (head(6 + 4 + 10, 1, 4) + struct.pack("!I", 0xFFFFFFFF), "not those of its parts"),
    ],
)
def test_a_length_is_refused_before_anything_is_kept_for_it(bytes_: bytes, words: str) -> None:
    reader = FrameReader()
    reader.on_greeted()
    reader.feed(bytes_)
    with pytest.raises(LinkError, match=words):
        reader.next()


def test_until_the_other_end_has_greeted_a_frame_is_small() -> None:
    reader = FrameReader()
    large = to_parts(b"x" * MAX_GREETING_BYTES)
    reader.feed(large[0])
    with pytest.raises(LinkError):
        reader.next()
    with pytest.raises(LinkError):
        to_parts(b"", [bytes(MAX_FRAME_BYTES)])
