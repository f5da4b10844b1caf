"""Who may ask the API for what. Pure.

What changes anything needs a token. What only reads needs none where nobody but this host's users
can ask: at an address of the loopback, by one of its names, not for another site's page, and not by
way of a proxy. Who gives a token is judged by it alone, so a wrong one is refused everywhere.

Without a token stream keys stay hidden where they are credentials: other users of this host may
read, and are not let in to publish by that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from common.access.exposure import is_local
from common.access.keys import OWN, entry_of

MAX_TOKEN_CHARS: Final = 256
SCHEME: Final = "bearer"


class Access(Enum):
    """What an operation asks for."""

    OPEN = "open"  # nothing of the farm is in it but whether it is well
    READ = "read"
    CHANGE = "change"


@dataclass(frozen=True, slots=True)
class Asker:
    """What is known of who sent a request."""

    address: str  # its host
    server: str  # the host of the address that it came to
    host: str = ""  # the request's Host, without the port
    authorization: str | None = None
    is_forwarded: bool = False  # by a proxy, for somebody else
    is_cross_site: bool = False  # a browser sent it for another site's page


@dataclass(frozen=True, slots=True)
class Granted:
    """It is answered."""

    has_token: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """It is not, with the status and the words of the answer."""

    status: int
    code: str
    words: str


_NEEDED = "give a token of api.tokens: Authorization: Bearer TOKEN"
_NONE_CONFIGURED = Denied(
    403,
    "no-token-configured",
    "nothing can be changed by HTTP without api.tokens in the configuration; the command line can",
)


def judge(access: Access, asker: Asker, tokens: Sequence[str]) -> Granted | Denied:
    """Say whether a request is answered; `tokens` are the digests of those that are good."""
    if access is Access.OPEN:
        return Granted()
    if asker.authorization is not None:
        token = _token(asker.authorization)
        if token and tokens and entry_of({OWN: tokens}, token) is not None:
            return Granted(has_token=True)
        return Denied(401, "wrong-token", f"this is no good token; {_NEEDED}")
    if access is Access.CHANGE:
        return Denied(401, "token-needed", _NEEDED) if tokens else _NONE_CONFIGURED
    why = _why_not_local(asker)
    return Denied(401, "token-needed", f"{why}: {_NEEDED}") if why else Granted()


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _token(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == SCHEME and len(token) <= MAX_TOKEN_CHARS else ""


def _why_not_local(asker: Asker) -> str:
    """What tells that somebody else than a user of this host may be asking; "": nothing."""
    if not (is_local(asker.server) and is_local(asker.address)):
        return "this is no address of the loopback"
    if asker.is_forwarded:
        return "a proxy asks for somebody else"
    if not is_local(asker.host):
        return f"{asker.host[:64]!r} is no name of the loopback"
    return "another site's page asks" if asker.is_cross_site else ""
