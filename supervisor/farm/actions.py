"""What the pure parts of the supervisor have the shell do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import EndStream
from common.ipc.identity import ChildId, StreamId


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message to this child."""

    child: ChildId
    message: object
    payloads: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class FailChild:
    """Fail a child that runs but does not work: kill it and start it anew."""

    child: ChildId
    reason: str


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Start this software worker."""

    child: ChildId


@dataclass(frozen=True, slots=True)
class StopWorker:
    """End this worker and remove it."""

    child: ChildId


Action = Send | FailChild | StartWorker | StopWorker


class Machine(Protocol):
    """A part of the farm that decides by the time, too."""

    def next_deadline(self) -> float:
        """When to call `tick` if nothing else comes."""
        ...

    def tick(self, now: float) -> list[Action]:
        """Do what is due; nothing before the deadline."""
        ...


def end_stream(ingest: ChildId, stream_id: StreamId, words: str) -> Send:
    """End a stream that cannot be served any more; its publisher stays out for a while."""
    refusal = Refusal(RefusalReason.FAILED, words, is_lasting=True)
    return Send(ingest, EndStream(stream_id, refusal))
