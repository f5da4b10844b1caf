"""RTP headers, and numbers that wrap."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RtpError
from common.rtp.header import MARKER, PACK, TIMESTAMPS, VERSION, Packet, is_rtcp, parse, unwrap


def test_a_header_that_is_packed_is_read():
    packet = PACK(VERSION, MARKER | 102, 65535, 0xFFFFFFFF, 7) + b"payload"
    assert parse(packet) == Packet(102, True, 65535, 0xFFFFFFFF, 7, b"payload")


def test_what_stands_around_a_payload_is_taken_off():
    head = PACK(VERSION | 0x30 | 2, 96, 1, 2, 3)
    packet = head + bytes(8) + b"\xbe\xde\x00\x01\x10\xaa\x00\x00" + b"media" + b"\x00\x00\x03"
    assert parse(packet).payload == b"media"


@pytest.mark.parametrize(
    "packet",
    [b"", b"\x80" * 11, b"\x40" + bytes(11), b"\x8f" + bytes(11), b"\xa0" + bytes(11) + b"\xff"],
)
def test_what_is_no_packet_is_refused(packet):
    with pytest.raises(RtpError):
        parse(packet)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_packet_or_an_error(data):
    with contextlib.suppress(RtpError):
        parse(data)


def test_rtcp_is_told_by_its_type():
    assert is_rtcp(b"\x80\xc8")
    assert is_rtcp(b"\x81\xcd")
    assert not is_rtcp(b"\x80\x66")
    assert not is_rtcp(b"\x80\xe6")
    assert not is_rtcp(b"\x80")


@given(near=st.integers(0, 2**40), step=st.integers(-0x7FFF, 0x7FFF))
def test_a_number_is_unwrapped_to_the_nearest(near, step):
    assert unwrap((near + step) % 0x10000, near) == near + step
    assert unwrap((near + step) % TIMESTAMPS, near, TIMESTAMPS) == near + step
