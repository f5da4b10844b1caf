"""common/link/frames.py"""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import LinkError
from common.link.frames import (
    MAX_ENVELOPE_BYTES,
    MAX_FRAME_BYTES,
    MAX_GREETING_BYTES,
    MAX_PAYLOADS,
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
