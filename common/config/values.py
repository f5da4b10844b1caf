"""The kinds of values that a configuration file may hold, as people write them. Pure.

A kind reads what TOML gave and returns the value that settings hold; it raises ValueError with a
sentence that says what is wanted ("must be …"), to which `common/config/load.py` adds the key's
path. It writes such a value as the file would have it, and says its range in words and as JSON
Schema. Durations and sizes are strings with a unit, so that no reader must guess it.

The two methods with `pydantic` in their names make a kind an annotation of a model's field
(`common/config/model.py`); this module itself works without pydantic.
"""

import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Any

from common.config.settings import Listen

Json = dict[str, Any]

PLENTY = 1e9  # a limit that only keeps nonsense out
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)")
_BITRATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmM]?)(?:bit/s|bps)?")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|KiB|MiB|GiB)")
_RATE = re.compile(r"\d+(?:\.\d+|/\d+)?")
_SOURCE = re.compile(r"(\d{1,5})x(\d{1,5})@(\d{1,3})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ADDRESS = re.compile(r"(?:\[[^\]]+\]|[^:]+):[0-9]{1,5}")
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


class Kind(ABC):
    """What all kinds of values can do."""

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The setting that a file's value gives. Raises ValueError."""

    def write(self, setting: Any) -> Any:
        """The file's value that gives a setting."""
        return setting

    def range(self) -> str:
        """What is allowed, in words; "" where the key's own words say it."""
        return ""

    @abstractmethod
    def schema(self) -> Json:
        """What is allowed, as JSON Schema, as far as that can say it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], Any]) -> Json:
        return self.schema()


@dataclass(frozen=True)
class Milliseconds(Kind):
    """A duration such as "10s" or "500ms"; the setting and the limits are in ms."""

    low: int
    high: int

    def read(self, value: Any) -> int:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if value == 0 and not isinstance(value, bool):
            found = 0
        elif match:
            found = round(Fraction(match[1]) * _MS[match[2]])
        else:
            raise ValueError('must be a duration with its unit, such as "10s" or "500ms"')
        if not self.low <= found <= self.high:
            raise ValueError(f"must be between {_duration(self.low)} and {_duration(self.high)}")
        return found

    def write(self, setting: int) -> str:
        return _duration(setting)

    def range(self) -> str:
        return f"{_duration(self.low)} to {_duration(self.high)}"

    def schema(self) -> Json:
        text = {"type": "string", "pattern": whole(_DURATION)}
        return {"anyOf": [text, {"const": 0}]} if self.low == 0 else text


@dataclass(frozen=True)
class Seconds(Kind):
    """A duration whose setting and limits are in seconds."""

    low: float
    high: float

    @property
    def _ms(self) -> Milliseconds:
        return Milliseconds(round(self.low * 1000), round(self.high * 1000))

    def read(self, value: Any) -> float:
        return self._ms.read(value) / 1000

    def write(self, setting: float) -> str:
        return _duration(round(setting * 1000))

    def range(self) -> str:
        return self._ms.range()

    def schema(self) -> Json:
        return self._ms.schema()


class Flush(Kind):
    """For how long writes to players are merged, in ms: "frame" (not at all: 0), or up to 1 s."""

    _interval = Milliseconds(0, 1000)

    def read(self, value: Any) -> int:
        if value == "frame":
            return 0
        try:
            return self._interval.read(value)
        except ValueError as error:
            raise ValueError(f'{error}, or "frame"') from None

    def write(self, setting: int) -> str:
        return "frame" if setting == 0 else _duration(setting)

    def range(self) -> str:
        return f'"frame", or {self._interval.range()}'

    def schema(self) -> Json:
        return {"anyOf": [{"const": "frame"}, *self._interval.schema()["anyOf"]]}


@dataclass(frozen=True)
class Integer(Kind):
    """A whole number."""

    low: int
    high: int

    def read(self, value: Any) -> int:
        if type(value) is not int:
            raise ValueError("must be a whole number")
        if not self.low <= value <= self.high:
            raise ValueError(f"must be between {self.low} and {self.high}")
        return value

    def range(self) -> str:
        return f"{self.low} to {self.high}"

    def schema(self) -> Json:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Bitrate(Integer):
    """Bits a second: "2500k", "2.5M", or a plain number."""

    def read(self, value: Any) -> int:
        text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        match = _BITRATE.fullmatch(text)
        if not match:
            raise ValueError('must be a bitrate, such as "2500k" or "2.5M"')
        found = round(Fraction(match[1]) * _MULTIPLE[match[2].lower()])
        if not self.low <= found <= self.high:
            raise ValueError(f"must be between {self.write(self.low)} and {self.write(self.high)}")
        return found

    def write(self, setting: int) -> str:
        if setting and setting % 1_000_000 == 0:
            return f"{setting // 1_000_000}M"
        return f"{setting // 1000}k" if setting % 1000 == 0 else f"{setting}"

    def range(self) -> str:
        return f"{self.write(self.low)} to {self.write(self.high)} bit/s"

    def schema(self) -> Json:
        return {"anyOf": [{"type": "string", "pattern": whole(_BITRATE)}, super().schema()]}


@dataclass(frozen=True)
class ByteCount(Integer):
    """Bytes: "10MiB", "256KiB", or a plain number."""

    def read(self, value: Any) -> int:
        match = _BYTES.fullmatch(value) if isinstance(value, str) else None
        if match:
            found = round(Fraction(match[1]) * _SIZES[match[2]])
        elif type(value) is int:
            found = value
        else:
            raise ValueError('must be a size, such as "10MiB"')
        if not self.low <= found <= self.high:
            raise ValueError(f"must be between {self.write(self.low)} and {self.write(self.high)}")
        return found

    def write(self, setting: int) -> str:
        for unit in ("GiB", "MiB", "KiB"):
            if setting and setting % _SIZES[unit] == 0:
                return f"{setting // _SIZES[unit]}{unit}"
        return f"{setting}B"

    def range(self) -> str:
        return f"{self.write(self.low)} to {self.write(self.high)}"

    def schema(self) -> Json:
        return {"anyOf": [{"type": "string", "pattern": whole(_BYTES)}, super().schema()]}


@dataclass(frozen=True)
class Even(Integer):
    """A width or height: H.264 in 4:2:0 has even ones."""

    def read(self, value: Any) -> int:
        found = super().read(value)
        if found % 2:
            raise ValueError(f"must be even, {found} is odd")
        return found

    def range(self) -> str:
        return f"{super().range()}, even"

    def schema(self) -> Json:
        return super().schema() | {"multipleOf": 2}


@dataclass(frozen=True)
class Number(Kind):
    """A number, whole or not."""

    low: float
    high: float

    def read(self, value: Any) -> float:
        if type(value) not in (int, float):
            raise ValueError("must be a number")
        if not self.low <= value <= self.high:
            raise ValueError(f"must be between {self.low:g} and {self.high:g}")
        return float(value)

    def write(self, setting: float) -> float:
        return int(setting) if setting == int(setting) else setting

    def range(self) -> str:
        if self.high >= PLENTY:
            return f"at least {self.write(self.low)}"
        return f"{self.write(self.low)} to {self.write(self.high)}"

    def schema(self) -> Json:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


class Boolean(Kind):
    """True or false."""

    def read(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError("must be true or false")
        return value

    def range(self) -> str:
        return "true or false"

    def schema(self) -> Json:
        return {"type": "boolean"}


class FrameRate(Kind):
    """30, 29.97, "30000/1001", or "source": None, as the source."""

    def read(self, value: Any) -> Fraction | None:
        if value == "source":
            return None
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise ValueError
            rate = Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            problem = 'must be a frame rate, such as 30, "30000/1001" or "source"'
            raise ValueError(problem) from None
        rate = _NTSC.get(rate, rate)
        if not 1 <= rate <= 240:
            raise ValueError("must be between 1 and 240 frames a second")
        return rate

    def write(self, setting: Fraction | None) -> int | str:
        if setting is None:
            return "source"
        return int(setting) if setting.denominator == 1 else str(setting)

    def range(self) -> str:
        return '1 to 240, or "source"'

    def schema(self) -> Json:
        number = {"type": "number", "minimum": 1, "maximum": 240}
        text = {"type": "string", "pattern": whole(_RATE)}
        return {"anyOf": [number, text, {"const": "source"}]}


class SourceLimit(Kind):
    """The largest source that a publisher is expected to send: "1920x1080@60"."""

    def read(self, value: Any) -> tuple[int, int, int]:
        match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
        if not match:
            raise ValueError('must be a size and rate, such as "1920x1080@60"')
        width, height, fps = int(match[1]), int(match[2]), int(match[3])
        if not (16 <= width <= 8192 and 16 <= height <= 8192 and 1 <= fps <= 240):
            raise ValueError('must be between "16x16@1" and "8192x8192@240"')
        return width, height, fps

    def write(self, setting: tuple[int, int, int]) -> str:
        width, height, fps = setting
        return f"{width}x{height}@{fps}"

    def range(self) -> str:
        return "16x16@1 to 8192x8192@240"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_SOURCE)}


class Name(Kind):
    """An app or rendition: it stands in URLs."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not NAME.fullmatch(value):
            raise ValueError("must be 1 to 64 letters, digits, - or _")
        return value

    def range(self) -> str:
        return "1 to 64 letters, digits, - or _"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(NAME)}


