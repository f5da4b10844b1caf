"""A publisher's frames through its clock, the stream's time and the choice of pictures.

Nothing is coded or decoded, and time is virtual. Decoders give pictures in display order, which is
that of the frames here.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from tests.kit.publisher_times import PICTURE, SOUND, Frame
from worker.frames.display_times import DisplayTimes
from worker.frames.timing import FrameTimer, PtsWindow, Verdict

_START_S = 500.0


@dataclass
class Served:
    """What became of a publisher."""

    frames: Sequence[Frame]
    caps: tuple[int, ...]
    given: dict[str, list[tuple[float, Frame]]] = field(default_factory=dict)  # times, by kind
    taken: list[list[tuple[int, Frame]]] = field(default_factory=list)  # by rendition
    notices: list[str] = field(default_factory=list)
    words: str = ""  # in status at the end
    set_anew: int = 0

    def share(self, rendition: int, fps: float) -> float:
        """The pictures that a rendition took, of those that it should have."""
        n = -(-fps // self.caps[rendition])
        return len(self.taken[rendition]) * n / len(self.given[PICTURE])

    def speed(self, since_s: float) -> float:
        """Times given by those at which pictures were taken, from a moment on."""
        late = [(ms, f) for ms, f in self.given[PICTURE] if f.came_s >= since_s]
        (first_ms, first), (last_ms, last) = late[0], late[-1]
        return (last_ms - first_ms) / 1000 / (last.media_s - first.media_s)

    def late_ms(self, kind: str, since_s: float) -> list[float]:
        """Times given minus the frames' own, from a moment on."""
        return [ms - f.media_s * 1000 for ms, f in self.given[kind] if f.came_s >= since_s]

    def spread_ms(self, since_s: float) -> float:
        """How much that varies among the pictures that the first rendition took."""
        late = [ms - f.media_s * 1000 for ms, f in self.taken[0] if f.came_s >= since_s]
        return max(late) - min(late)

    def apart_ms(self, since_s: float) -> float:
        """How far pictures are ahead of the sound of the same moment."""
        return statistics.median(self.late_ms(PICTURE, since_s)) - statistics.median(
            self.late_ms(SOUND, since_s)
        )

    @property
    def is_in_order(self) -> bool:
        return all(a[0] < b[0] for taken in self.taken for a, b in pairwise(taken))


def serve(
    frames: Sequence[Frame], declared_fps: int | None = 30, caps: tuple[int, ...] = (30, 15)
) -> Served:
    """Run a publisher; `declared_fps` is what its pictures are said to have."""
    times, served = SourceTimes(Timeline()), Served(frames, caps, {PICTURE: [], SOUND: []})
    display = DisplayTimes()
    declared = Fraction(declared_fps) if declared_fps else None
    timer = FrameTimer(2_000, [Fraction(cap) for cap in caps], PtsWindow(), declared)
    served.taken = [[] for _ in caps]
    for frame in frames:
        now = _START_S + frame.came_s
        if frame.kind == SOUND:
            stamp = times.audio(frame.stamp, now, frame.length_ms)
            pts_ms = stamp.dts_ms
        else:
            stamp = times.video(frame.stamp, now, 0, frame.length_ms)
            pts_ms = stamp.dts_ms - stamp.moved_ms
            display.put(stamp.dts_ms, pts_ms)
            plan = timer.plan(display.take(pts_ms))
            if plan.verdict is Verdict.ENCODE:
                assert timer.last_ms is not None
                for index in plan.renditions:
                    served.taken[index].append((timer.last_ms, frame))
        served.given[frame.kind].append((pts_ms, frame))
        served.set_anew += stamp.discontinuity
        for decision in times.take_notices():
            served.notices.append(decision.notice)
            served.words = decision.words
    return served
