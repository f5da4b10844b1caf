"""Names that cross process boundaries. Pure.

A `ChildId` is a value, never text that somebody takes apart: it crosses processes field by field,
and people's names for children are looked up among the children that there are.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, NewType

# "APP/KEY"; holds a credential: never log it, see common.process.log
StreamId = NewType("StreamId", str)
Generation = NewType("Generation", int)  # one placement of a stream; grows, never reused
BootId = NewType("BootId", str)  # one incarnation of a process: 16 hex digits

CPU: Final = "cpu"  # the device of a worker that uses the host's cores alone


class Role(StrEnum):
    """Sets a child apart from others of its kind and device."""

    NONE = ""
    DEDICATED = "dedicated"  # a worker of one quarantined stream


@dataclass(frozen=True, order=True)
class ChildId:
    """One child of the farm, through all its incarnations.

    `str()` gives the name that people see in logs, in status and in the run directory:
    `ingest:0`, `worker:cpu:0`, `worker:GPU-…` (a GPU's first), `worker:GPU-…:1`, and
    `worker:cpu:q1` for a dedicated worker.
    """

    kind: str  # "ingest", "worker", "egress"
    device: str = ""  # a worker's: `CPU`, or the UUID of a GPU
    index: int = 0  # among those of the same kind, device and role
    role: Role = Role.NONE
    host: str = ""  # "": this one

    @cached_property
    def text(self) -> str:
        """The name for people."""
        if self.device:
            return f"{self.kind}:{self.place}"
        return f"{self.kind}:{self.index}" if self.kind not in ("", "supervisor") else self.kind

    @cached_property
    def place(self) -> str:
        """The name of a worker among workers, as people type it: `cpu:0`, `GPU-…`, `GPU-…:1`."""
        return self.device_name if self.is_software or not self.index else self._numbered

    @cached_property
    def device_name(self) -> str:
        """The device of a worker: a GPU's UUID, which others may share, or its own `cpu:0`."""
        return self._numbered if self.is_software else self.device

    @property
    def is_software(self) -> bool:
        """True of a worker that uses the host's cores alone."""
        return self.device == CPU

    @property
    def is_dedicated(self) -> bool:
        """True of a worker that is one stream's alone."""
        return self.role is Role.DEDICATED

    @property
    def _numbered(self) -> str:
        return f"{self.device}:{'q' if self.is_dedicated else ''}{self.index}"

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:  # it is a key of many maps: the text keeps its own hash
        return hash(self.text)


def cpu_worker(index: int, role: Role = Role.NONE) -> ChildId:
    """A worker on the host's cores."""
    return ChildId("worker", CPU, index, role)


def gpu_worker(uuid: str, index: int = 0) -> ChildId:
    """A worker of a GPU; several of one GPU count from 0."""
    return ChildId("worker", uuid, index)


def stream_id(app: str, key: str) -> StreamId:
    return StreamId(f"{app}/{key}")


def split_stream_id(stream: StreamId) -> tuple[str, str]:
    """App and key."""
    app, _, key = stream.partition("/")
    return app, key
