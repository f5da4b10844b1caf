"""Which streams take workers down with them. Pure.

A stream is suspect after `CRASHES` within `MEMORY_S`: crashes of workers that it was aboard of,
hangs with it, losses of a device that its session was the first to meet, unless the GPU watch had
said by then that the device itself is gone. It goes alone to a software worker of its own, if the
host's cores have room for that. When that dies too it is refused, whoever publishes it, for
`REFUSED_S` or until it is cleared by hand (`tfarm kick`). One that stays alone for `PROBATION_S`
without a crash is suspect no more. Keyed by stream, not by publisher: a publisher that leaves and
comes back brings the same pictures.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from common.ipc.identity import ChildId, Role, StreamId, cpu_worker

CRASHES = 2
MEMORY_S = 600.0
PROBATION_S = 120.0
REFUSED_S = 600.0
MAX_WORKERS = 4  # of suspects at a time; the others stay where they are
MAX_KNOWN = 10_000  # streams with a record


class Standing(Enum):
    """What is done with a stream."""

    FREE = auto()
    SUSPECT = auto()
    REFUSED = auto()


@dataclass(slots=True)
class _Record:
    crashes_s: list[float] = field(default_factory=list)  # the last ones
    reason: str = ""
    refused_until_s: float = 0.0


class Quarantine:
    """The records of streams that were aboard when workers died, and their own workers."""

    def __init__(self) -> None:
        self._records: dict[StreamId, _Record] = {}
        self._workers: dict[StreamId, ChildId] = {}
        self._since_s: dict[StreamId, float] = {}  # its own worker was given, or it came there
        self._last_number = 0

    def standing(self, stream_id: StreamId, now: float) -> Standing:
        record = self._records.get(stream_id)
        if record is None:
            return Standing.FREE
        if now < record.refused_until_s:
            return Standing.REFUSED
        recent = [at_s for at_s in record.crashes_s if now - at_s < MEMORY_S]
        if len(recent) >= CRASHES or stream_id in self._workers:
            return Standing.SUSPECT
        return Standing.FREE

    def reason(self, stream_id: StreamId, now: float) -> str:
        """Why it is refused, for people."""
        record = self._records[stream_id]
        minutes = max(1, round((record.refused_until_s - now) / 60))
        return (
            f"this stream took down {CRASHES} workers and then one of its own ({record.reason}); "
            f"refused for another {minutes} min, or until `tfarm kick` clears it"
        )

    def crashed(self, stream_id: StreamId, reason: str, now: float) -> Standing:
        """A worker died with this stream aboard; the stream's standing from now on."""
        record = self._records.pop(stream_id, None) or _Record()
        while len(self._records) >= MAX_KNOWN:
            del self._records[next(iter(self._records))]
        self._records[stream_id] = record
        record.reason = reason
        record.crashes_s = [*record.crashes_s[-CRASHES + 1 :], now]
        if stream_id in self._workers:
            record.crashes_s.clear()
            record.refused_until_s = now + REFUSED_S
        return self.standing(stream_id, now)

    def clear(self, stream_id: StreamId) -> bool:
        """Forget what is known of it; whether anything was."""
        return self._records.pop(stream_id, None) is not None

    # ---- workers of their own ---------------------------------------------------------------

    def worker(self, stream_id: StreamId) -> ChildId | None:
        return self._workers.get(stream_id)

    def stream_on(self, worker: ChildId) -> StreamId | None:
        return next((s for s, name in self._workers.items() if name == worker), None)

    def give_worker(self, stream_id: StreamId, now: float) -> ChildId | None:
        """A worker's name for this stream alone; None: too many have one."""
        if stream_id not in self._workers:
            if len(self._workers) >= MAX_WORKERS:
                return None
            self._last_number += 1
            self._workers[stream_id] = cpu_worker(self._last_number, Role.DEDICATED)
            self._since_s[stream_id] = now
        return self._workers[stream_id]

    def begin(self, stream_id: StreamId, now: float) -> None:
        """It is on its own worker from now on, however long that was there before."""
        self._since_s[stream_id] = now

    def take_worker(self, stream_id: StreamId) -> ChildId | None:
        """It needs its worker no more."""
        self._since_s.pop(stream_id, None)
        return self._workers.pop(stream_id, None)

    def see_worker(self, worker: ChildId) -> None:
        """One that runs already: names are given once."""
        self._last_number = max(self._last_number, worker.index)

    def cleared(self, now: float) -> list[StreamId]:
        """Those that stayed alone for long enough, or that nobody brought to their worker."""
        return [s for s, since_s in self._since_s.items() if now - since_s >= PROBATION_S]

    def clear_stream(self, stream_id: StreamId) -> None:
        """It harmed nobody: forget why it had a worker of its own."""
        self._records.pop(stream_id, None)

    def next_deadline(self) -> float:
        return min(self._since_s.values(), default=float("inf")) + PROBATION_S
