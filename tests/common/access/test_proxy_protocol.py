"""The PROXY protocol's header: by table, cut off anywhere, and of any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.proxy_protocol import (
    MAX_HEADER_BYTES,
    MAX_V1_BYTES,
    V1_BEGINS,
    V2_BEGINS,
    ProxyHeader,
    header_v2,
    read_header,
)
from common.errors import ProxyHeaderError

SOURCE4, HERE4 = bytes((203, 0, 113, 7)), bytes((10, 0, 0, 1))
SOURCE6, HERE6 = bytes.fromhex("20010db8" + "00" * 11 + "07"), bytes(15) + b"\x01"
MAPPED = bytes(10) + b"\xff\xff" + SOURCE4
PORTS = (40000).to_bytes(2) + (1935).to_bytes(2)
TCP4, TCP6 = SOURCE4 + HERE4 + PORTS, SOURCE6 + HERE6 + PORTS
SSL_TLV = bytes.fromhex("20000f 01 00000000 210007 544c5376312e33".replace(" ", ""))
NOOP_TLV = bytes((4, 0, 0))


def v2(command: int, family: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return V2_BEGINS + bytes((command, family)) + size.to_bytes(2) + body


GOOD = [
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 1935\r\n", ("203.0.113.7", 40000)),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ("255.255.255.255", 65535)),
    (b"PROXY TCP6 2001:db8::7 ::1 40000 1935\r\n", ("2001:db8::7", 40000)),
    (b"PROXY TCP6 ::ffff:203.0.113.7 ::1 0 1935\r\n", ("203.0.113.7", 0)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    (v2(0x21, 0x11, TCP4), ("203.0.113.7", 40000)),
    (v2(0x21, 0x21, TCP6), ("2001:db8::7", 40000)),
    (v2(0x21, 0x21, MAPPED + HERE6 + PORTS), ("203.0.113.7", 40000)),
    (v2(0x21, 0x11, TCP4 + SSL_TLV + NOOP_TLV), ("203.0.113.7", 40000)),
    (v2(0x20, 0x00, b""), None),  # a health check
    (v2(0x20, 0x11, TCP4), None),
    (v2(0x20, 0x77, b"?"), None),  # what a proxy says of itself is skipped
    (v2(0x21, 0x00, b"??"), None),
    (v2(0x21, 0x31, bytes(216)), None),
    (v2(0x21, 0x11, TCP4 + bytes((4,)) + (4061).to_bytes(2) + bytes(4061)), ("203.0.113.7", 40000)),
]

BAD = [
    (b"\x03" + bytes(20), "no PROXY"),
    (b"GET / HTTP/1.1\r\n", "no PROXY"),
    (b"PROXy TCP4", "no PROXY"),
    (b"\r\n\r\n\x00\r\nQUIT\r", "no PROXY"),
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 40000\r\n", "5 words"),
    (b"PROXY TCP4  203.0.113.7 10.0.0.1 40000 1935\r\n", "7 words"),
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 1935 x\r\n", "7 words"),
    (b"PROXY UDP4 203.0.113.7 10.0.0.1 40000 1935\r\n", "neither TCP4"),
    (b"PROXY \r\n", "neither TCP4"),
    (b"PROXY tcp4 203.0.113.7 10.0.0.1 40000 1935\r\n", "neither TCP4"),
    (b"PROXY TCP4 203.0.113 10.0.0.1 40000 1935\r\n", "none of TCP4"),
    (b"PROXY TCP4 2001:db8::7 ::1 40000 1935\r\n", "none of TCP4"),
    (b"PROXY TCP6 203.0.113.7 10.0.0.1 40000 1935\r\n", "none of TCP6"),
    (b"PROXY TCP6 fe80::1%eth0 ::1 40000 1935\r\n", "none of TCP6"),
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 1935\r\n", "a port"),
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 040 1935\r\n", "a port"),
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 -1 1935\r\n", "a port"),
    (b"PROXY TCP4 203.0.113.7 10.0.0.1 40000 \r\n", "a port"),
    ("PROXY TCP4 203.0.113.7 10.0.0.1 \uff14 1935\r\n".encode(), "not ASCII"),
    (b"PROXY TCP4 " + b"9" * MAX_V1_BYTES, "no line end"),
    (b"PROXY UNKNOWN " + b"9" * MAX_V1_BYTES + b"\r\n", "no line end"),
    (v2(0x11, 0x11, TCP4), "version 1"),
    (v2(0x22, 0x11, TCP4), "command 2"),
    (v2(0x21, 0x12, TCP4), "0x12"),  # UDP
    (v2(0x21, 0x41, TCP4), "0x41"),
    (v2(0x21, 0x11, TCP4[:-1]), "11 bytes where"),
    (v2(0x21, 0x21, TCP4), "12 bytes where"),
    (v2(0x21, 0x11, b"", 65535), "at most 4096"),  # before it has come
    (v2(0x20, 0x00, b"", 4081), "at most 4096"),
    (v2(0x21, 0x11, TCP4 + b"\x04"), "a TLV"),
    (v2(0x21, 0x11, TCP4 + b"\x04\x00\x02x"), "a TLV"),
]


@pytest.mark.parametrize(("header", "source"), GOOD)
def test_a_header_says_whose_connection_it_is_and_where_it_ends(
    header: bytes, source: tuple[str, int] | None
) -> None:
    expected = ProxyHeader(len(header), source)
    assert read_header(header) == expected
    assert read_header(header + b"\x03" + bytes(1536)) == expected
    assert read_header(header + header) == expected, "a second one is the client's"


@pytest.mark.parametrize("header", [header for header, _ in GOOD])
def test_a_header_that_is_cut_off_is_waited_for(header: bytes) -> None:
    assert [read_header(header[:size]) for size in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize(("data", "words"), BAD)
def test_what_is_none_or_broken_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(ProxyHeaderError, match=words):
        read_header(data)


@given(
    st.one_of(
        st.binary(max_size=64),
        st.binary(max_size=200).map(lambda rest: V1_BEGINS + rest),
        st.binary(max_size=200).map(lambda rest: V2_BEGINS + rest),
        st.binary(max_size=64).map(lambda rest: V2_BEGINS + b"\x21\x11\x00\x20" + rest),
    )
)
def test_any_bytes_are_a_header_a_part_of_one_or_refused(data: bytes) -> None:
    try:
        found = read_header(data)
    except ProxyHeaderError:
        return
    if found is None:
        assert len(data) < MAX_HEADER_BYTES
    else:
        assert found.size <= len(data)
        assert read_header(data[: found.size]) == found


PORT = st.integers(0, 65535)
V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6, network="2000::/3").map(str)


@given(st.one_of(st.tuples(V4, V4), st.tuples(V6, V6)), PORT, PORT)
def test_what_is_written_is_read(hosts: tuple[str, str], port: int, here: int) -> None:
    header = header_v2((hosts[0], port), (hosts[1], here))
    assert read_header(header) == ProxyHeader(len(header), (hosts[0], port))


def test_addresses_of_two_kinds_are_not_written() -> None:
    with pytest.raises(ValueError, match="two versions"):
        header_v2(("192.0.2.1", 1), ("::1", 2))
    with pytest.raises(ValueError, match="localhost"):
        header_v2(("localhost", 1), ("192.0.2.1", 2))
