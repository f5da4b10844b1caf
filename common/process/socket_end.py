"""How a socket ends whose peer does not take what was sent (IO).

A socket that is closed with bytes unsent lives on in the kernel until the peer has taken them. A
peer that keeps its window closed holds that memory for as long as it likes (RFC 9293, 3.8.6.1), and
the process sees nothing of it any more.
"""

import contextlib
import fcntl
import socket
import struct
import sys
import termios
from array import array

_INFO_BYTES = 256
_TAKEN = slice(120, 128)  # tcpi_bytes_acked of struct tcp_info (linux/tcp.h), since Linux 4.1
_RESET = struct.pack("ii", 1, 0)  # linger for no time: RST in place of FIN


def unsent_bytes(sock: socket.socket) -> int:
    """How many bytes of the kernel's send buffer the peer has not acknowledged."""
    count = array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
    except (OSError, ValueError):  # it is closed
        return 0
    return count[0]


def taken_bytes(sock: socket.socket) -> int:
    """How many bytes the peer of a TCP connection has acknowledged since its start."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:  # it is closed, or no TCP
        return 0
    return int.from_bytes(info[_TAKEN], sys.byteorder) if len(info) >= _TAKEN.stop else 0


def close_now(sock: socket.socket) -> None:
    """Close, and have the kernel forget what the peer has not taken: then the peer sees a reset."""
    if unsent_bytes(sock):
        with contextlib.suppress(OSError):  # it is reset already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
