"""What the pure parts of the supervisor have the shell do."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import EndStream
from common.ipc.identity import ChildId, StreamId


@dataclass(frozen=True, slots=True)
class Send:
    """Order to the shell: send this message to this child."""

    child: ChildId
    message: object
    payloads: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class FailChild:
    """Order to the shell: this child runs but does not work."""

    child: ChildId
    reason: str


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Order to the shell: start a software worker of this name."""

    child: ChildId


@dataclass(frozen=True, slots=True)
class StopWorker:
    """Order to the shell: end this worker and forget it."""

    child: ChildId


Action = Send | FailChild | StartWorker | StopWorker


def end_stream(ingest: ChildId, stream_id: StreamId, words: str) -> Send:
    """End a stream that cannot be served any more; its publisher stays out for a while."""
    refusal = Refusal(RefusalReason.FAILED, words, is_lasting=True)
    return Send(ingest, EndStream(stream_id, refusal))
