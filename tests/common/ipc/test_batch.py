"""common/ipc/batch.py: several messages in one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import EnvelopeError
from common.ipc.batch import MAX_MESSAGES, pack, unpack

MESSAGES = st.lists(st.lists(st.binary(max_size=8), min_size=1, max_size=20), min_size=1).filter(
    lambda messages: len(messages) > 1 or messages[0][0] != b""
)


@given(MESSAGES)
def test_what_is_packed_comes_out(messages: list[list[bytes]]) -> None:
    assert list(unpack([bytes(frame) for frame in pack(messages)])) == messages


def test_as_many_messages_and_frames_as_there_may_be() -> None:
    many = [[b"x"]] * MAX_MESSAGES
    assert unpack([bytes(frame) for frame in pack(many)]) == many
    long = [[b"y"] * 4096]
    assert list(unpack([bytes(frame) for frame in pack(long)])) == long


def test_a_message_alone_goes_as_it_is() -> None:
    assert pack([[b"envelope", b"payload"]]) == [b"envelope", b"payload"]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"", b"\0\1\0\1"],
        [b"", b"\0\1\0", b"x"],
        [b"", b"\0\1", b"x"],
        [b"", b"\0\1\0\2", b"x", b"y"],
        [b"", b"\0\1\0\1", b"x", b"y", b"z"],
        [b"", b"\0\0\0\0"],
        [b"", b"\0\0\0\1", b"x"],
        [b"", b"\0\1" * (MAX_MESSAGES + 1), *[b"x"] * (MAX_MESSAGES + 1)],
    ],
)
def test_counts_that_do_not_fit_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(EnvelopeError):
        unpack(frames)


@given(st.lists(st.binary(max_size=12), min_size=1))
def test_nothing_else_is_raised_whatever_comes(frames: list[bytes]) -> None:
    try:
        messages = unpack(frames)
    except EnvelopeError:
        return
    assert pack(messages) == frames
