"""Which addresses an answer names for the UDP port (IO: it asks for the host's interfaces)."""

import ipaddress
import socket
from collections.abc import Sequence

import psutil

MAX_ADDRESSES = 8


def candidate_addresses(
    configured: Sequence[str], bound: tuple[str, int], server_host: str
) -> list[tuple[str, int]]:
    """Those that the operator names, or else the bound one, or else those of the interfaces.

    `server_host` is the address of this host that the request came to: it can be reached
    there, so that it is the first of several; unless a proxy has asked.
    """
    host, port = bound
    if configured:
        return [(one, port) for one in configured[:MAX_ADDRESSES]]
    try:
        own = ipaddress.ip_address(host)
    except ValueError:
        return []
    if not own.is_unspecified:
        return [(host, port)]
    found = [one for one in _interfaces() if own.version == 6 or ":" not in one]
    if server_host in found:
        found.remove(server_host)
        found.insert(0, server_host)
    return [(one, port) for one in found[:MAX_ADDRESSES]]


def _interfaces() -> list[str]:
    """The addresses of the host, loopback last, without those of one link alone."""
    found = []
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                ip = ipaddress.ip_address(one.address.partition("%")[0])
                if not ip.is_link_local:
                    found.append(ip)
    found.sort(key=lambda ip: (ip.is_loopback, ip.version, int(ip)))
    return [str(ip) for ip in found]
