"""Who was refused lately, and how often: a bounded table for status. Pure.

Ingests and egresses count refusals here, and hand over what came since the last heartbeat: however
many come in a second, that is one message. The supervisor adds it to a table of the same kind.
What a publisher calls its stream may be a credential, so an entry has the label that the log has.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from common.access.peer_address import host_of, subscriber
from common.access.refusal import Cause, RefusalReason

MAX_REPORTED = 100  # a child's entries between two heartbeats
MAX_KEPT = 500  # the supervisor's
_CAUSES = frozenset(cause.value for cause in Cause)
OTHERS = "others"  # the stream of entries that were put together for want of room


class Attempted(StrEnum):
    """What was refused."""

    CONNECT = "connect"
    PUBLISH = "publish"
    PLAY = "play"


@dataclass(frozen=True, slots=True)
class RefusalStatus:
    """Refusals of one kind, of one stream; where no stream was named, of one address."""

    what: Attempted
    reason: RefusalReason
    words: str  # of the last one, for the operator
    address: str  # likewise
    at_unix: float  # likewise
    stream: str = ""  # its label, as in the log: live/3fa2c1d0
    name: str = ""  # APP/KEY, where it is no credential: the app has publish keys
    count: int = 1
    cause: str = ""  # of `common.access.refusal.Cause`; a later version may have others


class RefusalTable:
    """Refusals, put together by stream, reason and cause; the oldest make way for new ones."""

    def __init__(self, max_entries: int = MAX_REPORTED) -> None:
        self.by_reason: Counter[str] = Counter()  # all there were
        # The same by what was refused, reason and cause, which are few.
        self.by_cause: Counter[tuple[str, str, str]] = Counter()
        self._max_entries = max_entries
        self._entries: dict[tuple[str, ...], RefusalStatus] = {}  # the newest last

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, refused: RefusalStatus) -> None:
        """Count one more, or several that were put together elsewhere."""
        self.by_reason[refused.reason.value] += refused.count
        if refused.cause not in _CAUSES:  # the number of causes is bounded
            refused = replace(refused, cause="")
        self.by_cause[refused.what.value, refused.reason.value, refused.cause] += refused.count
        self._put(refused)

    def merge(self, refused: Iterable[RefusalStatus]) -> None:
        for entry in refused:
            self.add(entry)

    def take(self) -> tuple[RefusalStatus, ...]:
        """All there are, the oldest first, to be counted elsewhere; the table is then empty."""
        found = tuple(self._entries.values())
        self._entries.clear()
        return found

    def entries(self) -> list[RefusalStatus]:
        """All there are, the oldest first."""
        return sorted(self._entries.values(), key=lambda entry: entry.at_unix)

    def _put(self, refused: RefusalStatus) -> None:
        key = _key(refused)
        is_new = key not in self._entries and refused.stream != OTHERS
        if is_new and len(self._entries) >= self._max_entries:
            self._merge_oldest()
        known = self._entries.pop(key, None)
        if known is not None:
            newer = max(known, refused, key=lambda entry: entry.at_unix)
            refused = replace(newer, count=known.count + refused.count)
        self._entries[key] = refused

    def _merge_oldest(self) -> None:
        oldest = next((key for key in self._entries if OTHERS not in key), None)
        if oldest is not None:
            entry = self._entries.pop(oldest)
            self._put(replace(entry, stream=OTHERS, name="", address=""))


def _key(refused: RefusalStatus) -> tuple[str, ...]:
    who = refused.stream or subscriber(host_of(refused.address))
    return refused.what.value, refused.reason.value, refused.cause, who
