"""Log lines about publishers and their streams, at limited rates. Pure but for the log.

A publisher may come and go in a loop; a farm that starts has many at once. A stream's key is a
credential: lines name streams by `stream_label`.
"""

import logging
from collections.abc import Callable, Sequence

from common.access.peer_address import host_of, subscriber
from common.access.refusal import Refusal
from common.access.refusals import Attempted, RefusalStatus, RefusalTable
from common.ipc.identity import StreamId
from common.notices.doctor import Change
from common.process.log import PeerLines, RateLimit, more, stream_label

log = logging.getLogger("tfarm.ingest.streams.stream_log")


class StreamLog:
    """The lines of one ingest."""

    def __init__(
        self, clock: Callable[[], float], unix_time: Callable[[], float] = lambda: 0.0
    ) -> None:
        """`clock` is CLOCK_MONOTONIC."""
        self.refusals = RefusalTable()  # for status
        self._clock = clock
        self._unix_time = unix_time
        self._refusals = PeerLines()
        self._events = PeerLines(RateLimit(burst=200, interval_s=0.2), burst=40, interval_s=2.0)

    def info(self, what: str, stream: StreamId, fields: str = "", *values: object) -> None:
        """Log an event of a stream; `fields` are `name=%s` for the values."""
        self._log(logging.INFO, what, stream, fields, values)

    def warning(self, what: str, stream: StreamId, fields: str = "", *values: object) -> None:
        """Log an event of a stream that an operator should know of."""
        self._log(logging.WARNING, what, stream, fields, values)

    def notices(self, stream: StreamId, peer: str, notices: list[str]) -> None:
        """Log what is to be known of a publisher, and empty the list."""
        for text in notices:
            self.warning("publisher sends something odd", stream, "peer=%s what=%s", peer, text)
        notices.clear()

    def changes(self, stream: StreamId, changes: Sequence[Change]) -> None:
        """Log which notices about a source begin and end."""
        for change in changes:
            level = logging.WARNING if change.begins and change.is_fault else logging.INFO
            what, fields, values = change.line()
            self._log(level, what, stream, fields, values)

    def refused(self, label: str, peer: str, refusal: Refusal, now: float, name: str = "") -> None:
        """Log that a connection may not publish; `label` is empty where it named no stream."""
        self.count(Attempted.PUBLISH, peer, refusal, label, name)
        held_back = self._refusals.allow(subscriber(host_of(peer)), now)
        if held_back is not None:
            log.warning(
                "publish refused stream=%s peer=%s code=%s reason=%s%s",
                label or "?",
                peer,
                refusal.cause or refusal.reason,
                refusal.for_log,
                more(held_back),
            )

    def closed(self, stream: StreamId, peer: str, refusal: Refusal) -> None:
        """Log that a publisher cannot go on."""
        self.count(Attempted.PUBLISH, peer, refusal, stream_label(stream))
        fields = "peer=%s code=%s reason=%s"
        self.warning("publisher closed", stream, fields, peer, refusal.reason, refusal.for_log)

    def count(
        self, what: Attempted, peer: str, refusal: Refusal, label: str = "", name: str = ""
    ) -> None:
        """Count a refusal for status."""
        at = self._unix_time()
        words, cause = refusal.for_log, refusal.cause.value
        self.refusals.add(
            RefusalStatus(what, refusal.reason, words, peer, at, label, name, cause=cause)
        )

    def _log(
        self, level: int, what: str, stream: StreamId, fields: str, values: Sequence[object]
    ) -> None:
        held_back = self._events.allow(stream, self._clock())
        if held_back is not None:
            line = f"{what} stream=%s {fields}%s"
            log.log(level, line, stream_label(stream), *values, more(held_back))
