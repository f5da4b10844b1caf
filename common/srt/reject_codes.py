"""Refusals as SRT says them: a number in the handshake, which callers show. Pure.

Numbers from 1000 on are SRT's access-control text's (`access_control.h`), which follow HTTP.
FFmpeg prints `PREDEFINED:404`.
"""

from typing import Final

from common.access.refusal import Cause, Refusal, RefusalReason

BAD_REQUEST: Final = 1400
UNAUTHORIZED: Final = 1401
OVERLOAD: Final = 1402
FORBIDDEN: Final = 1403
NOT_FOUND: Final = 1404
BAD_MODE: Final = 1405
CONFLICT: Final = 1409
NOT_SUPPORTED: Final = 1415
INTERNAL: Final = 1500
DOWN: Final = 1503

_BY_CAUSE: Final = {
    Cause.NO_KEY: UNAUTHORIZED,
    Cause.WRONG_KEY: UNAUTHORIZED,
    Cause.NOT_SIGNED: UNAUTHORIZED,
    Cause.FORGED: UNAUTHORIZED,
    Cause.EXPIRED: UNAUTHORIZED,
    Cause.OTHER_SCOPE: FORBIDDEN,
    Cause.USED: UNAUTHORIZED,
    Cause.NO_APP: NOT_FOUND,
    Cause.LIMIT: OVERLOAD,
    Cause.FLOOD: OVERLOAD,
    Cause.HOOK_FAILED: DOWN,
}
_BY_REASON: Final = {
    RefusalReason.NOT_FOUND: NOT_FOUND,
    RefusalReason.NAME_IN_USE: CONFLICT,
    RefusalReason.DENIED: FORBIDDEN,
    RefusalReason.FULL: OVERLOAD,
    RefusalReason.UNAVAILABLE: DOWN,
    RefusalReason.UNSUPPORTED: NOT_SUPPORTED,
    RefusalReason.IDLE: INTERNAL,
    RefusalReason.FAILED: INTERNAL,
    RefusalReason.KICKED: FORBIDDEN,
    RefusalReason.BANNED: FORBIDDEN,
}

_WORDS: Final = {
    BAD_REQUEST: "the listener does not understand the streamid",
    UNAUTHORIZED: "the listener says that the key is missing or wrong",
    OVERLOAD: "the listener has no room",
    FORBIDDEN: "the listener forbids it",
    NOT_FOUND: "the listener has nothing by this streamid",
    BAD_MODE: "the listener does not do what the streamid asks for",
    CONFLICT: "the listener has another publisher of this stream",
    NOT_SUPPORTED: "the listener does not take this kind of stream",
    INTERNAL: "the listener failed",
    DOWN: "the listener is not ready",
}
_OWN_CODES: Final = 1000  # from here on: the access-control text's, and applications'


def words_of(code: int, library_words: str) -> str:
    """Why a listener refused, in words with its number; the library's are of its own numbers."""
    if code < _OWN_CODES:
        return library_words
    number = code - _OWN_CODES
    return f"{_WORDS.get(code, 'the listener refused')} (PREDEFINED:{number})"


def reject_code(refusal: Refusal) -> int:
    """The number that a caller is refused with."""
    if refusal.cause is Cause.BAD_ADDRESS:
        is_mode = refusal.reason is RefusalReason.UNSUPPORTED
        return BAD_MODE if is_mode else BAD_REQUEST
    return _BY_CAUSE.get(refusal.cause, _BY_REASON[refusal.reason])
