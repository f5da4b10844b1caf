"""A worker that hangs, as its heartbeats show it. Pure.

A heartbeat can come from a process whose decoder or encoder is stuck, so workers report, by stream,
how long what waits there has waited without anything getting done; a stream whose units were
dropped, or that gets none, has no such work. That alone is a hang: "units in and no frames out"
also happens to streams that fell behind. That no heartbeat comes is the watchdog's
(`supervisor/processes/hang.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import TranscodeStatus


@dataclass(frozen=True, slots=True)
class Hang:
    """A worker that must be killed."""

    reason: str
    stream_id: StreamId | None = None  # the one that it hangs with, when that is known


def find_hang(
    worker: ChildId, transcodes: Sequence[TranscodeStatus], timeout_s: float
) -> Hang | None:
    """The worst of its streams, if work of that has waited for `timeout_s`."""
    worst = max(transcodes, key=lambda status: status.stalled_s, default=None)
    if worst is None or worst.stalled_s < timeout_s:
        return None
    reason = f"{worker} hangs: work has waited for {worst.stalled_s:.1f} s and none gets done"
    return Hang(reason, worst.stream_id)
