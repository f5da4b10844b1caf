"""The values that a configuration file may hold, as people write them. Pure.

Each function takes what TOML gave and returns the value that settings hold; it raises ValueError
with a sentence that says what is wanted ("must be …"), to which `common/config/load.py` adds the
key's path. Durations and sizes are strings with a unit, so that no reader must guess it.
"""

import ipaddress
import re
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from typing import Any, TypeVar

from common.config.settings import Listen

E = TypeVar("E", bound=StrEnum)

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)")
_BITRATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmM]?)(?:bit/s|bps)?")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|KiB|MiB|GiB)")
_SOURCE = re.compile(r"(\d{1,5})x(\d{1,5})@(\d{1,3})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000}
_MULTIPLE = {"": 1, "k": 1000, "m": 1_000_000}
_SIZES = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
# What people write for the NTSC rates.
_NTSC = {
    Fraction("23.976"): Fraction(24000, 1001),
    Fraction("23.98"): Fraction(24000, 1001),
    Fraction("29.97"): Fraction(30000, 1001),
    Fraction("59.94"): Fraction(60000, 1001),
}


def milliseconds(low: int, high: int) -> Callable[[Any], int]:
    """A duration such as "10s" or "500ms", between two of them in ms."""

    def read(value: Any) -> int:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if value == 0 and not isinstance(value, bool):
            found = 0
        elif match:
            found = round(Fraction(match[1]) * _MS[match[2]])
        else:
            raise ValueError('must be a duration with its unit, such as "10s" or "500ms"')
        if not low <= found <= high:
            raise ValueError(f"must be between {_duration(low)} and {_duration(high)}")
        return found

    return read


def flush(value: Any) -> int:
    """For how long writes to players are merged, in ms: "frame" (not at all: 0), or up to 1 s."""
    if value == "frame":
        return 0
    try:
        return milliseconds(0, 1000)(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "frame"') from None


def seconds(low: float, high: float) -> Callable[[Any], float]:
    """A duration as seconds."""
    read_ms = milliseconds(round(low * 1000), round(high * 1000))
    return lambda value: read_ms(value) / 1000


def _duration(ms: int) -> str:
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"


def bitrate(low: int, high: int) -> Callable[[Any], int]:
    """Bits a second: "2500k", "2.5M", or a plain number."""

    def read(value: Any) -> int:
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        match = _BITRATE.fullmatch(text)
        if not match:
            raise ValueError('must be a bitrate, such as "2500k" or "2.5M"')
        found = round(Fraction(match[1]) * _MULTIPLE[match[2].lower()])
        if not low <= found <= high:
            raise ValueError(f"must be between {low // 1000}k and {high // 1000}k")
        return found

    return read


def byte_count(low: int, high: int) -> Callable[[Any], int]:
    """Bytes: "10MiB", "256KiB", or a plain number."""

    def read(value: Any) -> int:
        match = _BYTES.fullmatch(value) if isinstance(value, str) else None
        if match:
            found = round(Fraction(match[1]) * _SIZES[match[2]])
        elif type(value) is int:
            found = value
        else:
            raise ValueError('must be a size, such as "10MiB"')
        if not low <= found <= high:
            raise ValueError(f"must be between {low} and {high} bytes")
        return found

    return read


def integer(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int:
            raise ValueError("must be a whole number")
        if not low <= value <= high:
            raise ValueError(f"must be between {low} and {high}")
        return value

    return read


def even(low: int, high: int) -> Callable[[Any], int]:
    """A width or height: H.264 in 4:2:0 has even ones."""
    read_integer = integer(low, high)

    def read(value: Any) -> int:
        found = read_integer(value)
        if found % 2:
            raise ValueError(f"must be even, {found} is odd")
        return found

    return read


def number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if type(value) not in (int, float):
            raise ValueError("must be a number")
        if not low <= value <= high:
            raise ValueError(f"must be between {low:g} and {high:g}")
        return float(value)

    return read


def boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("must be true or false")
    return value


def frame_rate(value: Any) -> Fraction | None:
    """30, 29.97, "30000/1001", or "source": as the source."""
    if value == "source":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError('must be a frame rate, such as 30, "30000/1001" or "source"') from None
    rate = _NTSC.get(rate, rate)
    if not 1 <= rate <= 240:
        raise ValueError("must be between 1 and 240 frames a second")
    return rate


def source_limit(value: Any) -> tuple[int, int, int]:
    """The largest source that a publisher is expected to send: "1920x1080@60"."""
    match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError('must be a size and rate, such as "1920x1080@60"')
    width, height, fps = int(match[1]), int(match[2]), int(match[3])
    if not (16 <= width <= 8192 and 16 <= height <= 8192 and 1 <= fps <= 240):
        raise ValueError('must be between "16x16@1" and "8192x8192@240"')
    return width, height, fps


def name(value: Any) -> str:
    """An app or rendition: it stands in URLs."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError("must be 1 to 64 letters, digits, - or _")
    return value


def choice(options: type[E]) -> Callable[[Any], E]:
    def read(value: Any) -> E:
        try:
            return options(value)
        except ValueError:
            wanted = ", ".join(f'"{option.value}"' for option in options)
            raise ValueError(f"must be one of {wanted}") from None

    return read


def word(*options: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in options or not isinstance(value, str):
            raise ValueError("must be one of " + ", ".join(f'"{option}"' for option in options))
        return value

    return read


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text that is not empty")
    return value


def secret(value: Any) -> str:
    """A key in clear. The problem never shows it."""
    if not isinstance(value, str) or not 1 <= len(value) <= 256:
        raise ValueError("must be a key of 1 to 256 characters")
    return value


def sha256_hex(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError("must be a SHA-256 digest: 64 hex digits in lower case")
    return value


def network(value: Any) -> str:
    try:
        return str(ipaddress.ip_network(value if isinstance(value, str) else ""))
    except ValueError:
        raise ValueError('must be a network, such as "192.0.2.0/24"') from None


def listen_address(value: Any) -> Listen:
    """HOST:PORT; an IPv6 host in brackets. Port 0: any free one."""
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError('must have an IPv6 host in brackets: "[::1]:1935"')
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('must be HOST:PORT, such as "0.0.0.0:1935"')
    return Listen(host, int(port))
