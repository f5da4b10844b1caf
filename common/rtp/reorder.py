"""Packets of one stream in their order, and which of them are missing. Pure; the time is given.

What comes too late, or twice, is dropped. A packet that is missing is waited for, `wait_s` at most,
and named to be asked for again. Numbers that jump count as a new beginning when two in a row do
(RFC 3550 A.1): a single one is an accident.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from common.rtp.header import SEQUENCES, unwrap

WAIT_S: Final = 0.4  # for a packet that is missing
MAX_JUMP: Final = 1000  # numbers at a time
MAX_KEPT: Final = 2000  # packets that wait for one that is missing
FIRST_ASK_S: Final = 0.01  # it may be on its way
ASK_S: Final = 0.07  # between two requests for one packet
LOOK_S: Final = 0.01  # between two looks at all that is missing
MAX_ASKS: Final = 5  # for one packet
MAX_NAMED: Final = 200  # in one request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gap:
    """So many packets are given up; 0: it is not known how many."""

    packets: int


@dataclass(slots=True)
class _Missing:
    since_s: float
    due_s: float
    asks: int = 0


class Reorder(Generic[T]):
    """Of one stream of packets."""

    def __init__(self, wait_s: float = WAIT_S) -> None:
        self.lost = 0  # packets that were given up
        self.late = 0  # or came twice
        self.highest = -1  # whole, as it never wraps here; -1: none came
        self._wait_s = wait_s
        self._next = -1  # the number that goes on
        self._kept: dict[int, T] = {}
        self._missing: dict[int, _Missing] = {}
        self._look_s = -1.0  # when to look next what is to be asked for
        self._odd = -1  # the number that would follow one that jumped

    @property
    def is_waiting(self) -> bool:
        """Whether something is missing."""
        return bool(self._missing)

    def add(self, sequence: int, item: T, now: float, *, is_repeat: bool = False) -> list[T | Gap]:
        """Take a packet; returns what is in order now. One that `is_repeat` begins nothing anew."""
        if self._next < 0:
            whole = sequence
            self._next = self.highest = whole
        else:
            whole = unwrap(sequence, self.highest)
        if whole == self._next and not self._kept:  # nearly always
            self._missing.pop(whole, None)
            self._next += 1
            self.highest = max(self.highest, whole)
            return [item]
        if abs(whole - self.highest) > MAX_JUMP:
            return [] if is_repeat else self._jumped(sequence, item)
        if whole < self._next or whole in self._kept:
            self.late += 1
            return []
        for number in range(self.highest + 1, whole):
            self._missing[number] = _Missing(now, now + FIRST_ASK_S)
        self.highest = max(self.highest, whole)
        self._missing.pop(whole, None)
        self._kept[whole] = item
        found: list[T | Gap] = []
        if len(self._kept) > MAX_KEPT:
            found.append(self._skip())
        self._advance(found)
        return found

    def due(self, now: float) -> list[T | Gap]:
        """Give up what was waited for long enough; returns what is in order then."""
        found: list[T | Gap] = []
        while self._missing:
            first = self._missing.get(self._next)
            if first is None or now - first.since_s < self._wait_s:
                break
            found.append(self._skip())
            self._advance(found)
        return found

    def asks(self, now: float) -> list[int]:
        """Which packets to ask for again now, by their numbers."""
        named: list[int] = []
        if now < self._look_s:
            return named
        self._look_s = now + LOOK_S
        for number, missing in self._missing.items():
            if missing.due_s <= now and missing.asks < MAX_ASKS:
                missing.asks += 1
                missing.due_s = now + ASK_S
                named.append(number % SEQUENCES)
                if len(named) == MAX_NAMED:
                    break
        return named

    # ---- inside -------------------------------------------------------------------------------

    def _advance(self, found: list[T | Gap]) -> None:
        kept = self._kept
        while self._next in kept:
            found.append(kept.pop(self._next))
            self._next += 1

    def _skip(self) -> Gap:
        """Give up all up to the first packet that is kept."""
        end = min(self._kept) if self._kept else self.highest + 1
        for number in range(self._next, end):
            self._missing.pop(number, None)
        gap = Gap(end - self._next)
        self.lost += gap.packets
        self._next = end
        return gap

    def _jumped(self, sequence: int, item: T) -> list[T | Gap]:
        if sequence != self._odd:
            self._odd = (sequence + 1) % SEQUENCES
            self.late += 1
            return []
        found: list[T | Gap] = []
        while self._kept:
            found.append(self._skip())
            self._advance(found)
        self._missing.clear()
        self._next, self.highest, self._odd = sequence + 1, sequence, -1
        return [*found, Gap(0), item]
