"""The port that several ingest processes share (IO: sockets, for a moment).

With SO_REUSEPORT a second farm of the same user would share a port in use without anyone being
warned: so the address is bound plainly once before the first of them starts. That also decides
which port "any free one" is, the same for all.
"""

import errno
import os
import socket

_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def find_port(host: str, port: int) -> int:
    """The port to share; raises OSError when somebody else listens there."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    last: OSError | None = None
    is_bound = False
    for family, _, _, _, address in dict.fromkeys(found):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address[0], port, *address[2:]))
                sock.listen(1)
            except OSError as error:
                if error.errno not in _NO_FAMILY:
                    raise _listen_error(host, port, error) from error
                last = error
                continue
            is_bound = True
            port = int(sock.getsockname()[1])
    if not is_bound:
        raise _listen_error(host, port, last or OSError(errno.EADDRNOTAVAIL, "no such address"))
    return port


def _listen_error(host: str, port: int, error: OSError) -> OSError:
    why = os.strerror(error.errno) if error.errno else str(error)
    return OSError(error.errno, f"cannot listen on {host}:{port}: {why}")