@dataclass(frozen=True)
class Choice(Kind):
    """One of an enumeration's values."""

    options: type[StrEnum]

    def read(self, value: Any) -> StrEnum:
        try:
            return self.options(value)
        except ValueError:
            wanted = ", ".join(f'"{option.value}"' for option in self.options)
            raise ValueError(f"must be one of {wanted}") from None

    def write(self, setting: StrEnum) -> str:
        return setting.value

    def range(self) -> str:
        return ", ".join(f'"{option.value}"' for option in self.options)

    def schema(self) -> Json:
        return {"enum": [option.value for option in self.options]}


@dataclass(frozen=True)
class Word(Kind):
    """One of some words."""

    options: tuple[str, ...]

    def read(self, value: Any) -> str:
        if value not in self.options or not isinstance(value, str):
            raise ValueError(f"must be one of {self.range()}")
        return value

    def range(self) -> str:
        return ", ".join(f'"{option}"' for option in self.options)

    def schema(self) -> Json:
        return {"enum": list(self.options)}


class Text(Kind):
    """Any text but an empty one."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError("must be a text that is not empty")
        return value

    def schema(self) -> Json:
        return {"type": "string", "minLength": 1}


class Secret(Kind):
    """A key in clear. The problem never shows it."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= 256:
            raise ValueError("must be a key of 1 to 256 characters")
        return value

    def range(self) -> str:
        return "1 to 256 characters"

    def schema(self) -> Json:
        return {"type": "string", "minLength": 1, "maxLength": 256}


