"""From the stream time of ingest to the time that goes out. Pure.

Stream time goes on with whoever publishes. Where another ingest takes a stream over and counts its
time from an earlier point, one offset puts all of its tags behind what was sent.

Another start of a stream, at another host, lands at its age behind what was sent, wherever its own
time is: with the first of its tags, which may be a replay.

Ingest's own tags, the source and the sound, say what the time is. A worker's may be ahead of it by
`MAX_AHEAD_MS`, no more: what is behind them, from another worker, would be taken for old.
"""

from collections.abc import Iterable
from typing import Final

from common.config.ladder import SOURCE
from common.ipc.media_messages import HEADER, REPLAY, SHARED, Tags
from egress.streams.tag import AUDIO, VIDEO

_TIMED: Final = (VIDEO, AUDIO)  # whose times are the stream's
MIN_STEP_MS: Final = 40  # between the last tag of one ingest and the first of the next
# More than a publisher's time may jump ahead in stream time (`ingest/streams/clock/timeline.py`):
# the source may come batched, behind what a worker has made of it.
MAX_AHEAD_MS: Final = 12_000


class SourceTime:
    """The offset of one stream, and when it is looked at anew."""

    def __init__(self, now: float) -> None:
        self.offset_ms = 0  # from ingest's stream time to what goes out
        self._last_tag_s = now  # of those that have a time
        self._may_restart = False  # the next source headers show whether another ingest sends
        self._is_restarted = False  # it does, and none of its times is known yet
        self._start_ms: int | None = None  # Unix time of stream time 0, of whose tags come
        self._is_another = False  # another start of the stream comes: its time is another one
        self._ingest_ms: int | None = None  # the last time that ingest said, and when
        self._ingest_s = now

    def allow_restart(self) -> None:
        """Note that another generation sends the source from now on."""
        self._may_restart = True

    def on_start(self, start_ms: int | None) -> None:
        """Take the Unix time of what comes from now on; None: it is not known yet.

        Of another start of the stream, at another host, it is another one.
        """
        if start_ms is None or start_ms == self._start_ms:
            return
        if self._start_ms is not None:
            self._may_restart = self._is_restarted = False
            self._is_another, self._ingest_ms = True, None
        self._start_ms = start_ms

    def on_headers(self, *, goes_on: bool) -> None:
        """Take source headers; does the numbering of their tags go on from those that came?"""
        if self._may_restart:
            self._may_restart = False
            self._is_restarted |= not goes_on

    def on_ingest(self, time_ms: int, now: float) -> None:
        """Take a time of ingest's own tags, just come."""
        self._ingest_ms, self._ingest_s = time_ms, now

    def is_ahead(self, end_ms: int, now: float) -> bool:
        """Tell if a worker's tags have a time that this stream cannot have reached."""
        if self._ingest_ms is None:
            return False
        return end_ms - self._ingest_ms > (now - self._ingest_s) * 1000 + MAX_AHEAD_MS

    def take(self, message: Tags, sent_ms: Iterable[int], now: float) -> bool:
        """Note the times of tags that have come; False: those are a worker's, and too far ahead."""
        if self._is_another:
            self._land(message, max(sent_ms, default=None), now)
        is_ingests = message.rendition in (SOURCE, SHARED)
        if message.tags and not is_ingests:
            end_ms = max(header.dts_ms + header.composition_ms for header in message.tags)
            if self.is_ahead(end_ms, now):
                return False
        begin_ms = _first_ms(message)
        if begin_ms is not None:
            self.on_tags(begin_ms, sent_ms, now)
            if is_ingests:
                self.on_ingest(begin_ms, now)
        return True

    def on_tags(self, begin_ms: int, sent_ms: Iterable[int], now: float) -> None:
        """Take the time that some tags begin at; `sent_ms`: the last of what was sent."""
        if self._is_restarted:
            self._is_restarted = False
            self.offset_ms = self._offset_for(begin_ms, max(sent_ms, default=None), now)
        self._last_tag_s = now

    def _land(self, message: Tags, last_ms: int | None, now: float) -> None:
        """Let another start land behind what was sent, by when its first tag came."""
        first = next((h for h in message.tags if h.type in _TIMED and not h.flags & HEADER), None)
        if first is None:
            return
        self._is_another, self.offset_ms = False, 0
        if last_ms is not None:
            away_ms = round((min(now, first.received_s) - self._last_tag_s) * 1000)
            self.offset_ms = last_ms + max(MIN_STEP_MS, away_ms) - first.dts_ms

    def _offset_for(self, begin_ms: int, last_ms: int | None, now: float) -> int:
        """Let a time that begins anew land at now, after everything that was sent."""
        if last_ms is None or begin_ms > last_ms:
            return 0
        away_ms = round((now - self._last_tag_s) * 1000)
        return last_ms + max(MIN_STEP_MS, away_ms) - begin_ms


def _first_ms(message: Tags) -> int | None:
    """The time that these tags begin at; None where they have none.

    A replay repeats what was sent, by whomever, a header has no time, and a data message that comes
    before its publisher's first picture has that of the last one's.
    """
    for header in message.tags:
        if header.type in _TIMED and not header.flags & (HEADER | REPLAY):
            return header.dts_ms
    return None
