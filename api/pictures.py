"""The small pictures of streams that were asked for lately. Pure: the time is passed in."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

FRESH_S: Final = 4.0  # a picture of this age is given out again
OLD_S: Final = 60.0  # one of this age says nothing any more
MAX_BYTES: Final = 32 * 1024**2


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG, and when it came."""

    jpeg: bytes
    at_s: float


class Pictures:
    """By stream, bounded in bytes: the oldest make way."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._pictures: OrderedDict[str, Picture] = OrderedDict()
        self._bytes = 0

    def put(self, stream: str, jpeg: bytes, now: float) -> None:
        self._remove(stream)
        self._pictures[stream] = Picture(jpeg, now)
        self._bytes += len(jpeg)
        while self._pictures:
            oldest = next(iter(self._pictures))
            if self._bytes <= self._max_bytes and now - self._pictures[oldest].at_s < OLD_S:
                break
            self._remove(oldest)

    def get(self, stream: str, now: float, within_s: float = OLD_S) -> Picture | None:
        """One that is no older."""
        found = self._pictures.get(stream)
        return found if found is not None and now - found.at_s < within_s else None

    def __len__(self) -> int:
        return len(self._pictures)

    def _remove(self, stream: str) -> None:
        found = self._pictures.pop(stream, None)
        if found is not None:
            self._bytes -= len(found.jpeg)
