"""Whether a host of a URL is this one (IO: the kernel's addresses).

No name is looked up: a name that leads here by DNS alone is not found out.
"""

import ipaddress
import socket

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(host: str) -> Address | None:
    """The address that a host is, also in a form that only C libraries read: `127.1`, `0x7f000001`.

    None: it is a name.
    """
    address: Address
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_own_host(host: str) -> bool:
    """Tell if a host is this one: by a name of its own, or an address of its own."""
    name = host.rstrip(".").lower()
    own_name = socket.gethostname().lower()
    if name in ("localhost", own_name, own_name.partition(".")[0]) or name.endswith(".localhost"):
        return True
    address = address_of(name)
    if address is None:
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))  # of its own addresses alone
    except OSError:
        return False
    return True
