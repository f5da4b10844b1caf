"""When the log says that a stream has opened: once a generation, with its final renditions. Pure.

A stream opens with all its template's renditions, and again a moment later with those that fit its
source. So an opening waits until it has stood for `SETTLED_S`, or until the stream is closed.
"""

from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import StreamOpen

SETTLED_S = 1.0


class OpeningLines:
    """The openings of one egress that are to be logged."""

    def __init__(self) -> None:
        self._queued: dict[StreamId, tuple[StreamOpen, float]] = {}  # until when
        self._logged: dict[StreamId, tuple[Generation, tuple[str, ...]]] = {}

    def opened(self, message: StreamOpen, now: float) -> None:
        """A stream opens, or opens anew; `closed` must come in the end."""
        stream_id = message.stream_id
        self._queued.pop(stream_id, None)
        if self._logged.get(stream_id) != (message.generation, message.renditions):
            self._queued[stream_id] = message, now + SETTLED_S

    def closed(self, stream_id: StreamId) -> list[StreamOpen]:
        """The opening that is to be logged before the stream's end."""
        self._logged.pop(stream_id, None)
        message, _ = self._queued.pop(stream_id, (None, 0.0))
        return [message] if message is not None else []

    def due(self, now: float) -> list[StreamOpen]:
        """The openings that are to be logged now."""
        found = [message for message, until_s in self._queued.values() if now >= until_s]
        for message in found:
            del self._queued[message.stream_id]
            self._logged[message.stream_id] = message.generation, message.renditions
        return found
