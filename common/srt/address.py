"""`srt://HOST:PORT?…`, where a caller calls. Pure.

The names in the query are those of srt-live-transmit and FFmpeg. `latency` is in milliseconds, as
SRT's own tools have it; FFmpeg's microseconds are refused, as nobody waits for so long.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from common.errors import AddressError
from common.host_names import can_be_looked_up

SCHEME: Final = "srt"
MAX_LATENCY_MS: Final = 8000
MAX_STREAMID: Final = 512  # bytes that SRT carries
PASSPHRASE_BYTES: Final = range(10, 80)
_NAMES: Final = frozenset(("streamid", "passphrase", "latency", "mode", "transtype", "pkt_size"))


@dataclass(frozen=True, slots=True)
class SrtAddress:
    """Whom to call, and what to say there; the streamid and the passphrase are credentials."""

    host: str
    port: int
    streamid: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    latency_ms: int = 120

    @property
    def shown(self) -> str:
        """The address for people and logs: no credential is in it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}://{host}:{self.port}"


def parse(url: str) -> SrtAddress:
    """Read an address.

    Raises:
        AddressError: it cannot be called, with words that show no part of it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressError("not an address: srt://HOST:PORT?streamid=…") from None
    if parts.scheme != SCHEME or not host or not port or parts.path.strip("/"):
        raise AddressError("not an address of SRT: srt://HOST:PORT?streamid=…")
    if not can_be_looked_up(host):
        raise AddressError("its host is no name that can be looked up")
    if parts.username is not None or parts.fragment:
        raise AddressError("the streamid stands behind ?streamid=, with # written as %23")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.keys() - _NAMES:  # not said which: it may be what follows an & in a passphrase
        raise AddressError("its query has what is not known: streamid, passphrase, latency are")
    if query.get("mode", "caller") != "caller" or query.get("transtype", "live") != "live":
        raise AddressError("mode=caller and transtype=live alone are called")
    streamid, passphrase = query.get("streamid", ""), query.get("passphrase", "")
    if len(streamid.encode()) > MAX_STREAMID:
        raise AddressError(f"the streamid is longer than {MAX_STREAMID} bytes")
    if passphrase and len(passphrase.encode()) not in PASSPHRASE_BYTES:
        raise AddressError("the passphrase has 10 to 79 characters")
    latency = query.get("latency", "120")
    if not (latency.isascii() and latency.isdigit()) or int(latency[:9]) > MAX_LATENCY_MS:
        raise AddressError(f"latency is in milliseconds, {MAX_LATENCY_MS} at most")
    return SrtAddress(host, port, streamid, passphrase, int(latency))
