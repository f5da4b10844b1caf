"""The PROXY protocol's header, versions 1 and 2: whose connection a proxy passes on. Pure.

It stands before everything else that is sent, and only the farm's own processes and networks that
the operator trusts may send one: whoever may send it may say that he is anybody. Its length is
bounded and checked before more of it is waited for.

Source: HAProxy, "The PROXY protocol", revision of 2020-03-05, sections 2.1 and 2.2.
"""

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from common.errors import ProxyHeaderError

V1_BEGINS: Final = b"PROXY "
V2_BEGINS: Final = b"\r\n\r\n\x00\r\nQUIT\n"
MAX_V1_BYTES: Final = 107  # with its line end, section 2.1
# Addresses take 36 bytes, 216 at most; the rest is what load balancers add (TLVs, section 2.2).
MAX_V2_BYTES: Final = 4096
MAX_HEADER_BYTES: Final = MAX_V2_BYTES

_V2_FIXED: Final = 16  # the signature, version and command, family, length
_TLV_FIXED: Final = 3  # type and length
_LOCAL, _PROXY = 0, 1
_VERSION_2: Final = 2
_TCP4, _TCP6 = 0x11, 0x21
_UNKNOWN_FAMILIES: Final = (0x00, 0x31)  # not said; a Unix socket
_ADDRESS_BYTES: Final = {0x00: 0, 0x31: 216, _TCP4: 12, _TCP6: 36}


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A whole header."""

    size: int  # bytes; what follows is the client's
    source: tuple[str, int] | None  # whose connection it is; None: the proxy's own


def read_header(data: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of a connection; None: all of `data` is a part of it.

    Raises:
        ProxyHeaderError: there is none, or it is broken.
    """
    if data.startswith(V1_BEGINS) or V1_BEGINS.startswith(data):
        return _read_v1(data)
    if data.startswith(V2_BEGINS) or V2_BEGINS.startswith(data):
        return _read_v2(data)
    raise ProxyHeaderError("no PROXY protocol header")


def header_v2(source: tuple[str, int], destination: tuple[str, int]) -> bytes:
    """Write a header of version 2, without TLVs.

    Raises:
        ValueError: one of the hosts is no IP address, or they are of two versions.
    """
    family, packed = _TCP4, b""
    for host, _ in (source, destination):
        try:
            packed += IPv4Address(host).packed
        except AddressValueError:
            family = _TCP6
            packed += IPv6Address(host.partition("%")[0]).packed
    packed += source[1].to_bytes(2) + destination[1].to_bytes(2)
    if len(packed) != _ADDRESS_BYTES[family]:
        raise ValueError("addresses of two versions of IP")
    kind = bytes((_VERSION_2 << 4 | _PROXY, family))
    return V2_BEGINS + kind + len(packed).to_bytes(2) + packed


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, MAX_V1_BYTES)
    if end < 0:
        if len(data) >= MAX_V1_BYTES:
            raise _broken(1, f"no line end within {MAX_V1_BYTES} bytes")
        return None
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise _broken(1, "a character that is not ASCII") from None
    size = end + 2
    if words[1] == "UNKNOWN":
        return ProxyHeader(size, None)
    if words[1] not in ("TCP4", "TCP6"):
        raise _broken(1, "neither TCP4, TCP6 nor UNKNOWN")
    if len(words) != 6:
        raise _broken(1, f"{len(words)} words where 6 belong")
    _, family, source, destination, source_port, destination_port = words
    try:
        hosts = [_host_v1(family, host) for host in (source, destination)]
    except AddressValueError:
        raise _broken(1, f"an address that is none of {family}") from None
    ports = [_port_v1(text) for text in (source_port, destination_port)]
    return ProxyHeader(size, (hosts[0], ports[0]))


def _host_v1(family: str, text: str) -> str:
    if family == "TCP4":
        return str(IPv4Address(text))
    if "%" in text:
        raise AddressValueError("a zone is nothing to another host")
    return _host_v6(IPv6Address(text))


def _port_v1(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= 5
    if not is_number or (text[0] == "0" and text != "0") or int(text) > 65535:
        raise _broken(1, "a port that is none")
    return int(text)


def _host_v6(address: IPv6Address) -> str:
    return str(address.ipv4_mapped or address)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_FIXED:
        return None
    version, command = data[12] >> 4, data[12] & 0xF
    family, length = data[13], int.from_bytes(data[14:16])
    if version != _VERSION_2:
        raise _broken(2, f"version {version}")
    if command not in (_LOCAL, _PROXY):
        raise _broken(2, f"command {command}")
    size = _V2_FIXED + length
    if size > MAX_V2_BYTES:
        raise _broken(2, f"{size} bytes, at most {MAX_V2_BYTES} are read")
    if command == _PROXY and family not in _ADDRESS_BYTES:
        raise _broken(2, f"family and protocol {family:#04x}, neither TCP over IPv4 nor over IPv6")
    addresses = _ADDRESS_BYTES.get(family, 0) if command == _PROXY else 0
    if length < addresses:
        raise _broken(2, f"{length} bytes where the addresses take {addresses}")
    if len(data) < size:
        return None
    if command == _LOCAL or family in _UNKNOWN_FAMILIES:
        return ProxyHeader(size, None)
    body = data[_V2_FIXED:size]
    _check_tlvs(body[addresses:])
    if family == _TCP4:
        return ProxyHeader(size, (str(IPv4Address(body[:4])), int.from_bytes(body[8:10])))
    return ProxyHeader(size, (_host_v6(IPv6Address(body[:16])), int.from_bytes(body[32:34])))


def _check_tlvs(data: bytes) -> None:
    """Refuse what is no row of TLVs; what they say is for others."""
    at = 0
    while at < len(data):
        end = at + _TLV_FIXED + int.from_bytes(data[at + 1 : at + _TLV_FIXED])
        if at + _TLV_FIXED > len(data) or end > len(data):
            raise _broken(2, "a TLV that is longer than the header")
        at = end


def _broken(version: int, what: str) -> ProxyHeaderError:
    return ProxyHeaderError(f"a broken PROXY protocol header (version {version}): {what}")
