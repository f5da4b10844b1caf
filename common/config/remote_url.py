"""URLs of other servers that media is fetched from, or sent to, and how they are shown. Pure.

User, password, stream key and query of such a URL are credentials: whatever is shown or logged is
`shown_url`. What an API may name is bounded by patterns (`is_allowed`).
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from common.config.values import Json, Kind
from common.errors import AddressError
from common.host_names import can_be_looked_up
from common.srt import address as srt_address

MAX_URL_CHARS: Final = 1024
RTMP_SCHEMES: Final = ("rtmp", "rtmps")
PULL_SCHEMES: Final = (*RTMP_SCHEMES, "rtsp", "rtsps", "http", "https", srt_address.SCHEME)
_NEEDS_PATH: Final = frozenset(RTMP_SCHEMES)
_PRINTABLE: Final = re.compile(r"[!-~]+")
_PATTERN: Final = re.compile(r"[a-z]+://(?:\*|[A-Za-z0-9.*-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")


def split_remote(url: str, schemes: Sequence[str]) -> SplitResult:
    """Take a URL apart.

    Raises:
        ValueError: it is none of these schemes, or not whole; with what it must be. The words hold
            nothing of the URL.
    """
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS or not _PRINTABLE.fullmatch(url):
        raise ValueError(f"must be {_named(schemes)}, at most {MAX_URL_CHARS} characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must have a host, and a port from 1 to 65535 if any") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must be {_named(schemes)}")
    if not host or not can_be_looked_up(host) or port == 0:
        raise ValueError("must have a host, and a port from 1 to 65535 if any")
    if parts.scheme in _NEEDS_PATH and len(parts.path.strip("/").split("/")) < 2:
        raise ValueError("must name app and stream: rtmp://HOST/APP/KEY")
    if parts.scheme == srt_address.SCHEME:
        try:
            srt_address.parse(url)
        except AddressError as error:
            raise ValueError(str(error)) from None
    return parts


def check_rtmp(url: str) -> None:
    """Look at the address of a stream at an RTMP server.

    Raises:
        AddressError: it is none; with what it must be.
    """
    try:
        split_remote(url, RTMP_SCHEMES)
    except ValueError as error:
        raise AddressError(str(error)) from None


def shown_url(url: str) -> str:
    """What people may see of a URL: no user, no password, of the path the first part, no query."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "?"
    host = f"[{host}]" if ":" in host else host
    first, slash, rest = parts.path.strip("/").partition("/")
    hidden = "/…" if slash or rest or parts.query else ""
    path = f"/{first}" if first else ""
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}{hidden}"


def is_allowed(url: str, patterns: Sequence[str]) -> bool:
    """Tell if a URL is of one of these: `rtsp://*.example.org`, `http://10.0.0.7:8080`.

    Without a port a pattern is for every port. `*` stands for any characters of a host's name; a
    host that is an address is only matched by that address, or by `*` alone.
    """
    parts = urlsplit(url)
    host, port = (parts.hostname or "").lower(), parts.port
    for pattern in patterns:
        wanted = urlsplit(pattern)
        if wanted.scheme != parts.scheme or wanted.port not in (None, port):
            continue
        name = (wanted.hostname or "").lower()
        if name == "*" or name == host or (not _is_address(host) and fnmatchcase(host, name)):
            return True
    return False


@dataclass(frozen=True)
class RemoteUrl(Kind):
    """The address of another server's stream. A problem never shows it."""

    schemes: tuple[str, ...]

    def read(self, value: Any) -> str:
        split_remote(value, self.schemes)
        return str(value)

    def range(self) -> str:
        return ", ".join(f"`{scheme}://…`" for scheme in self.schemes)

    def schema(self) -> Json:
        pattern = f"^(?:{'|'.join(self.schemes)})://[!-~]+$"
        return {"type": "string", "pattern": pattern, "maxLength": MAX_URL_CHARS}


@dataclass(frozen=True)
class UrlPattern(Kind):
    """Which URLs may be named: scheme and host, with a port perhaps."""

    schemes: tuple[str, ...]

    def read(self, value: Any) -> str:
        is_one = isinstance(value, str) and _PATTERN.fullmatch(value)
        if not is_one or value.partition(":")[0] not in self.schemes:
            schemes = ", ".join(self.schemes)
            raise ValueError(
                f'must be SCHEME://HOST or SCHEME://HOST:PORT, as "rtsp://*.example.org"; the '
                f"schemes are {schemes}"
            )
        try:
            _ = urlsplit(value).port
        except ValueError:
            raise ValueError("must have a port from 1 to 65535 if any") from None
        return str(value)

    def range(self) -> str:
        return f"`SCHEME://HOST`, with `*` in HOST; of {', '.join(self.schemes)}"

    def schema(self) -> Json:
        return {"type": "string", "pattern": f"^(?:{_PATTERN.pattern})$"}


def _named(schemes: Sequence[str]) -> str:
    *most, last = (f"{scheme}://" for scheme in schemes)
    return f"a URL of {', '.join(most)} or {last}" if most else f"a URL of {last}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
