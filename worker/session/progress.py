"""What a session has done so far, and for how long it has done nothing. Pure.

`Stall` is looked at a few times a second. Time that the place's thread spent waiting for a core is
none: on a starved host a picture may take seconds, and nothing hangs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from common.ipc.status_messages import Quality
from common.media.rates import Throughput
from common.process.stage_times import StageTimes
from worker.frames.picture_content import PictureContent
from worker.frames.snapshot import SnapshotSlot

# Drivers take seconds to open and close sessions, and many may wait for their turn.
OPENING_S = 10.0


@dataclass(frozen=True, slots=True)
class Degradation:
    """The part of its ladder that a stream is not given."""

    top_rate_divisor: int = 1  # of the largest rendition's rate
    dropped_renditions: int = 0  # the largest ones


@dataclass(slots=True)
class RenditionCounts:
    """Counts of one rendition's pictures; each field has one thread that writes it."""

    dropped_unscaled: int = 0  # by the decode thread: the encoder was behind
    dropped_waiting: int = 0  # by the encoder's thread: they grew too old before it
    output: Throughput = field(default_factory=Throughput)  # the loop's
    last_pts_ms: int | None = None  # the loop's
    has_rested: bool = False  # since its last tag; the loop's
    quality: Quality | None = None  # by the thread that measures, or the loop

    @property
    def dropped(self) -> int:
        return self.dropped_unscaled + self.dropped_waiting

    def state(self, *, is_resting: bool) -> str:
        """As in `RenditionStatus`."""
        if is_resting:
            return "cold"
        return "starting" if self.has_rested else "made"

    def sent(self, size: int, now_s: float) -> None:
        """Count a tag that went out."""
        self.has_rested = False
        self.output.count(1, size, now_s)


@dataclass(slots=True)
class SessionCounts:
    """Each field has one thread that writes it; the loop reads them all."""

    stages: StageTimes = field(default_factory=StageTimes)
    renditions: list[RenditionCounts] = field(default_factory=list)  # of the ladder, once open
    units_in: int = 0  # the loop's
    last_in_s: float = 0.0  # the loop's
    # the decode thread's
    pictures: int = 0  # decoded
    decode_errors: int = 0
    undecoded: int = 0  # units: what they refer to was lost
    hidden: int = 0  # decoded, not shown: damaged, or a freeze frame stood in
    progress_s: float = 0.0
    has_guessed_times: bool = False  # lately: there were B-frames without composition times
    content: PictureContent = field(default_factory=PictureContent)
    snapshot: SnapshotSlot = field(default_factory=SnapshotSlot)


class Stall:
    """One place where work waits: a decoder, an encoder, the opening."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._done: int | None = None  # None: nothing waited at the last look
        self._starved_s: float | None = None  # of the thread, when the stall was first seen

    def observe(
        self,
        is_waiting: bool,
        done: int,
        elapsed_s: float,
        starved_s: Callable[[], float] = lambda: 0.0,
    ) -> float:
        """Count `elapsed_s` since the last look if all that waited then still waits.

        `done` counts what was done there so far; `starved_s` gives how long its thread has waited
        for a core so far, and is only called during a stall.
        """
        if not is_waiting or self._done != done:
            self._done = done if is_waiting else None
            self._starved_s = None
            self.seconds = 0.0
            return 0.0
        starved_now_s = starved_s()
        before_s = starved_now_s if self._starved_s is None else self._starved_s
        self._starved_s = starved_now_s
        self.seconds += max(0.0, elapsed_s - (starved_now_s - before_s))
        return self.seconds
