"""Which streams take workers down with them. Pure.

A stream counts as a poison stream after `CRASHES` within `MEMORY_S`: crashes of workers that had
it, hangs with it, losses of a device that its session was the first to meet, unless the GPU watch
had reported by then that the device itself is gone. It goes alone to a dedicated software worker,
if the host's cores have room for that. When that dies too the stream is refused, whoever publishes
it, for `REFUSED_S` or until it is cleared by hand (`tfarm kick`). One that stays alone for
`PROBATION_S` without a crash is cleared. A publisher that leaves and comes back brings the same
pictures; who publishes under the name of another's stream brings his own, and neither pays for the
other's (`common.access.credentials`). Who is moved where is decided in `isolation.py`.

Whoever publishes may have others pay: he waits until one has just come, and then takes the worker
down. So nobody is refused for what he is only suspected of, however likely it is: only for the
death of a worker that had him alone, or of one that hung with him.

Streams of a group share a worker of their own: those of a poison address (`poison_addresses.py`),
newcomers whose sources are out of the usual, and for good those whose pictures are so large that
one may take as long as a worker that hangs. Where one of a group is found to be the cause,
those that only shared its crashes are cleared of these.
"""

import math
from dataclasses import dataclass, field
from enum import Enum, auto

from common.access.credentials import UNTOLD, Credentials, is_same_publisher
from common.ipc.identity import ChildId, Role, StreamId, cpu_worker

CRASHES = 2
MEMORY_S = 600.0
PROBATION_S = 120.0
NEWCOMERS = "newcomers"  # the group of sources that are out of the usual
NEWCOMER_S = 30.0  # of these
LARGE = "large"  # the group of sources whose every picture is large
REFUSED_S = 600.0
MAX_WORKERS = 4  # dedicated ones at a time; other poison streams stay where they are
MAX_KNOWN = 10_000  # streams with a record


class QuarantineState(Enum):
    """What is done with a stream."""

    CLEAR = auto()
    POISON = auto()  # it is to be alone
    REFUSED = auto()


@dataclass(slots=True)
class _Record:
    crashes_s: list[float] = field(default_factory=list)  # the last ones
    published_by: Credentials = UNTOLD  # then
    cause: str = ""  # how the last worker ended
    refused_until_s: float = 0.0


@dataclass(slots=True)
class _DedicatedWorker:
    name: ChildId
    since_s: float  # it was given, or its stream came there
    group: str = ""  # with which it is shared; "": with nobody

    @property
    def until_s(self) -> float:
        """When its stream is cleared, if nothing happens before."""
        if self.group == LARGE:
            return math.inf
        return self.since_s + (NEWCOMER_S if self.group == NEWCOMERS else PROBATION_S)


