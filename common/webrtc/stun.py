"""STUN as an ICE-lite server needs it (RFC 8489, RFC 8445 7.3): requests in, answers out. Pure.

A browser proves by the password of its session's answer that an address is its own. What
proves nothing is given no answer at all: an answer to a forged address would be a service to those
who attack it.
"""

import hmac
import ipaddress
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from common.errors import StunError

HEADER_BYTES: Final = 20
MAX_BYTES: Final = 1280  # of a message: it fits any path
COOKIE: Final = 0x2112_A442
BINDING_REQUEST: Final = 0x0001
BINDING_INDICATION: Final = 0x0011
BINDING_SUCCESS: Final = 0x0101
BINDING_ERROR: Final = 0x0111
ROLE_CONFLICT: Final = 487
_USERNAME, _INTEGRITY, _ERROR, _XOR_ADDRESS = 0x0006, 0x0008, 0x0009, 0x0020
_USE_CANDIDATE, _FINGERPRINT = 0x0025, 0x8028
CONTROLLED: Final = 0x8029
_FINGERPRINT_XOR: Final = 0x5354_554E
_INTEGRITY_BYTES: Final = 24  # with the attribute's head
_FINGERPRINT_BYTES: Final = 8
_HEAD: Final = struct.Struct("!HHI12s")

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding request, whose sender has proved nothing yet (`has_integrity`)."""

    transaction: bytes
    to: str  # the user name fragment of the session that it is for
    by: str  # the peer's
    nominates: bool  # this address is the one to send to
    is_controlled: bool  # its sender leaves the choice to us: a conflict, as it does to ICE-lite
    _signed: bytes  # the message before MESSAGE-INTEGRITY, its length as if that were the last
    _signature: bytes


def looks_like_stun(datagram: bytes) -> bool:
    """Tell STUN from DTLS and RTP on one port (RFC 7983 7)."""
    return len(datagram) >= HEADER_BYTES and datagram[0] < 2


def parse(datagram: bytes) -> Binding | None:
    """Read a message; None for one that asks for nothing. Raises StunError."""
    if not HEADER_BYTES <= len(datagram) <= MAX_BYTES:
        raise StunError(f"STUN message of {len(datagram)} bytes")
    kind, size, cookie, transaction = _HEAD.unpack_from(datagram)
    if cookie != COOKIE or size % 4 or HEADER_BYTES + size != len(datagram):
        raise StunError("no STUN message: another cookie or another length")
    if kind != BINDING_REQUEST:
        return None
    user, nominates, is_controlled = b"", False, False
    signed, signature = b"", b""
    for at, name, value in _attributes(datagram):
        if name == _FINGERPRINT:
            _check_fingerprint(datagram, at, value)
        elif signature:
            pass  # behind MESSAGE-INTEGRITY nothing else counts (RFC 8489 14.5)
        elif name == _USERNAME:
            user = value
        elif name == _USE_CANDIDATE:
            nominates = True
        elif name == CONTROLLED:
            is_controlled = True
        elif name == _INTEGRITY:
            if len(value) != _INTEGRITY_BYTES - 4:
                raise StunError(f"MESSAGE-INTEGRITY of {len(value)} bytes")
            signed, signature = _signed_part(datagram, at), value
        elif name < 0x8000 and name not in _UNDERSTOOD:
            raise StunError(f"the STUN attribute {name:#06x} must be understood, and is not")
    to, colon, by = user.decode("ascii", "replace").partition(":")
    if not colon or not signature:
        raise StunError("a binding request without a user name or its MESSAGE-INTEGRITY")
    return Binding(transaction, to, by, nominates, is_controlled, signed, signature)


def _attributes(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where each attribute begins, its type and its value."""
    at = HEADER_BYTES
    while at < len(message):
        if at + 4 > len(message):
            raise StunError("a STUN attribute is cut off")
        name, length = struct.unpack_from("!HH", message, at)
        value = message[at + 4 : at + 4 + length]
        if len(value) < length:
            raise StunError("a STUN attribute ends beyond its message")
        yield at, name, value
        at += 4 + length + (-length % 4)


# PRIORITY; ICE-CONTROLLING may be ignored; REALM and NONCE are of credentials that are not ICE's
_UNDERSTOOD: Final = frozenset({0x0024, 0x0014, 0x0015})


