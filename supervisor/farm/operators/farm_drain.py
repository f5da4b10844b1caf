"""A drain of the whole farm: no new streams, and after a while the end of those that run. Pure."""

import math

from supervisor.farm.actions import Action, end_stream
from supervisor.farm.admission.publish_requests import Admission
from supervisor.farm.state import FarmState


class FarmDrain:
    """Closes a farm, and opens it again."""

    def __init__(self, state: FarmState, admission: Admission) -> None:
        self._state = state
        self._admission = admission
        self._end_all_s = math.inf

    def begin(self, timeout_s: float | None, now: float) -> None:
        """Take no new streams, and end those that still run after `timeout_s`."""
        self._admission.closed = "the farm is being drained: it takes no new streams"
        if timeout_s is not None:
            self._end_all_s = now + timeout_s

    def end(self) -> None:
        """Take streams again."""
        self._admission.closed = ""
        self._end_all_s = math.inf

    def next_deadline(self) -> float:
        return self._end_all_s

    def tick(self, now: float) -> list[Action]:
        """End what still runs when the time is over."""
        if now < self._end_all_s:
            return []
        self._end_all_s = math.inf
        return [
            end_stream(stream.ingest, stream.stream_id, "the farm was drained")
            for stream in self._state.streams.values()
        ]
