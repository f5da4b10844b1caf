"""Whose fault it may be that a worker died, of the streams that it had. Pure.

A thread that a worker dies in is one stream's, where each has its own (`crash_report.py`): a worker
that has been taken over may lie there, so that proves nothing, but it spares the others. Else
nobody says which stream a worker died of, unless it hangs with one. But a worker that ran for long
with some streams, and dies soon after another has come, died of that one most likely; and one that
took too much memory died of those that take the most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.ipc.control_messages import Heartbeat
from common.ipc.identity import StreamId

NEWCOMER_S = 20.0  # its first pictures, and a few GOPs


@dataclass(frozen=True, slots=True)
class Aboard:
    """One stream that a worker had when it died."""

    stream_id: StreamId
    began_s: float  # since when its source is what it is
    memory_bytes: float  # of its worker, by what is known of its source


def possible_causes(
    aboard: Sequence[Aboard],
    now: float,
    *,
    took_too_much_memory: bool = False,
    crashed_in: StreamId | None = None,
) -> frozenset[StreamId]:
    """Those that may have brought it about; of streams that were there, one at least.

    `crashed_in`: in whose thread it died.
    """
    if crashed_in is not None and any(one.stream_id == crashed_in for one in aboard):
        return frozenset({crashed_in})
    newcomers = [one for one in aboard if now - one.began_s < NEWCOMER_S]
    found = newcomers or list(aboard)
    if took_too_much_memory and found:
        most = max(one.memory_bytes for one in found)
        found = [one for one in found if one.memory_bytes >= most / 2]
    return frozenset(one.stream_id for one in found)


def session_of(heartbeat: Heartbeat | None, thread: int) -> StreamId | None:
    """Return the stream whose thread that is, by the last heartbeat of its worker."""
    if heartbeat is None or not thread:
        return None
    found = (t.stream_id for t in heartbeat.transcodes if thread in t.threads)
    return next(found, None)
