"""common/ipc/framing.py: messages on a byte stream."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FramingError
from common.ipc.envelope import MAX_FRAMES
from common.ipc.framing import BUFFER_BYTES, MAX_MESSAGE_BYTES, FrameReader, header

MESSAGES = st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=12), max_size=20)


def wire(messages: list[list[bytes]]) -> bytes:
    return b"".join(header(frames) + b"".join(frames) for frames in messages)


def feed(reader: FrameReader, data: bytes, piece: int) -> list[list[bytes]]:
    """What comes of `data`, read in pieces of at most so many bytes."""
    messages = []
    while data:
        room = reader.room()
        count = min(piece, len(room), len(data))
        room[:count] = data[:count]
        reader.filled(count)
        messages += reader.messages()
        data = data[count:]
    return messages


@settings(max_examples=60, deadline=None)
@given(MESSAGES, st.integers(1, 300))
def test_messages_come_out_as_they_went_in_however_the_bytes_are_cut(
    messages: list[list[bytes]], piece: int
) -> None:
    assert feed(FrameReader(), wire(messages), piece) == messages


def test_a_message_larger_than_the_buffer_comes_whole_and_its_memory_goes() -> None:
    reader = FrameReader()
    large = [b"envelope", b"x" * (3 * BUFFER_BYTES)]
    messages = [[b"before"], large, [b"after", b"", b"it"]]
    assert feed(reader, wire(messages), 70_000) == messages
    assert len(reader.room()) == BUFFER_BYTES


def test_room_is_never_empty_while_a_message_is_on_its_way() -> None:
    reader = FrameReader()
    data = wire([[b"y" * BUFFER_BYTES]])
    assert feed(reader, data[:-1], BUFFER_BYTES) == []
    assert len(reader.room()) == 1
    assert feed(reader, data[-1:], 1) == [[b"y" * BUFFER_BYTES]]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">IH", 2, 0),
        struct.pack(">IH", 5, 1),
        struct.pack(">IH", 2 + 4 * (MAX_FRAMES + 1), MAX_FRAMES + 1),
        struct.pack(">IH", MAX_MESSAGE_BYTES + 1, 2),
        struct.pack(">IHI", 8, 1, 1) + b"ab",
        struct.pack(">IHI", 8, 1, 3) + b"ab",
    ],
    ids=["no frames", "no lengths", "many frames", "too large", "short frames", "long frames"],
)
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    reader = FrameReader()
    reader.room()[: len(data)] = data
    reader.filled(len(data))
    with pytest.raises(FramingError):
        reader.messages()


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_an_error_and_take_no_memory(data: bytes) -> None:
    reader = FrameReader()
    try:
        messages = feed(reader, data, 200)
    except FramingError:
        return
    assert data.startswith(wire(messages))
