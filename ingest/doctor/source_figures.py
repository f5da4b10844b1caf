"""A source's figures of each second, out of what was counted. Pure.

Most are over the last `WINDOW_S` seconds. `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from common.config.ladder import SourceFormat, Template
from ingest.doctor.source_counts import LATE_MS, NEVER, SourceCounts

WINDOW_S: Final = 10
LONG_WINDOW_S: Final = 60
GOPS_S: Final = 30  # for so long the longest GOP counts: encoders put keyframes at scene cuts, too
LEAST_PICTURES: Final = 20  # in a window: of fewer, rates and shares tell nothing
APART_SECONDS: Final = 3
LEAST_RATE: Final = 5.0  # a slower one is a screen that is shared, or a still camera


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What is known of the stream beside the counts."""

    template: Template
    format: SourceFormat | None
    bitrate_bps: float
    is_fast: bool = False  # it sends a file, and is read slower
    is_sound_omitted: bool = False  # it comes, and is not passed on


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """One source's figures. 0 where nothing is known, or nothing was sent."""

    gop_s: float = 0.0  # the longest lately, or what the running one has by now
    set_gop_s: float = 2.0  # the keyframe interval to set
    pictures: int = 0  # in the window
    late_share: float = 0.0
    behind_share: float = 0.0  # of the clock's pace: how much less media came than time passed
    sound_behind_ms: float = 0.0  # below 0: ahead
    bitrate_bps: float = 0.0
    top_bitrate_bps: int = 0  # the largest rendition's; 0: there is none
    rates: tuple[float, float] = (0.0, 0.0)  # the lowest and the highest of a second
    format: SourceFormat | None = None
    max_source: tuple[int, int, int] = (0, 0, 0)
    reorder_ms: float = 0.0  # how long pictures wait to be put in order
    silent_s: float | None = None  # without sound, while pictures come; None: there never was any
    live_s: float = 0.0  # since the first picture
    still_s: float = 0.0  # without a picture, while sound comes
    unreadable: int = 0  # pictures in the last minute
    is_fast: bool = False


@dataclass(frozen=True, slots=True)
class _Second:
    """What one second had."""

    s: float
    pictures: int
    late: int
    picture_lead_ms: float
    sound_lead_ms: float
    rate: float  # by the pictures' own times; 0: too few
    reorder_ms: int


class SourceHistory:
    """One publisher's last seconds. Call `second` once a second."""

    def __init__(self) -> None:
        self.counts = SourceCounts()
        self._restart()

    def restart(self) -> None:
        """Another publisher begins."""
        self.counts.restart()
        self._restart()

    def _restart(self) -> None:
        self._seconds: deque[_Second] = deque(maxlen=WINDOW_S)
        self._gops: deque[tuple[float, int]] = deque(maxlen=GOPS_S)  # when it ended, ms
        self._unreadable: deque[tuple[float, int]] = deque(maxlen=LONG_WINDOW_S)
        self._newest_ms: int | None = None  # as the last second ended
        self._first_s: float | None = None  # when there first was a picture

    def second(self, facts: StreamFacts, now: float) -> SourceFigures:
        """Return the figures, and count anew."""
        counts = self.counts
        self._end_second(now)
        gop_ms = max((ms for at, ms in self._gops if now - at <= GOPS_S), default=0)
        if counts.key_ms is not None and counts.newest_ms is not None:
            gop_ms = max(gop_ms, counts.newest_ms - counts.key_ms)
        template = facts.template
        seconds = self._seconds
        pictures = sum(second.pictures for second in seconds)
        is_measured = pictures >= LEAST_PICTURES and len(seconds) == WINDOW_S
        measured = is_measured and not facts.is_fast
        return SourceFigures(
            gop_s=gop_ms / 1000,
            set_gop_s=template.gop_ms / 1000 if template.gop_ms <= 4000 else 2.0,
            pictures=pictures,
            late_share=sum(second.late for second in seconds) / pictures if measured else 0.0,
            behind_share=self._behind_share() if measured else 0.0,
            sound_behind_ms=0.0 if facts.is_fast else self._sound_behind_ms(),
            bitrate_bps=facts.bitrate_bps,
            top_bitrate_bps=max((r.bitrate_bps for r in template.renditions), default=0),
            rates=self._rates() if measured else (0.0, 0.0),
            format=facts.format,
            max_source=template.max_source,
            reorder_ms=max((second.reorder_ms for second in seconds), default=0),
            silent_s=0.0 if facts.is_sound_omitted else self._silent_s(),
            live_s=now - self._first_s if self._first_s is not None else 0.0,
            still_s=self._still_s(),
            unreadable=self._unreadable[-1][1] - self._unreadable[0][1],
            is_fast=facts.is_fast,
        )

    # ---- inside -------------------------------------------------------------------------------

    def _end_second(self, now: float) -> None:
        counts = self.counts
        if counts.starts_anew:
            counts.starts_anew = False
            self._seconds.clear()
            self._newest_ms = None
        if counts.pictures and self._first_s is None:
            self._first_s = now
        rate, newest_ms = 0.0, counts.newest_ms
        if counts.pictures and newest_ms is not None:
            if self._newest_ms is not None and newest_ms > self._newest_ms:
                rate = counts.pictures * 1000 / (newest_ms - self._newest_ms)
            self._newest_ms = newest_ms
        reorder_ms = max(0, counts.most_composition_ms - counts.least_composition_ms)
        self._seconds.append(
            _Second(
                now,
                counts.pictures,
                counts.late,
                counts.picture_lead_ms,
                counts.sound_lead_ms,
                rate,
                reorder_ms,
            )
        )
        if counts.longest_gop_ms:
            self._gops.append((now, counts.longest_gop_ms))
        self._unreadable.append((now, counts.unreadable))
        best_ms = max(second.picture_lead_ms for second in self._seconds)
        counts.late_below_ms = best_ms - LATE_MS
        counts.begin_second()

    def _behind_share(self) -> float:
        """How much less media came than time passed, by the frames that came earliest.

        The best of the first and of the last third are compared: one late second says nothing.
        """
        third = WINDOW_S // 3
        seconds = list(self._seconds)
        first, last = seconds[:third], seconds[-third:]
        was_ms = max(second.picture_lead_ms for second in first)
        is_ms = max(second.picture_lead_ms for second in last)
        if was_ms == NEVER or is_ms == NEVER:
            return 0.0
        passed_ms = (last[0].s - first[0].s) * 1000
        return max(0.0, (was_ms - is_ms) / passed_ms) if passed_ms > 0 else 0.0

    def _sound_behind_ms(self) -> float:
        """How much later than its picture the sound of a time comes."""
        lately = list(self._seconds)[-APART_SECONDS:]
        pictures = [second.picture_lead_ms for second in lately]
        sound = [second.sound_lead_ms for second in lately]
        if len(lately) < APART_SECONDS or NEVER in pictures or NEVER in sound:
            return 0.0
        return max(pictures) - max(sound)

    def _rates(self) -> tuple[float, float]:
        """The lowest and the highest rate of a second; the two extremes are left out."""
        rates = sorted(second.rate for second in self._seconds if second.rate)
        if len(rates) < WINDOW_S - 2:
            return 0.0, 0.0
        return rates[1], rates[-2]

    def _silent_s(self) -> float | None:
        counts = self.counts
        if counts.sound_s is None:
            return None
        return max(0.0, (counts.picture_s or 0.0) - counts.sound_s)

    def _still_s(self) -> float:
        counts = self.counts
        if counts.picture_s is None or counts.sound_s is None:
            return 0.0
        return max(0.0, counts.sound_s - counts.picture_s)