def has_integrity(request: Binding, password: str) -> bool:
    """Whether the sender knows the password of the session."""
    signature = hmac.digest(password.encode(), request._signed, "sha1")
    return hmac.compare_digest(signature, request._signature)


def success(request: Binding, password: str, address: Address) -> bytes:
    """The answer to a request that came from this address."""
    mapped = _attribute(_XOR_ADDRESS, _xor_address(address, request.transaction))
    return _message(BINDING_SUCCESS, request.transaction, mapped, password)


def conflict(request: Binding, password: str) -> bytes:
    """The answer to one who would leave the choice to us: it has to choose (RFC 8445 7.3.1.1)."""
    words = b"Role Conflict"
    body = _attribute(_ERROR, bytes((0, 0, ROLE_CONFLICT // 100, ROLE_CONFLICT % 100)) + words)
    return _message(BINDING_ERROR, request.transaction, body, password)


def is_answer(datagram: bytes, transaction: bytes, password: str) -> bool:
    """Whether it answers a request of ours, by one who knows the password. Raises StunError."""
    if datagram[:2] != BINDING_SUCCESS.to_bytes(2, "big") or datagram[8:20] != transaction:
        return False
    for at, name, value in _attributes(datagram):
        if name == _INTEGRITY:
            signature = hmac.digest(password.encode(), _signed_part(datagram, at), "sha1")
            return hmac.compare_digest(signature, value)
    return False


def binding_request(
    user: str, password: str, transaction: bytes, attributes: Sequence[tuple[int, bytes]] = ()
) -> bytes:
    """A request: as peers send it, and to ask one whether a new address is its own."""
    body = _attribute(_USERNAME, user.encode())
    body += b"".join(_attribute(name, value) for name, value in attributes)
    return _message(BINDING_REQUEST, transaction, body, password)


NOMINATE: Final = (_USE_CANDIDATE, b"")
PRIORITY: Final = (0x0024, bytes((0x7E, 0xFF, 0xFF, 0xFF)))


def mapped_address(answer: bytes) -> Address:
    """The address in an answer; for clients of ours. Raises StunError."""
    for _, name, masked in _attributes(answer):
        if name == _XOR_ADDRESS:
            value = _xor(masked, answer[8:20])
            return str(ipaddress.ip_address(value[4:])), int.from_bytes(value[2:4], "big")
    raise StunError("an answer without an address")


def _check_fingerprint(datagram: bytes, at: int, value: bytes) -> None:
    """The CRC at the end tells STUN from what only looks like it (RFC 8489 14.7)."""
    crc = zlib.crc32(datagram[:at]) ^ _FINGERPRINT_XOR
    if at + _FINGERPRINT_BYTES != len(datagram) or value != crc.to_bytes(4, "big"):
        raise StunError("a wrong FINGERPRINT")


def _signed_part(datagram: bytes, at: int) -> bytes:
    size = at + _INTEGRITY_BYTES - HEADER_BYTES
    return datagram[:2] + size.to_bytes(2, "big") + datagram[4:at]


def _message(kind: int, transaction: bytes, body: bytes, password: str) -> bytes:
    def head(size: int) -> bytes:
        return _HEAD.pack(kind, size, COOKIE, transaction)

    signed = head(len(body) + _INTEGRITY_BYTES) + body
    body += _attribute(_INTEGRITY, hmac.digest(password.encode(), signed, "sha1"))
    whole = head(len(body) + _FINGERPRINT_BYTES) + body
    crc = zlib.crc32(whole) ^ _FINGERPRINT_XOR
    return whole + _attribute(_FINGERPRINT, crc.to_bytes(4, "big"))


def _attribute(name: int, value: bytes) -> bytes:
    return struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)


def _xor_address(address: Address, transaction: bytes) -> bytes:
    ip = ipaddress.ip_address(address[0].partition("%")[0])
    plain = bytes((0, 1 if ip.version == 4 else 2)) + address[1].to_bytes(2, "big") + ip.packed
    return _xor(plain, transaction)


def _xor(value: bytes, transaction: bytes) -> bytes:
    """Port and address, masked or unmasked (RFC 8489 14.2)."""
    key = COOKIE.to_bytes(4, "big") + transaction
    masked = bytes(one ^ other for one, other in zip(value[4:], key, strict=False))
    port = int.from_bytes(value[2:4], "big") ^ COOKIE >> 16
    return value[:2] + port.to_bytes(2, "big") + masked
