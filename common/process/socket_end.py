"""How a socket ends whose peer does not take what was sent (IO).

A socket that is closed with bytes unsent lives on in the kernel until the peer has taken them. A
peer that keeps its window closed holds that memory for as long as it likes (RFC 9293, 3.8.6.1), and
the process sees nothing of it any more.
"""

import contextlib
import fcntl
import socket
import struct
import termios
from array import array

_RESET = struct.pack("ii", 1, 0)  # linger for no time: RST in place of FIN


def unsent_bytes(sock: socket.socket) -> int:
    """How many bytes of the kernel's send buffer the peer has not acknowledged."""
    count = array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
    except (OSError, ValueError):  # it is closed
        return 0
    return count[0]


def close_now(sock: socket.socket) -> None:
    """Close, and have the kernel forget what the peer has not taken: then the peer sees a reset."""
    if unsent_bytes(sock):
        with contextlib.suppress(OSError):  # it is reset already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
