"""Names of hosts: which of them can be looked up at all. Pure."""

from typing import Final

MAX_CHARS: Final = 253  # RFC 1035 2.3.4, without the final dot


def can_be_looked_up(host: str) -> bool:
    """Tell if a host's name, or its address, is one that a resolver takes.

    Each label has 1 to 63 bytes as IDNA writes it (RFC 3490). Of any other `socket.getaddrinfo`
    raises UnicodeError or ValueError, and no OSError.
    """
    if not host or len(host) > MAX_CHARS + host.endswith(".") or not host.isprintable():
        return False
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return " " not in host