class Sha256(Kind):
    """A digest in hex."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise ValueError("must be a SHA-256 digest: 64 hex digits in lower case")
        return value

    def range(self) -> str:
        return "64 hex digits, in lower case"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_SHA256)}


class Network(Kind):
    """A network of IPv4 or IPv6."""

    def read(self, value: Any) -> str:
        try:
            return str(ipaddress.ip_network(value if isinstance(value, str) else ""))
        except ValueError:
            raise ValueError('must be a network, such as "192.0.2.0/24"') from None

    def schema(self) -> Json:
        return {"type": "string"}


class ListenAddress(Kind):
    """HOST:PORT; an IPv6 host in brackets. Port 0: any free one."""

    def read(self, value: Any) -> Listen:
        host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError('must have an IPv6 host in brackets: "[::1]:1935"')
        if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError('must be HOST:PORT, such as "0.0.0.0:1935"')
        return Listen(host, int(port))

    def write(self, setting: Listen) -> str:
        host = f"[{setting.host}]" if ":" in setting.host else setting.host
        return f"{host}:{setting.port}"

    def range(self) -> str:
        return "HOST:PORT, an IPv6 host in brackets"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_ADDRESS)}


def listen_address(value: Any) -> Listen:
    """An address to listen on, as the file and the command line have it. Raises ValueError."""
    return ListenAddress().read(value)


def _duration(ms: int) -> str:
    """Write a duration in the largest unit that it is whole in."""
    for unit in ("h", "m"):
        if ms and ms % _MS[unit] == 0:
            return f"{ms // _MS[unit]}{unit}"
    if ms % 1000 == 0:
        return f"{ms // 1000}s"
    return f"{ms / 1000:.1f}s" if ms > 1000 and ms % 100 == 0 else f"{ms}ms"


def whole(pattern: re.Pattern[str]) -> str:
    """A pattern for all of a text, as JSON Schema has it."""
    return f"^(?:{pattern.pattern})$"
