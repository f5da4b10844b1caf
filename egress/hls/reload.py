"""Requests that wait for what a playlist, or a part, does not have yet. Pure.

Section numbers are of draft-pantos-hls-rfc8216bis. A request names a segment and perhaps a part of
it; a part beyond the last of a segment is the first one of the next (6.2.5.2).
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, Generic, NamedTuple, TypeVar

from egress.hls.window import Window

T = TypeVar("T")
MAX_AHEAD: Final = 2  # segments (6.2.5.2)
_LIMIT_S: Final = 3.0  # of parts ahead: the Advance Part Limit (6.2.5.2)
WAIT_TARGETS: Final = 3  # target durations that a request may wait for (6.2.5.2)
MAX_WAITING: Final = 20_000  # of one track
_MAX_DIGITS: Final = 15


class Verdict(Enum):
    """What becomes of a request."""

    READY = "ready"
    WAIT = "wait"
    BAD = "bad"  # it asks for what will not come for long, or what makes no sense
    OVER = "over"  # nothing follows, and it is not there


class Wanted(NamedTuple):
    """What a request waits for: a whole segment, or the part of this index."""

    msn: int
    part: int | None = None


def parse_wanted(msn: str | None, part: str | None) -> Wanted | str | None:
    """Read `_HLS_msn` and `_HLS_part`; None: it wants what there is; a text: why it is refused."""
    if msn is None:
        return "_HLS_part needs _HLS_msn" if part is not None else None
    number = number_of(msn)
    if number is None:
        return "_HLS_msn is no number"
    if part is None:
        return Wanted(number)
    index = number_of(part)
    return Wanted(number, index) if index is not None else "_HLS_part is no number"


def judge(window: Window, wanted: Wanted) -> Verdict:
    """Say what becomes of a request for a playlist that has at least this."""
    msn, part = wanted.msn, wanted.part
    open_msn, next_index = window.next_part
    last_msn = open_msn if next_index else open_msn - 1
    if msn <= window.last_complete and not (part is not None and _is_beyond(window, msn, part)):
        return Verdict.READY
    if part is not None and msn == open_msn and part < next_index:
        return Verdict.READY
    if window.has_ended:
        return Verdict.READY  # there will be no other one
    if msn > last_msn + MAX_AHEAD:
        return Verdict.BAD
    if part is not None and msn <= window.last_complete:
        # Beyond the last part of a whole segment: part 0 of the next one.
        return judge(window, Wanted(msn + 1, 0))
    limit = _LIMIT_S / window.target if window.target < 1 else _LIMIT_S
    if part is not None and part > (next_index if msn == open_msn else 0) - 1 + limit:
        return Verdict.BAD
    return Verdict.WAIT


def judge_part(window: Window, msn: int, index: int) -> Verdict:
    """Say what becomes of a request for a part: the one that is hinted at is waited for."""
    segment = window.segment(msn)
    if segment is not None and index < len(segment.parts):
        return Verdict.OVER if segment.parts[index].is_gap else Verdict.READY
    if window.has_ended or (msn, index) != window.next_part:
        return Verdict.OVER
    return Verdict.WAIT


class _Key(NamedTuple):
    """What some requests wait for alike."""

    wanted: Wanted
    is_for_part: bool


class BlockedRequests(Generic[T]):
    """Those of one track, by what they wait for, each with its last moment."""

    def __init__(self) -> None:
        self._waiting: dict[_Key, list[tuple[float, T]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(
        self, window: Window, wanted: Wanted, request: T, now: float, *, is_for_part: bool = False
    ) -> bool:
        """Let a request wait; False: too many do."""
        if self._count >= MAX_WAITING:
            return False
        until_s = now + WAIT_TARGETS * window.target_duration
        self._waiting.setdefault(_Key(wanted, is_for_part), []).append((until_s, request))
        self._count += 1
        return True

    def remove(self, request: T) -> None:
        """Its client has gone."""
        self._keep(lambda _, one: one is not request)

    def ready(self, window: Window) -> list[T]:
        """Those that can be answered since the window has changed, by whatever answer."""
        over = [key for key in self._waiting if _verdict(window, key) is not Verdict.WAIT]
        found = [one for key in over for _, one in self._waiting.pop(key)]
        self._count -= len(found)
        return found

    def expired(self, now: float) -> list[T]:
        """Those that have waited for long enough."""
        return self._keep(lambda until_s, _: until_s > now)

    def take_all(self) -> list[T]:
        """All of them: it is over."""
        return self._keep(lambda *_: False)

    def _keep(self, stays: Callable[[float, T], bool]) -> list[T]:
        """Drop all others, and return them."""
        gone: list[T] = []
        for key, group in tuple(self._waiting.items()):
            left = [one for one in group if stays(*one)]
            if len(left) < len(group):
                gone += [request for until_s, request in group if not stays(until_s, request)]
                self._waiting[key] = left
            if not left:
                del self._waiting[key]
        self._count -= len(gone)
        return gone


def _verdict(window: Window, key: _Key) -> Verdict:
    wanted = key.wanted
    if key.is_for_part:
        return judge_part(window, wanted.msn, wanted.part or 0)
    return judge(window, wanted)


def _is_beyond(window: Window, msn: int, part: int) -> bool:
    """Whether a whole segment has no part of this index; one that is gone has any."""
    segment = window.segment(msn)
    return segment is not None and not segment.is_gap and part >= len(segment.parts)


def number_of(text: str) -> int | None:
    """The number of a segment or a part; None: the text is none, or one that is too large."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
