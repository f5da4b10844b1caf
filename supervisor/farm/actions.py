"""What the pure parts of the supervisor have the shell do."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.ipc.identity import ChildName


@dataclass(frozen=True, slots=True)
class Send:
    """Order to the shell: send this message to this child."""

    child: ChildName
    message: object
    payloads: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class FailChild:
    """Order to the shell: this child runs but does not work."""

    child: ChildName
    reason: str


@dataclass(frozen=True, slots=True)
class StartWorker:
    """Order to the shell: start a software worker of this name."""

    child: ChildName


@dataclass(frozen=True, slots=True)
class StopWorker:
    """Order to the shell: end this worker and forget it."""

    child: ChildName


Action = Send | FailChild | StartWorker | StopWorker
