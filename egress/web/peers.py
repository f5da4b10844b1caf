"""Whose request it is: the peer, or whom a trusted proxy names. Pure."""

from collections.abc import Sequence

from common.access.peer_address import Networks, parse


def client_of(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """HOST:PORT of who asks; `forwarded` are the `X-Forwarded-For` headers, in their order.

    Each proxy adds the address that it was asked from. So they are read from the last one on, and
    the first that is of no trusted proxy counts: what stands before it anybody may have written.
    """
    host, _, port = peer.rpartition(":")
    entries = [entry.strip() for header in forwarded for entry in header.split(",")]
    while entries and host.strip("[]") in trusted:
        address = parse(_without_port(entries.pop()))
        if address is None:
            break  # no address: it counts as the proxy's own
        host, port = (f"[{address}]" if address.version == 6 else str(address)), "0"
    return f"{host}:{port}"


def _without_port(text: str) -> str:
    """The address in `HOST`, `HOST:PORT`, `[HOST]` or `[HOST]:PORT`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
