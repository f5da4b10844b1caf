"""Which Unix time a stream's time begins at, so that numbers of segments never come again. Pure.

A stream's epoch is the Unix time at which its stream time was 0, by the arrival of its first
media. It belongs to the stream, as its time does: it outlives publishers, and goes along to another
ingest. Segments are numbered by it (`common.media.clock`).

A publisher whose clock runs fast ends ahead of Unix time, and one may come back at once. So it is
remembered for a while where a stream has ended, and the next start of its name is numbered above.
"""

from typing import Final

from common.ipc.identity import StreamId

REMEMBERED_MS: Final = 60_000  # behind an end: then Unix time alone is above it, with any `gop`
MAX_REMEMBERED: Final = 10_000


class Epochs:
    """Those of one ingest."""

    def __init__(self) -> None:
        self._free_ms: dict[StreamId, int] = {}  # Unix time of the first number that is free

    def __len__(self) -> int:
        return len(self._free_ms)

    def find(self, stream_id: StreamId, gop_ms: int, first_ms: int, unix_ms: int) -> int:
        """The epoch of a stream whose first media, of this stream time, came at this Unix time."""
        free_ms = self._free_ms.pop(stream_id, 0)
        self._forget(unix_ms)
        least = -(-free_ms // gop_ms) - first_ms // gop_ms
        return max(unix_ms - first_ms, least * gop_ms)

    def ended(self, stream_id: StreamId, gop_ms: int, end_ms: int) -> None:
        """A stream has ended, with media up to this Unix time by its own epoch."""
        if len(self._free_ms) >= MAX_REMEMBERED:
            del self._free_ms[next(iter(self._free_ms))]
        self._free_ms[stream_id] = (end_ms // gop_ms + 1) * gop_ms

    def _forget(self, unix_ms: int) -> None:
        """Forget what is long past; what ended first is in front."""
        for stream_id, free_ms in tuple(self._free_ms.items()):
            if free_ms + REMEMBERED_MS > unix_ms:
                break
            del self._free_ms[stream_id]
