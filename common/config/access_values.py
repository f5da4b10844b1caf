"""How a configuration file writes who is let in, signing keys, and names of hosts. Pure."""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from common.config.access import Rule, Way
from common.config.values import Json, Kind, whole
from common.host_names import can_be_looked_up

MIN_SECRET_CHARS = 16
MAX_SECRET_CHARS = 256
_WAY = "|".join(way.value for way in Way if way is not Way.OPEN)
MAX_URL_CHARS = 1024
_URL = re.compile(r"https?://[^\s/?#@\\]+(?:[/?][^\s#\\]*)?")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63}){0,9}")
_RULE = re.compile(rf"open|(?:{_WAY})(?:\+(?:{_WAY}))*")


class AccessRule(Kind):
    """Ways that must all be fulfilled: `"signed"`, `"key+signed"`; or `"open"`."""

    def read(self, value: Any) -> Rule:
        ways = value.split("+") if isinstance(value, str) and _RULE.fullmatch(value) else []
        if not ways or len(set(ways)) != len(ways):
            raise ValueError(f"must be {self.range()}, each way once")
        return tuple(way for way in Way if way.value in ways)

    def write(self, setting: Rule) -> str:
        return "+".join(way.value for way in setting)

    def range(self) -> str:
        *ways, last = (f'"{way.value}"' for way in Way if way is not Way.OPEN)
        return f'"open", or {", ".join(ways)} or {last}, or several joined by +'

    def schema(self) -> Json:
        return {"type": "string", "pattern": f"^(?:{_RULE.pattern})$"}


class HookUrl(Kind):
    """The address of a hook."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _URL.fullmatch(value) or len(value) > MAX_URL_CHARS:
            raise ValueError(
                "must be http://HOST or https://HOST, with a port, a path and a query if need be, "
                "and without user and password"
            )
        try:
            parts = urlsplit(value)
            is_good = can_be_looked_up(parts.hostname or "") and parts.port != 0
        except ValueError:
            is_good = False
        if not is_good:
            raise ValueError("must have a host, and a port from 1 to 65535 if any")
        return value

    def range(self) -> str:
        return "`http://…` or `https://…`"

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_URL), "maxLength": MAX_URL_CHARS}


class SigningSecret(Kind):
    """The secret of a signing key or of a hook. The problem never shows it."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not MIN_SECRET_CHARS <= len(value) <= MAX_SECRET_CHARS:
            raise ValueError(
                f"must be a secret of {MIN_SECRET_CHARS} to {MAX_SECRET_CHARS} characters, "
                "such as `openssl rand -hex 32` prints"
            )
        return value

    def range(self) -> str:
        return f"{MIN_SECRET_CHARS} to {MAX_SECRET_CHARS} characters"

    def schema(self) -> Json:
        return {"type": "string", "minLength": MIN_SECRET_CHARS, "maxLength": MAX_SECRET_CHARS}


class HostName(Kind):
    """A name of a host as clients ask for it, or `*.` and a domain."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not _HOST.fullmatch(value):
            raise ValueError('must be a name in lower case: "live.example.org", "*.example.org"')
        return value

    def range(self) -> str:
        return '"live.example.org" or "*.example.org", in lower case'

    def schema(self) -> Json:
        return {"type": "string", "pattern": whole(_HOST)}


class IpAddress(Kind):
    """An address of IPv4 or IPv6."""

    def read(self, value: Any) -> str:
        try:
            return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
        except ValueError:
            raise ValueError('must be an address, such as "203.0.113.7"') from None

    def schema(self) -> Json:
        return {"type": "string"}


class Passphrase(Kind):
    """What SRT encrypts with. A problem never shows it."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or not 10 <= len(value.encode()) <= 79:
            raise ValueError("must be a text of 10 to 79 characters")
        return value

    def range(self) -> str:
        return "10 to 79 characters"

    def schema(self) -> Json:
        return {"type": "string", "minLength": 10, "maxLength": 79}
