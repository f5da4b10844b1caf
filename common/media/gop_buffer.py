"""The entries of one rendition since its last keyframe, bounded. Pure, generic over its entries.

Bounded in time, bytes and entries: what a GOP without end costs is the buffer, never the memory.
Time is that of each kind of media by itself, since sound may be ahead of pictures; entries without
a kind (data messages, headers) may have any time.

One rule for a jump of time: an entry that is `set_anew` makes the GOP no longer, whatever its time.
Its kind is measured from it on. The caller knows which those are.
"""

from collections.abc import Callable, Hashable, Sequence
from enum import Enum, auto
from typing import Generic, TypeVar

MAX_GOP_MS = 21_500  # more than ingest's and the workers' GOPs
MAX_GOP_BYTES = 16 * 1024 * 1024
MAX_GOP_ENTRIES = 4_000  # 20 s of 120 fps with audio and to spare
LASTING = 0.8  # of each limit: what holds no more is still there when an order of now arrives

T = TypeVar("T")


class Kept(Enum):
    """What became of an entry."""

    KEPT = auto()
    OMITTED = auto()  # there is no keyframe to start from yet
    OVERFLOWED = auto()  # the GOP outgrew a limit: it is gone, or shorter


class GopBuffer(Generic[T]):
    """Entries in order, from a keyframe on.

    When the GOP outgrows a limit it is cut to its latest keyframe, and emptied where that does not
    help: then the buffer waits for the next keyframe.
    """

    __slots__ = (
        "_bytes",
        "_bytes_before_key",
        "_entries",
        "_from_ms",
        "_from_ms_at_key",
        "_latest_key",
        "_max_bytes",
        "_max_entries",
        "_max_ms",
        "_on_cut",
        "_span_ms",
    )

    def __init__(
        self,
        *,
        max_ms: int = MAX_GOP_MS,
        max_bytes: int = MAX_GOP_BYTES,
        max_entries: int = MAX_GOP_ENTRIES,
        on_cut: Callable[[Sequence[T]], None] | None = None,
    ) -> None:
        """`on_cut` is given the entries that a cut to the latest keyframe removes."""
        self._max_ms = max_ms
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._on_cut = on_cut
        self._entries: list[T] = []
        self._bytes = 0
        self._from_ms: dict[Hashable, int] = {}  # by kind, where it is measured from
        self._span_ms = 0  # of the kind that came last
        self._latest_key = 0  # index of the latest keyframe; where it is not the first:
        self._bytes_before_key = 0  # what a cut removes
        self._from_ms_at_key: dict[Hashable, int] = {}  # as `_from_ms`, after a cut

    @property
    def entries(self) -> Sequence[T]:
        """Those since the keyframe, that included; never changed once it begins anew."""
        return self._entries

    @property
    def size_bytes(self) -> int:
        """Bytes of all entries."""
        return self._bytes

    @property
    def is_lasting(self) -> bool:
        """Whether there is a keyframe to start from, and still will be in a second."""
        return bool(self._entries) and self._fits(LASTING)

    def add(
        self,
        entry: T,
        size: int,
        kind: Hashable = None,
        time_ms: int = 0,
        *,
        is_key: bool = False,
        begins: bool = False,
        set_anew: bool = False,
    ) -> Kept:
        """Keep the next entry, of `size` bytes.

        A GOP `begins` with it; or it `is_key`: a GOP may begin with it, where there is none or it
        grew too long. Without a `kind` it has no time.
        """
        if begins:
            self.clear()
        elif is_key:
            self._latest_key = len(self._entries)
            self._bytes_before_key = self._bytes
            self._from_ms_at_key = {}
        elif not self._entries:
            return Kept.OMITTED
        self._entries.append(entry)
        self._bytes += size
        if kind is not None:
            self._measure(kind, time_ms, set_anew)
        if (
            self._span_ms <= self._max_ms
            and self._bytes <= self._max_bytes
            and len(self._entries) <= self._max_entries
        ):
            return Kept.KEPT
        self._cut_to_latest_key(kind, time_ms)
        if not self._fits():
            self.clear()
        return Kept.OVERFLOWED

    def clear(self) -> None:
        """Forget everything and wait for a keyframe."""
        self._entries = []
        self._bytes = 0
        self._from_ms = {}
        self._span_ms = 0
        self._latest_key = 0

    def _fits(self, share: float = 1.0) -> bool:
        return (
            self._bytes <= self._max_bytes * share
            and len(self._entries) <= self._max_entries * share
            and self._span_ms <= self._max_ms * share
        )

    def _measure(self, kind: Hashable, time_ms: int, set_anew: bool) -> None:
        if set_anew:
            self._from_ms[kind] = time_ms
        self._span_ms = time_ms - self._from_ms.setdefault(kind, time_ms)
        if self._latest_key and (set_anew or kind not in self._from_ms_at_key):
            self._from_ms_at_key[kind] = time_ms

    def _cut_to_latest_key(self, kind: Hashable, time_ms: int) -> None:
        """Begin at the latest keyframe; the last entry is of this kind and time."""
        at = self._latest_key
        if not at:
            return
        if self._on_cut is not None:
            self._on_cut(self._entries[:at])
        self._entries = self._entries[at:]
        self._bytes -= self._bytes_before_key
        self._latest_key = 0
        self._from_ms = self._from_ms_at_key
        if kind is not None:
            self._span_ms = time_ms - self._from_ms[kind]
        else:
            self._span_ms = 0
