"""The log's lines of streams that open and close here. Pure.

A publisher may come and go in a loop; a farm that starts has many at once.
"""

import logging
from collections.abc import Sequence

from common.ipc.identity import StreamId
from common.ipc.media_messages import StreamClosed, StreamOpen
from common.process.log import RateLimit, more, stream_label
from egress.streams.opening_lines import OpeningLines

log = logging.getLogger("tfarm.egress.run")


class StreamLines:
    """Those of one process."""

    def __init__(self) -> None:
        self._limit = RateLimit(burst=200, interval_s=0.2)
        self._openings = OpeningLines()

    def opened(self, message: StreamOpen, now: float) -> None:
        """A stream is here, or is placed anew."""
        self._openings.opened(message, now)

    def check(self, now: float) -> None:
        """Write what is due by now."""
        self._write(self._openings.due(now), now)

    def ended(self, stream_id: StreamId, now: float) -> None:
        """A stream is here no more; what is to be said of its opening is said before."""
        self._write(self._openings.closed(stream_id), now)

    def closed(self, message: StreamClosed, now: float) -> None:
        """A stream's publisher is away, or it is over."""
        self.ended(message.stream_id, now)
        if (held := self._limit.allow(now)) is not None:
            label = stream_label(message.stream_id)
            if message.hold_ms > 0:
                log.info(
                    "stream held stream=%s hold_ms=%d reason=%s%s",
                    label,
                    message.hold_ms,
                    message.reason,
                    more(held),
                )
            else:
                log.info("stream closed stream=%s reason=%s%s", label, message.reason, more(held))

    def _write(self, openings: Sequence[StreamOpen], now: float) -> None:
        for message in openings:
            if (held := self._limit.allow(now)) is not None:
                log.info(
                    "stream open stream=%s generation=%d renditions=%s%s",
                    stream_label(message.stream_id),
                    message.generation,
                    ",".join(message.renditions),
                    more(held),
                )
