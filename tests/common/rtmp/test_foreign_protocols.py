"""What is no RTMP is named by how it begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import HandshakeError
from common.rtmp.foreign_protocols import MAX_OPENING_BYTES, name_opening, refuse_opening

PROXY_V2 = bytes.fromhex("0d0a0d0a000d0a515549540a")

OPENINGS = [
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 1935\r\n", "PROXY protocol header (version 1)"),
    (b"PROXY UNKNOWN\r\n", "PROXY protocol header (version 1)"),  # a health check
    (PROXY_V2 + b"\x20\x00\x00\x00", "PROXY protocol header (version 2)"),
    (b"\x16\x03\x01\x02\x00\x01", "TLS"),
    (b"\x06" + bytes(20), "RTMPE"),
    (b"GET / HTTP/1.1\r\n", "HTTP:"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP:"),
    (b"POST /fcs/ident2 HTTP/1.1\r\n", "RTMPT"),
    (b"POST /open/1 HTTP/1.1\r\n", "RTMPT"),
    (b"POST /api HTTP/1.1\r\n", "HTTP:"),
    (b"OPTIONS / HTTP/1.1\r\n", "HTTP:"),
    (b"OPTIONS rtsp://host:1935/live/cam RTSP/1.0\r\n", "RTSP"),
    (b"ANNOUNCE rtsp://host/live/cam RTSP/1.0\r\n", "RTSP"),
    (b"SOURCE /cam ICE/1.0\r\n", "Icecast"),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
    (b"\x47\x40\x11\x10\x00\x42\xf0\x25\x00\x01\xc1\x00\x00", "MPEG-TS"),
    (b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00", "FLV"),
    (b"\x1a\x45\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x23", "Matroska"),
]


@pytest.mark.parametrize(("start", "name"), OPENINGS)
def test_an_opening_is_named(start, name):
    found = name_opening(start)
    assert found is not None
    assert name in found


@pytest.mark.parametrize(("start", "name"), OPENINGS)
def test_no_part_of_it_is_named_otherwise(start, name):
    for size in range(1, len(start)):
        found = name_opening(start[:size])
        assert found is None or name in found


@pytest.mark.parametrize("start", [b"\x00", b"\xff\xff", b"PX", b"hello", b"\r\n", b"GETTY"])
def test_what_is_nothing_known_has_no_name(start):
    assert not (name_opening(start) or "").startswith("PROXY")


def test_a_proxy_header_says_what_to_set():
    with pytest.raises(HandshakeError, match="turn it off in the load balancer"):
        refuse_opening(b"PROXY TCP6 ", 3)


@given(st.binary(min_size=1, max_size=MAX_OPENING_BYTES + 8))
def test_nothing_is_waited_for_beyond_the_longest_opening(start):
    if len(start) >= MAX_OPENING_BYTES:
        assert name_opening(start) is not None
