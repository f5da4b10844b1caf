"""Signed URLs: what a token says, how it is made, and how it is checked. Pure.

A token stands in a URL's query, as `?token=KEYID.EXPIRY[.SCOPE]….SIGNATURE`:

    EXPIRY     Unix time in seconds
    SCOPE      rNAME,NAME    these renditions alone
               nHEX-LENGTH   from this network alone: its address in hex, its prefix length
               oTEXT         once: another URL has another TEXT
    SIGNATURE  HMAC-SHA256 by the key KEYID, in base64url without padding, of these lines:
               `tfarm-url-1`, `publish` or `play`, `APP/KEY`, all of the token before the signature

It has no `&`, `/` or `:`, at which shells and RTMP clients split what they are given. The rendition
`source` is the stream as it was published.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network

from common.access.peer_address import parse

MAX_TOKEN_CHARS = 2048
MAX_EXPIRY = 10**11  # seconds; the year 5138
VERSION = "tfarm-url-1"

_NAME = r"[A-Za-z0-9_-]{1,64}"
_TOKEN = re.compile(
    rf"(?P<payload>(?P<key_id>{_NAME})\.(?P<expiry>[0-9]{{1,11}})"
    rf"(?:\.r(?P<renditions>{_NAME}(?:,{_NAME}){{0,31}}))?"
    r"(?:\.n(?P<network>[0-9a-f]{8}|[0-9a-f]{32})-(?P<prefix>[0-9]{1,3}))?"
    r"(?:\.o(?P<once>[A-Za-z0-9_-]{8,64}))?"
    r")\.(?P<signature>[A-Za-z0-9_-]{43})=?"
)

Network = IPv4Network | IPv6Network


class Direction(StrEnum):
    """What a URL is for."""

    PUBLISH = "publish"
    PLAY = "play"

    @property
    def other(self) -> "Direction":
        return Direction.PLAY if self is Direction.PUBLISH else Direction.PUBLISH


class TokenFault(StrEnum):
    """What is wrong with a token."""

    UNREADABLE = "unreadable"  # cut off, or none
    UNKNOWN_KEY = "unknown-key"
    FORGED = "forged"  # made without the key, for another stream, or changed since
    OTHER_DIRECTION = "other-direction"
    EXPIRED = "expired"
    OTHER_NETWORK = "other-network"
    OTHER_RENDITION = "other-rendition"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a URL is good for, beside its stream and its direction."""

    key_id: str
    expiry_unix: int
    renditions: tuple[str, ...] = ()  # without any: all
    network: Network | None = None  # None: from anywhere
    once: str = ""  # "": as often as one likes

    @property
    def payload(self) -> str:
        """The token without its signature."""
        parts = [self.key_id, str(self.expiry_unix)]
        if self.renditions:
            parts.append(f"r{','.join(self.renditions)}")
        if self.network is not None:
            parts.append(f"n{self.network.network_address.packed.hex()}-{self.network.prefixlen}")
        if self.once:
            parts.append(f"o{self.once}")
        return ".".join(parts)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for with a token."""

    direction: Direction
    app: str
    key: str
    rendition: str  # "" for publishers
    host: str  # the peer's address


def sign(secret: str, direction: Direction, app: str, key: str, grant: Grant) -> str:
    """The token of a URL.

    Raises:
        ValueError: a token cannot say that.
    """
    token = f"{grant.payload}.{_signature(secret, direction, f'{app}/{key}', grant.payload)}"
    if read(token) != grant or len(token) > MAX_TOKEN_CHARS:
        raise ValueError("no token can say that: a name, the time or the list is out of range")
    return token


def read(token: str) -> Grant | None:
    """What a token says, whoever made it; None: it is none."""
    found = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_CHARS else None
    return _grant(found) if found is not None else None


def check(
    token: str, secrets: Mapping[str, str], request: Request, now_unix: float, skew_s: float
) -> Grant | TokenFault:
    """What a token grants for a request, or what is wrong with it.

    Nothing is said of a token that was not made by a key of `secrets`, but that.
    """
    found = _TOKEN.fullmatch(token) if len(token) <= MAX_TOKEN_CHARS else None
    grant = _grant(found) if found is not None else None
    if found is None or grant is None:
        return TokenFault.UNREADABLE
    secret = secrets.get(grant.key_id)
    if secret is None:
        return TokenFault.UNKNOWN_KEY
    stream, payload = f"{request.app}/{request.key}", found["payload"]
    given, direction = found["signature"], request.direction
    if not hmac.compare_digest(given, _signature(secret, direction, stream, payload)):
        other = _signature(secret, direction.other, stream, payload)
        is_other = hmac.compare_digest(given, other)
        return TokenFault.OTHER_DIRECTION if is_other else TokenFault.FORGED
    if now_unix > grant.expiry_unix + skew_s:
        return TokenFault.EXPIRED
    if grant.network is not None and not _is_in(request.host, grant.network):
        return TokenFault.OTHER_NETWORK
    if grant.renditions and request.rendition and request.rendition not in grant.renditions:
        return TokenFault.OTHER_RENDITION
    return grant


def _signature(secret: str, direction: Direction, stream: str, payload: str) -> str:
    text = f"{VERSION}\n{direction.value}\n{stream}\n{payload}"
    return _base64(hmac.digest(secret.encode(), text.encode(), "sha256"))


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _grant(found: "re.Match[str]") -> Grant | None:
    network: Network | None = None
    if found["network"] is not None:
        try:
            network = ip_network((bytes.fromhex(found["network"]), int(found["prefix"])))
        except ValueError:  # bits behind the prefix, or a prefix that is too long
            return None
    renditions = tuple(found["renditions"].split(",")) if found["renditions"] else ()
    return Grant(found["key_id"], int(found["expiry"]), renditions, network, found["once"] or "")


def _is_in(host: str, network: Network) -> bool:
    address = parse(host)
    return address is not None and address.version == network.version and address in network
