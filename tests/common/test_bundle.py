"""common/bundle.py: several bus messages in one."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.bundle import MAGIC, MAX_MESSAGES, is_bundle, join, split
from common.envelope import encode, kinds
from common.errors import EnvelopeError
from common.identity import Generation, StreamId
from common.media_messages import StreamEnd

MESSAGES = st.lists(
    st.lists(st.binary(max_size=8), min_size=1, max_size=4), min_size=1, max_size=MAX_MESSAGES
)


@settings(max_examples=30, deadline=None)
@given(MESSAGES)
def test_what_is_joined_comes_apart_again(messages: list[list[bytes]]) -> None:
    bundle = join(messages)
    assert is_bundle(bundle)
    assert split(bundle) == messages


def test_no_envelope_looks_like_a_bundle() -> None:
    assert kinds()
    assert not is_bundle([encode(StreamEnd(StreamId("live/a"), Generation(1), "over"))])


GOOD = join([[b"ab", b"c"], [b"d"]])


@pytest.mark.parametrize(
    "bundle",
    [
        [MAGIC],
        [MAGIC, b""],
        GOOD[:1],
        [*GOOD, b"more"],
        [GOOD[0], b"abc"],
        [GOOD[0] + b"\x00", GOOD[1]],
        *([GOOD[0][:cut], GOOD[1]] for cut in range(len(MAGIC), len(GOOD[0]))),
        [MAGIC + struct.pack(">H", 0), b""],
        [MAGIC + struct.pack(">HHHI", 2, 1, 0, 1), b"a"],
        join([[b"a"]] * (MAX_MESSAGES + 1)),
    ],
)
def test_a_header_that_does_not_fit_is_an_error(bundle: list[bytes]) -> None:
    with pytest.raises(EnvelopeError):
        split(bundle)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=8))
def test_any_bytes_are_messages_or_an_error(header: bytes, body: bytes) -> None:
    try:
        messages = split([MAGIC + header, body])
    except EnvelopeError:
        return
    assert b"".join(frame for frames in messages for frame in frames) == body
