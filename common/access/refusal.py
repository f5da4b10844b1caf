"""Why a publisher or a player is refused, in neutral words. Pure.

Each protocol says it in its own way at its edge: RTMP by the codes of
`common/rtmp/status_codes.py`.
"""

from dataclasses import dataclass
from enum import StrEnum


class RefusalReason(StrEnum):
    """What kind of refusal it is, for programs."""

    NOT_FOUND = "not-found"  # no such name, or nothing is there by it
    NAME_IN_USE = "name-in-use"  # another publisher has it
    DENIED = "denied"  # by rule: keys, apps, limits per address
    FULL = "full"  # no room; a retry may succeed
    UNAVAILABLE = "unavailable"  # nobody can answer at the moment; a retry may succeed
    UNSUPPORTED = "unsupported"  # the codec, or how it is used
    IDLE = "idle"  # nothing came for too long
    FAILED = "failed"  # it cannot be served, or not any more
    KICKED = "kicked"  # an operator ended it
    BANNED = "banned"  # an operator keeps the address or the stream out


class Cause(StrEnum):
    """What exactly it is for, where a reason has several."""

    NONE = ""  # the reason says it all
    NO_KEY = "no-key"
    WRONG_KEY = "wrong-key"
    NOT_SIGNED = "not-signed"
    FORGED = "forged"  # a URL's signature is wrong, or no signature
    EXPIRED = "expired"  # a signed URL
    OTHER_SCOPE = "other-scope"  # a URL signed for another direction, network or rendition
    USED = "used"  # a signed URL that was for one use
    HOOK_DENIED = "hook-denied"  # the app's hook says no
    HOOK_FAILED = "hook-failed"  # it has no answer
    NO_APP = "no-app"
    NO_RENDITION = "no-rendition"
    BAD_ADDRESS = "bad-address"  # it names no stream, or has characters that none has
    LIMIT = "limit"  # on connections, handshakes, publishers or players, of one address or of all
    FLOOD = "flood"  # the address sends more than is read of it
    NO_HEADER = "no-header"  # of the PROXY protocol, from one of whom it is wanted
    SOURCE_LIMIT = "source-limit"  # what a publisher sends is beyond the app's limits


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody was or is refused."""

    reason: RefusalReason
    words: str  # for people; they hold no key
    is_lasting: bool = False  # another attempt at once would end in the same way
    detail: str = ""  # for the operator's log and status; no peer is told
    is_wrong_key: bool = False  # the peer may be guessing: see `common/access/wrong_keys.py`
    cause: Cause = Cause.NONE

    @property
    def for_log(self) -> str:
        """The words, with what only the operator is told."""
        return f"{self.words} ({self.detail})" if self.detail else self.words
