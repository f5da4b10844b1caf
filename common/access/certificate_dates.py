"""From when to when a certificate is valid, from its PEM file. Pure.

Python's `ssl` tells a peer's certificate, not one's own. Only as much of X.509's DER is read as
stands before the dates (RFC 5280, section 4.1); every length is checked first.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\s(.{1,100000}?)-----END CERTIFICATE-----", re.DOTALL
)
_SEQUENCE, _VERSION, _INTEGER = 0x30, 0xA0, 0x02
_FORMATS: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}  # UTCTime, GeneralizedTime
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Validity:
    """Unix times."""

    since: float
    until: float

    def complaint(self, now: float, soon_days: int = 14) -> str:
        """What is wrong with it now, or will be soon, in words; "": nothing."""
        if now < self.since:
            return f"is not valid before {_day(self.since)}"
        if now >= self.until:
            return f"ended on {_day(self.until)}"
        days = int((self.until - now) // _DAY_S)
        left = f"{days} days" if days != 1 else "1 day"
        return f"ends on {_day(self.until)}, in {left}" if days < soon_days else ""


def validity(pem: bytes) -> Validity:
    """Read the dates of the first certificate in a PEM file.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("no certificate in PEM form")
    try:
        der = base64.b64decode(b"".join(found[1].split()), validate=True)
    except binascii.Error:
        raise ValueError("no certificate in PEM form") from None
    certificate, _ = _value(der, 0, _SEQUENCE)
    signed, _ = _value(certificate, 0, _SEQUENCE)
    at = 0
    if signed[:1] == bytes((_VERSION,)):
        _, at = _value(signed, at, _VERSION)
    for tag in (_INTEGER, _SEQUENCE, _SEQUENCE):  # serial number, signature algorithm, issuer
        _, at = _value(signed, at, tag)
    dates, _ = _value(signed, at, _SEQUENCE)
    since, at = _time(dates, 0)
    until, _ = _time(dates, at)
    return Validity(since, until)


def _value(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    """The content of what begins here, and where the next one does."""
    if len(data) < at + 2 or data[at] != tag:
        raise ValueError("no X.509 certificate")
    size, start = data[at + 1], at + 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("no X.509 certificate")
        size, start = int.from_bytes(data[start : start + count]), start + count
    if start + size > len(data):
        raise ValueError("the certificate is cut off")
    return data[start : start + size], start + size


def _time(data: bytes, at: int) -> tuple[float, int]:
    tag = data[at] if at < len(data) else 0
    if tag not in _FORMATS:
        raise ValueError("no X.509 certificate")
    content, end = _value(data, at, tag)
    text = content.decode("ascii", "replace")
    found = datetime.strptime(text, _FORMATS[tag]).replace(tzinfo=UTC)
    if tag == 0x17 and found.year >= 2050:  # RFC 5280, section 4.1.2.5.1: two digits, 1950 on
        found = found.replace(year=found.year - 100)
    return found.timestamp(), end


def _day(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d")