class Quarantine:
    """The records of streams whose workers died, and their dedicated workers."""

    def __init__(self) -> None:
        self._records: dict[StreamId, _Record] = {}
        self._workers: dict[StreamId, _DedicatedWorker] = {}
        self._last_number = 0

    def state(
        self, stream_id: StreamId, now: float, owner: Credentials = UNTOLD
    ) -> QuarantineState:
        """What is done with a stream that this one publishes."""
        record = self._records.get(stream_id)
        if record is None or not is_same_publisher(record.published_by, owner):
            return QuarantineState.CLEAR
        if now < record.refused_until_s:
            return QuarantineState.REFUSED
        recent = [at_s for at_s in record.crashes_s if now - at_s < MEMORY_S]
        if len(recent) >= CRASHES or stream_id in self._workers:
            return QuarantineState.POISON
        return QuarantineState.CLEAR

    def reason(self, stream_id: StreamId, now: float) -> str:
        """Why it is refused, for people."""
        record = self._records[stream_id]
        minutes = max(1, round((record.refused_until_s - now) / 60))
        return (
            f"this stream took down {CRASHES} workers and then one of its own ({record.cause}); "
            f"refused for another {minutes} min, or until `tfarm kick` clears it"
        )

    def crashed(
        self,
        stream_id: StreamId,
        reason: str,
        now: float,
        owner: Credentials = UNTOLD,
        *,
        is_certain: bool = False,
    ) -> QuarantineState:
        """Note that a worker died with this stream; the stream's state from now on.

        `is_certain`: of it, and of no other. One of a group that is not known to be the cause gets
        a worker of its own.
        """
        record = self._records.pop(stream_id, None)
        if record is None or not is_same_publisher(record.published_by, owner):
            record = _Record()
        while len(self._records) >= MAX_KNOWN:
            del self._records[next(iter(self._records))]
        self._records[stream_id] = record
        record.cause, record.published_by = reason, owner
        record.crashes_s = [*record.crashes_s[-CRASHES + 1 :], now]
        given = self._workers.get(stream_id)
        if given is not None and given.group and not is_certain:
            del self._workers[stream_id]
            record.crashes_s = [now] * CRASHES
        elif given is not None:
            record.crashes_s.clear()
            record.refused_until_s = now + REFUSED_S
        return self.state(stream_id, now)

    def absolve(self, cause: StreamId, now: float) -> list[StreamId]:
        """Take the crashes of this one off all that shared them; who needs no own worker any more.

        To be called before the crash that it is known by is noted.
        """
        record = self._records.get(cause)
        shared = set(record.crashes_s) if record is not None else set()
        cleared = []
        for stream_id, other in self._records.items():
            if other is record or not shared.intersection(other.crashes_s):
                continue
            other.crashes_s = [at_s for at_s in other.crashes_s if at_s not in shared]
            given = self._workers.get(stream_id)
            if given is not None and not given.group and len(other.crashes_s) < CRASHES:
                cleared.append(stream_id)
        return cleared

    def clear(self, stream_id: StreamId) -> bool:
        """Forget what is known of it; whether anything was."""
        return self._records.pop(stream_id, None) is not None

    # ---- dedicated workers ------------------------------------------------------------------

    def worker(self, stream_id: StreamId) -> ChildId | None:
        given = self._workers.get(stream_id)
        return given.name if given is not None else None

    def group(self, stream_id: StreamId) -> str:
        """With whom it shares its worker; "": with nobody, or it has none."""
        given = self._workers.get(stream_id)
        return given.group if given is not None else ""

    def stream_on(self, worker: ChildId) -> StreamId | None:
        return next((s for s, given in self._workers.items() if given.name == worker), None)

    def next_worker(self, stream_id: StreamId, group: str = "") -> ChildId | None:
        """The name that `give_worker` would give; None: too many workers are given."""
        given = self._workers.get(stream_id)
        if given is not None:
            return given.name
        if group:
            for other in self._workers.values():
                if other.group == group:
                    return other.name
        if len({other.name for other in self._workers.values()}) >= MAX_WORKERS:
            return None
        return cpu_worker(self._last_number + 1, Role.DEDICATED)

    def give_worker(self, stream_id: StreamId, now: float, group: str = "") -> ChildId | None:
        """A worker's name for this stream alone, or with its group; None: too many are given."""
        name = self.next_worker(stream_id, group)
        if name is not None and stream_id not in self._workers:
            self._last_number = max(self._last_number, name.index)
            self._workers[stream_id] = _DedicatedWorker(name, now, group)
        return name

    def begin(self, stream_id: StreamId, now: float) -> None:
        """It is on its own worker from now on, however long that was there before."""
        given = self._workers.get(stream_id)
        if given is not None:
            given.since_s = now

    def take_worker(self, stream_id: StreamId) -> ChildId | None:
        """It needs its worker no more."""
        given = self._workers.pop(stream_id, None)
        return given.name if given is not None else None

    def see_worker(self, worker: ChildId) -> None:
        """One that runs already: names are given once."""
        self._last_number = max(self._last_number, worker.index)

    def cleared(self, now: float) -> list[StreamId]:
        """Those that stayed alone for long enough, or that nobody brought to their worker."""
        return [s for s, given in self._workers.items() if now >= given.until_s]

    def clear_stream(self, stream_id: StreamId) -> None:
        """It harmed nobody: forget why it had a worker of its own."""
        self._records.pop(stream_id, None)

    def next_deadline(self) -> float:
        return min((given.until_s for given in self._workers.values()), default=math.inf)
