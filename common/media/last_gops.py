"""The last whole GOPs of a rendition, in front of the one that is growing. Pure, generic.

Who cuts segments for players begins with these: GStreamer 1.22 waits for ever at a playlist of one
segment, shaka-player 5.2 fails below three, FFmpeg begins at the third from the end.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

GOPS: Final = 3
MAX_BYTES: Final = 12 * 1024 * 1024  # of all of them: 6 s of 16 Mbit/s

T = TypeVar("T")


class LastGops(Generic[T]):
    """The newest of those given, as many as the bounds allow, without one missing in between."""

    def __init__(self, *, gops: int = GOPS, max_bytes: int = MAX_BYTES) -> None:
        """`max_bytes`: of all that are kept."""
        self._gops, self._max_bytes = gops, max_bytes
        self._kept: deque[tuple[T, int]] = deque()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[T]:
        return (gop for gop, _ in self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, gop: T, size: int) -> None:
        """Keep a GOP of `size` bytes that follows those before."""
        self._kept.append((gop, size))
        self.size_bytes += size
        while len(self._kept) > self._gops or self.size_bytes > self._max_bytes:
            self.size_bytes -= self._kept.popleft()[1]

    def clear(self) -> None:
        """Forget them: what follows does not go on from here."""
        self._kept.clear()
        self.size_bytes = 0
