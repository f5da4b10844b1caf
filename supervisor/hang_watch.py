"""Frames in and none out: how a worker that hangs is told from one that has nothing to do. Pure.

A heartbeat can come from a process whose decoder or encoder is stuck, so frames are watched, by
stream: a stream is stuck when enough units have gone in since anything last came of them, and
that was longer ago than `hang_timeout_s`. Pictures, decode errors and drops all count as something
having come of them: a corrupt stream gives no pictures, and its worker is well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.control_messages import TranscodeStatus
from common.identity import ChildName, Generation, StreamId

# A decoder may hold 16 pictures back for reordering, whatever the frame rate; and some on top.
MIN_UNITS_IN = 24


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last time that something came out of a stream."""

    at_s: float
    outcome: tuple[int, int, int]  # pictures, decode errors, drops
    frames_in: int


class HangWatch:
    """One worker's streams, from its heartbeats."""

    def __init__(self) -> None:
        self._seen: dict[tuple[StreamId, Generation], _Seen] = {}

    def observe(
        self,
        worker: ChildName,
        transcodes: Sequence[TranscodeStatus],
        now: float,
        timeout_s: float,
    ) -> str | None:
        """Why the worker hangs, or None."""
        seen: dict[tuple[StreamId, Generation], _Seen] = {}
        reason = None
        for status in transcodes:
            place = (status.stream_id, status.generation)
            outcome = (status.frames_out, status.decode_errors, status.dropped)
            last = self._seen.get(place)
            if last is None or last.outcome != outcome or status.frames_in < last.frames_in:
                last = _Seen(now, outcome, status.frames_in)
            seen[place] = last
            units = status.frames_in - last.frames_in
            if units >= MIN_UNITS_IN and now - last.at_s >= timeout_s:
                reason = (
                    f"{worker} hangs: {units} units in, no frame out for {now - last.at_s:.1f} s"
                )
        self._seen = seen
        return reason
