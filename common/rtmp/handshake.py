"""The RTMP handshake, simple and with digests (RTMP 1.0 section 5.2; Adobe's digest form).

Bytes in, bytes out; the digests' random filling comes from the caller. The server answers the
moment C1 is complete: FFmpeg and GStreamer read all of S0 S1 S2 before they send C2. C2 is
never verified, since FFmpeg's would fail. What is no RTMP is refused by its name.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from common.errors import HandshakeError
from common.rtmp.foreign_protocols import MAX_OPENING_BYTES, refuse_opening

VERSION: Final = 3
PACKET_SIZE: Final = 1536  # C1, C2, S1, S2
DIGEST_SIZE: Final = 32

CLIENT_KEY: Final = b"Genuine Adobe Flash Player 001"
SERVER_KEY: Final = b"Genuine Adobe Flash Media Server 001"
KEY_TAIL: Final = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")

# Where the digest block starts: schema 0 has it after the key block, schema 1 before.
SCHEMA_BASES: Final = (772, 8)

# Its first byte is below 3, so that FFmpeg players skip their own digest checks.
_DIGEST_SERVER_VERSION: Final = bytes((1, 0, 5, 4))


def digest_position(packet: bytes | bytearray, base: int) -> int:
    """Where the digest stands in C1 or S1; `base` is one of SCHEMA_BASES."""
    return base + 4 + sum(packet[base : base + 4]) % 728


def make_digest(packet: bytes | bytearray, position: int, key: bytes) -> bytes:
    """HMAC-SHA256 over the packet without the 32 bytes of the digest itself."""
    rest = packet[:position] + packet[position + DIGEST_SIZE :]
    return hmac.new(key, rest, hashlib.sha256).digest()


def find_digest(packet: bytes, key: bytes) -> tuple[int, bytes] | None:
    """The base and the digest of a C1 or S1 that carries a valid one."""
    for base in SCHEMA_BASES:
        position = digest_position(packet, base)
        digest = packet[position : position + DIGEST_SIZE]
        if hmac.compare_digest(digest, make_digest(packet, position, key)):
            return base, digest
    return None


def sign_packet(body: bytes, peer_digest: bytes, full_key: bytes) -> bytes:
    """The last 32 bytes of S2 or C2: a signature of the 1504 before, keyed by the peer's digest."""
    key = hmac.new(full_key, peer_digest, hashlib.sha256).digest()
    return hmac.new(key, body, hashlib.sha256).digest()


class ServerHandshake:
    """The server's side. `done` once C2 is in; `trailing` is then what followed it."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._buffer = bytearray()
        self._answered = False
        self.done = False
        self.trailing = b""

    def receive_data(self, data: bytes | memoryview) -> bytes:
        """Takes what came in, returns what to send now (S0 S1 S2 once, else nothing).

        Raises:
            HandshakeError: the first byte is not version 3, and it is known what this is instead.
        """
        self._buffer += data
        reply = b""
        if self._buffer and self._buffer[0] != VERSION:
            refuse_opening(bytes(self._buffer[:MAX_OPENING_BYTES]), VERSION)
            return reply
        if not self._answered and len(self._buffer) > PACKET_SIZE:
            self._answered = True
            c1 = bytes(self._buffer[1 : 1 + PACKET_SIZE])
            reply = bytes((VERSION,)) + self._answer(c1)
        if len(self._buffer) > 2 * PACKET_SIZE:
            self.done = True
            self.trailing = bytes(self._buffer[1 + 2 * PACKET_SIZE :])
            self._buffer.clear()
            # `buffer[0]` is no longer the version; nothing may come here any more.
        return reply

    def _answer(self, c1: bytes) -> bytes:
        found = find_digest(c1, CLIENT_KEY) if any(c1[4:8]) else None
        if found is None:
            # Bytes 4..7 zero: FFmpeg players insist on a digest when byte 4 is 3 or more.
            return bytes(8) + self._random(PACKET_SIZE - 8) + c1
        base, client_digest = found
        s1 = bytearray(bytes(4) + _DIGEST_SERVER_VERSION + self._random(PACKET_SIZE - 8))
        position = digest_position(s1, base)
        s1[position : position + DIGEST_SIZE] = make_digest(s1, position, SERVER_KEY)
        body = self._random(PACKET_SIZE - DIGEST_SIZE)
        return bytes(s1) + body + sign_packet(body, client_digest, SERVER_KEY + KEY_TAIL)


class ClientHandshake:
    """The client's side, simple form. `done` once S2 is in; `trailing` is what followed it."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._buffer = bytearray()
        self.done = False
        self.trailing = b""

    def start(self) -> bytes:
        """C0 and C1."""
        return bytes((VERSION,)) + bytes(8) + self._random(PACKET_SIZE - 8)

    def receive_data(self, data: bytes | memoryview) -> bytes:
        """Takes what came in, returns what to send now (C2 once, else nothing).

        Raises:
            HandshakeError: the server's version is not 3.
        """
        self._buffer += data
        if self._buffer and self._buffer[0] != VERSION:
            raise HandshakeError(f"RTMP version {self._buffer[0]}, wanted {VERSION}")
        if len(self._buffer) <= 2 * PACKET_SIZE:
            return b""
        self.done = True
        s1 = bytes(self._buffer[1 : 1 + PACKET_SIZE])
        self.trailing = bytes(self._buffer[1 + 2 * PACKET_SIZE :])
        self._buffer.clear()
        return s1
