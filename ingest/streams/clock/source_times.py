"""A publisher's stamps to stream time: its clock put right, then laid onto the stream's.

Pure; `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from ingest.streams.clock.frame_spread import FrameSpread
from ingest.streams.clock.source_clock import SourceClock
from ingest.streams.clock.timeline import Stamp, Timeline
from ingest.streams.media_events import ClockDecision


class SourceTimes:
    """One publisher's times. Call `video`, `audio` and `data` in the order of arrival."""

    def __init__(self, timeline: Timeline) -> None:
        self._clock = SourceClock()
        self._spread = FrameSpread()
        self._timeline = timeline
        # Of the last picture: its timestamp, and the stream time that this stands for. None: none.
        self.last_video: tuple[int, int] | None = None

    def video(
        self, timestamp: int, now: float, composition_ms: int, frame_ms: float | None
    ) -> Stamp:
        """The time of a picture; `frame_ms` by the rate that the publisher declares."""
        time = self._clock.video(timestamp, now, frame_ms)
        stamp = self._timeline.video(time.ms, now, composition_ms, is_set_anew=time.is_set_anew)
        self.last_video = timestamp, stamp.dts_ms - stamp.moved_ms
        return stamp

    def audio(self, timestamp: int, now: float, frame_ms: float | None) -> Stamp:
        """The time of an audio frame; `frame_ms` is its length, if that is known."""
        time = self._clock.audio(timestamp, now, frame_ms)
        ms = self._spread.take(time.ms, frame_ms, is_set_anew=time.is_set_anew)
        return self._timeline.audio(ms, now, is_set_anew=time.is_set_anew)

    def data(self, timestamp: int, now: float) -> Stamp:
        """The time of a data message."""
        return self._timeline.data(self._clock.data(timestamp, now), now)

    @property
    def has_notices(self) -> bool:
        """Whether there is anything to `take_notices` of."""
        return bool(self._clock.notices)

    def take_notices(self) -> list[ClockDecision]:
        """What was decided about the publisher's clock since the last call."""
        clock = self._clock
        parted, clock.parted = clock.parted, ""
        decisions = [
            ClockDecision(notice, clock.words, clock.faults, parted) for notice in clock.notices
        ]
        clock.notices.clear()
        return decisions
