"""Who may connect to the bound sockets of a ZeroMQ context at all. Pure.

libzmq asks a handler within the process before it lets a connection stand (ZAP, RFC 27), and names
the process at its other end, as the kernel has it. A connection that is refused is closed: nothing
that it would have sent is read. Peers of protocols before ZMTP 3 are refused by libzmq itself,
where a socket has such a handler.
"""

from collections.abc import Callable
from typing import Final

ADDRESS: Final = "inproc://zeromq.zap.01"
VERSION: Final = b"1.0"

Admit = Callable[[int, int], bool]  # by user and process


class Doorkeeper:
    """Answers libzmq for all sockets that have a name here."""

    def __init__(self) -> None:
        self._admit: dict[bytes, Admit] = {}

    def add(self, admit: Admit) -> bytes:
        """Ask this for a socket; return the socket's name, its ZAP_DOMAIN."""
        name = b"%d" % len(self._admit)
        self._admit[name] = admit
        return name

    def answer(self, request: list[bytes]) -> list[bytes]:
        """Return the answer to a request, both with who asks in front."""
        asks, _, _, number, name, address = request[:6]
        code = b"200" if self._may_connect(name, address) else b"400"
        return [asks, b"", VERSION, number, code, b"", b"", b""]

    def _may_connect(self, name: bytes, address: bytes) -> bool:
        admit = self._admit.get(name)
        try:
            uid, pid = credentials(address.decode())
        except ValueError:
            return False
        return admit is not None and admit(uid, pid)


def credentials(peer_address: str) -> tuple[int, int]:
    """Read user and process from libzmq's "Peer-Address" of a Unix socket. Raises ValueError.

    It is ":UID:GID:PID", behind a name that means nothing (libzmq 4.3, stream_engine_base.cpp).
    """
    *_, uid, _, pid = peer_address.split(":")
    return int(uid), int(pid)
