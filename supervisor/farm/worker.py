"""What the supervisor knows of one worker, beside its heartbeats. Pure.

The record is there as long as the worker's device is in the fleet (`placement/fleet.py`), which
holds what placement needs of it, as a value that can be tried and thrown away. What belongs to one
process of the worker goes with that (`end_process`).
"""

from dataclasses import dataclass, field

from common.ipc.identity import ChildId, StreamId
from supervisor.farm.recovery.overload import Overload


@dataclass(slots=True)
class Worker:
    """One worker."""

    name: ChildId
    down_since_s: float | None  # None: it is up
    lost: str = ""  # why its device went away under it; "": it did not
    is_lost_for_sure: bool = False  # the GPU watch, too, says so
    is_drained: bool = False  # it takes nothing more until an operator says so
    is_overloaded: bool = False  # it is behind, and takes nothing more
    # ---- of its process
    hangs_with: StreamId | None = None  # the stream that it was failed for
    memory_bytes: int = 0  # as measured last; of the last process until the next one is up
    overload: Overload = field(default_factory=Overload)
    findings: dict[object, int] = field(default_factory=dict)  # the session audit's, heartbeats
    reported_host_load: int = 0  # streams of others on the host's cores, as reported to it

    @property
    def why_closed(self) -> str:
        """Why it takes no new streams, for people; "": it does."""
        if self.lost:
            return "it is lost"
        if self.is_drained:
            return "it is drained"
        return "it is behind" if self.is_overloaded else ""

    def come_up(self) -> None:
        """Its process said hello."""
        self.down_since_s = None
        self.lost, self.is_lost_for_sure = "", False
        self.reported_host_load = 0
        self.memory_bytes = 0

    def lose_device(self, reason: str, *, for_sure: bool) -> None:
        """Its device is gone or broken, until its next process says hello."""
        self.lost = reason
        self.is_lost_for_sure |= for_sure

    def end_process(self, now: float) -> None:
        """Its process is gone: the next one begins with nothing."""
        self.down_since_s = now
        self.is_overloaded = False
        self.hangs_with = None
        self.overload = Overload()
        self.findings = {}
        self.reported_host_load = 0
