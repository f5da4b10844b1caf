"""Time for sessions under test that passes only while all of their threads wait.

However slow the machine is, what takes a thread a quarter of a second takes it that, and what takes
no time by the test's account takes none. `WatchedThreads` tell whether a thread has anything to do.
"""

import threading
import time
from collections.abc import Callable

from common.process import time_slice
from tests.kit.waiting import patient
from worker.threads import Job, JobThread, OwnThreads

DEADLINE_S = patient(30.0)


class WatchedThread(JobThread):
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


class WatchedThreads(OwnThreads):
    """Threads of a session's own."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[WatchedThread] = []

    def _new(self, name: str, schedule: Callable[[], None]) -> JobThread:
        thread = WatchedThread(name, schedule)
        self._threads.add(thread)
        self.made.append(thread)
        return thread


class ThreadTime:
    """A clock. Threads `sleep` by it; the test's own thread lets it pass."""

    def __init__(self, threads: WatchedThreads, start_s: float = 1000.0) -> None:
        self._threads = threads
        self._now_s = start_s
        self._passed = threading.Condition()
        self._sleepers: dict[threading.Thread, float] = {}  # until when each of them sleeps

    def __call__(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        """Keep the thread whose job calls this busy for so long."""
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
        """Wait until every thread sleeps or has nothing to do."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not self._is_settled():
            assert time.monotonic() < deadline_s, "a thread does not come to rest"
            time.sleep(0.0002)

    def _is_settled(self) -> bool:
        # What was done is read before what was posted: if both are the same, nothing was under way
        # in between, and whoever sleeps goes on sleeping.
        with self._passed:
            awake = [thread for thread in self._threads.made if thread.thread not in self._sleepers]
        done = sum(thread.done for thread in awake)
        return done == sum(thread.posted for thread in awake)
