"""SEI messages in NAL units of H.264 and H.265."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.h264 import unescape
from common.media.units import VideoCodec
from common.sei.messages import MAX_MESSAGES, sei_messages, sei_nal

HEADERS = {VideoCodec.H264: b"\x06", VideoCodec.H265: b"\x4e\x01"}
Messages = st.lists(
    st.tuples(
        st.integers(0, 600),
        # many zeros: start codes are what must not arise
        st.lists(st.sampled_from(b"\x00\x00\x00\x01\x02\x03\x04\xff"), max_size=600).map(bytes),
    ),
    min_size=1,
    max_size=MAX_MESSAGES,
)


@settings(max_examples=50)
@given(st.sampled_from(sorted(HEADERS)), Messages)
def test_what_is_written_is_what_is_read(
    codec: VideoCodec, messages: list[tuple[int, bytes]]
) -> None:
    nal = sei_nal(codec, messages)
    assert nal.startswith(HEADERS[codec])
    assert list(sei_messages(nal, len(HEADERS[codec]))) == messages
    # no start code may arise inside (H.264 7.4.1)
    assert not any(pair in nal for pair in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
    assert unescape(nal)[-1] == 0x80


@pytest.mark.parametrize(
    ("rbsp", "messages"),
    [
        ("", []),
        ("80", []),
        ("0501aa 80", [(5, b"\xaa")]),
        ("0501aa", [(5, b"\xaa")]),  # without trailing bits
        ("0500 0401bb 80", [(5, b""), (4, b"\xbb")]),
        ("0501aa 0409bb 80", [(5, b"\xaa")]),  # the second is cut short
        ("ff0501aa 80", [(260, b"\xaa")]),
        ("ffffff", []),
        ("05ffff", []),
        ("050500", []),
    ],
)
def test_messages_are_read_up_to_one_that_is_cut_short(
    rbsp: str, messages: list[tuple[int, bytes]]
) -> None:
    assert list(sei_messages(b"\x06" + bytes.fromhex(rbsp), 1)) == messages


def test_a_unit_of_very_many_messages_is_not_read_to_its_end() -> None:
    assert len(list(sei_messages(b"\x06" + b"\x05\x01\xaa" * 10_000, 1))) == MAX_MESSAGES
    assert list(sei_messages(b"\x06" + b"\xff" * 10_000, 1)) == []


@settings(max_examples=100)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    for _, payload in sei_messages(b"\x06" + data, 1):
        assert payload in unescape(data) or not payload
