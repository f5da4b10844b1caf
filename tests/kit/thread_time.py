"""Time for sessions under test that passes only while all of their lanes wait.

However slow the machine is, what takes a lane a quarter of a second takes it that, and what takes
no time by the test's account takes none. `WatchedLanes` tell whether a lane has anything to do.
"""

import threading
import time
from collections.abc import Callable

from common.process import time_slice
from worker.threads import Job, Lane, OwnLanes

DEADLINE_S = 30.0


class WatchedLane(Lane):
    """Counts what it is given."""

    def __init__(self, name: str, schedule: Callable[[], None] = time_slice.restore) -> None:
        self.posted = 0
        self._posting = threading.Lock()  # any thread may post
        super().__init__(name, schedule)

    def post(self, job: Job) -> None:
        with self._posting:
            self.posted += 1
        super().post(job)

    @property
    def thread(self) -> threading.Thread:
        return self._thread


class WatchedLanes(OwnLanes):
    """Lanes of a session's own."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[WatchedLane] = []

    def _new(self, name: str, schedule: Callable[[], None]) -> Lane:
        lane = WatchedLane(name, schedule)
        self._lanes.add(lane)
        self.made.append(lane)
        return lane


class LaneTime:
    """A clock. Lanes `sleep` by it; the test's own thread lets it pass."""

    def __init__(self, lanes: WatchedLanes, start_s: float = 1000.0) -> None:
        self._lanes = lanes
        self._now_s = start_s
        self._passed = threading.Condition()
        self._sleepers: dict[threading.Thread, float] = {}  # until when each of them sleeps

    def __call__(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """Keep the lane whose job calls this busy for so long."""
        with self._passed:
            until_s = self._now_s + seconds
            self._sleepers[threading.current_thread()] = until_s
            assert self._passed.wait_for(lambda: self._now_s >= until_s, DEADLINE_S)

    def skip(self, seconds: float) -> None:
        """Let so much pass at once, whoever is busy; from any thread."""
        with self._passed:
            self._now_s += seconds

    def run_to(self, until_s: float) -> None:
        """Let time pass up to then, and all be done that is due by then."""
        while True:
            self._settle()
            with self._passed:
                next_s = min(self._sleepers.values(), default=until_s)
                if next_s >= until_s:
                    self._now_s = max(self._now_s, until_s)
                else:
                    self._now_s = next_s
                woken = [who for who, due_s in self._sleepers.items() if due_s <= self._now_s]
                for who in woken:
                    del self._sleepers[who]
                self._passed.notify_all()
            if not woken and self._now_s >= until_s:
                return

    def run_out(self) -> None:
        """Let time pass until nothing is left to do."""
        self._settle()
        while self._sleepers:
            self.run_to(min(self._sleepers.values()))

    def _settle(self) -> None:
        """Wait until every lane sleeps or has nothing to do."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not self._is_settled():
            assert time.monotonic() < deadline_s, "a lane does not come to rest"
            time.sleep(0.0002)

    def _is_settled(self) -> bool:
        # What was done is read before what was posted: if both are the same, nothing was under way
        # in between, and whoever sleeps goes on sleeping.
        with self._passed:
            awake = [lane for lane in self._lanes.made if lane.thread not in self._sleepers]
        done = sum(lane.done for lane in awake)
        return done == sum(lane.posted for lane in awake)
