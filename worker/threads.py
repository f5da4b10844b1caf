"""Threads that run jobs in order, and who gets which (IO: threads, and the clock for late jobs).

A session's decoder and scaler are called in one thread and each of its encoders in one, as devices
want it. Software gives every session threads of its own, so that renditions are encoded on several
cores at once; a GPU worker shares a few among many sessions, whose frames then take turns.

Where a GPU decodes and the host encodes, one process has the encoders of many cores, and once these
are busy its threads wait for nothing longer than for the GIL. So there, renditions that are small
beside the largest share a thread, and all of them where the host is saturated; and threads that
encode are of the scheduler's batch class: when they wake they take no core away from a thread that
may have the GIL (docs/gpu-internals.md has what that gives).
"""

import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from common.process import time_slice

log = logging.getLogger("tfarm.worker.threads")

Job = Callable[[], None]


class JobThread:
    """A thread with a queue of jobs. The queue has no bound: who posts keeps count."""

    def __init__(self, name: str, schedule: Callable[[], None] = time_slice.restore) -> None:
        """`schedule` sets how the kernel schedules the thread; it is called in it.

        Who starts a thread moves media, and has a short time slice.
        """
        self._schedule = schedule
        self._jobs: queue.SimpleQueue[tuple[float, Job] | None] = queue.SimpleQueue()
        self._later: list[tuple[float, int, Job]] = []  # a heap; the thread's own
        self._order = itertools.count()
        self.done = 0  # jobs
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def ident(self) -> int:
        """Return what a report of a crash would call it."""
        return self._thread.ident or 0

    def post(self, job: Job) -> None:
        """Run `job` after those that wait already."""
        self._jobs.put((0.0, job))

    def post_later(self, job: Job, delay_s: float) -> None:
        """Run `job` in `delay_s`, other jobs meanwhile."""
        self._jobs.put((time.monotonic() + delay_s, job))

    def close(self) -> None:
        """Run what was posted, drop what waits for its time, and end the thread."""
        self._jobs.put(None)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def starved_s(self) -> float:
        """Return how long it has waited for a core so far; 0 where the kernel does not say."""
        try:
            with open(f"/proc/self/task/{self._thread.native_id}/schedstat") as file:
                return int(file.read().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0

    def _run(self) -> None:
        self._schedule()
        while True:
            job = self._due() or self._next()
            if job is None:
                return
            try:
                job()
            except BaseException:
                # Jobs see to their own errors: what comes here is a bug, and must not end a thread
                # that others share.
                log.exception("a job failed")
            del job  # it may hold pictures
            self.done += 1

    def _due(self) -> Job | None:
        """A job whose time has come."""
        if self._later and self._later[0][0] <= time.monotonic():
            return heapq.heappop(self._later)[2]
        return None

    def _next(self) -> Job | None:
        """The next job posted, waited for; None: the thread is closed."""
        while True:
            wait_s = None
            if self._later:
                wait_s = max(0.0, self._later[0][0] - time.monotonic())
            try:
                entry = self._jobs.get(timeout=wait_s)
            except queue.Empty:
                return heapq.heappop(self._later)[2]
            if entry is None:
                return None
            due_s, job = entry
            if not due_s:
                return job
            heapq.heappush(self._later, (due_s, next(self._order), job))


class SessionThreads(Protocol):
    """The source of a session's threads."""

    @property
    def can_encode_inline(self) -> bool:
        """Return whether a session's decode thread is its own, and may encode too."""
        ...

    @property
    def groups_small_encoders(self) -> bool:
        """Whether a session has few threads that encode, and one on a saturated host."""
        ...

    def for_decoding(self) -> JobThread: ...

    def for_encoding(self, samples: Sequence[int]) -> list[JobThread]:
        """The thread of each encoder of a session, by the samples of its pictures.

        One thread may be there several times, and is to be released as often.
        """
        ...

    def release(self, thread: JobThread) -> None:
        """The session needs it no more."""
        ...

    def close(self) -> None: ...


class OwnThreads:
    """Gives every decoder and every encoder a thread.

    `groups_small_encoders`: small encoders of a session share one, as where a GPU decodes and the
    host encodes.
    """

    def __init__(self, *, groups_small_encoders: bool = False) -> None:
        self.can_encode_inline = True
        self.groups_small_encoders = groups_small_encoders
        self._threads: set[JobThread] = set()

    def for_decoding(self) -> JobThread:
        return self._new("decode", time_slice.lengthen)  # it encodes too

    def for_encoding(self, samples: Sequence[int]) -> list[JobThread]:
        groups = group_encoders(samples) if self.groups_small_encoders else range(len(samples))
        schedule = partial(time_slice.lengthen, is_batch=self.groups_small_encoders)
        threads = [self._new("encode", schedule) for _ in set(groups)]
        return [threads[group] for group in groups]

    def release(self, thread: JobThread) -> None:
        if thread in self._threads:
            self._threads.discard(thread)
            thread.close()

    def close(self) -> None:
        for thread in list(self._threads):
            self.release(thread)

    def _new(self, name: str, schedule: Callable[[], None]) -> JobThread:
        thread = JobThread(name, schedule)
        self._threads.add(thread)
        return thread


class SharedThreads:
    """Shares a few threads among many sessions, on a GPU; each decoder and encoder keeps to one."""

    def __init__(self, decoders: int, encoders: int) -> None:
        self.can_encode_inline = False
        self.groups_small_encoders = False
        self._users: dict[JobThread, int] = {}
        self._decoders = [self._new(f"decode-{index}") for index in range(decoders)]
        self._encoders = [self._new(f"encode-{index}") for index in range(encoders)]

    def for_decoding(self) -> JobThread:
        return self._least_used(self._decoders)

    def for_encoding(self, samples: Sequence[int]) -> list[JobThread]:
        return [self._least_used(self._encoders) for _ in samples]

    def release(self, thread: JobThread) -> None:
        self._users[thread] -= 1

    def close(self) -> None:
        for thread in self._users:
            thread.close()

    def _new(self, name: str) -> JobThread:
        thread = JobThread(name)
        self._users[thread] = 0
        return thread

    def _least_used(self, threads: list[JobThread]) -> JobThread:
        thread = min(threads, key=lambda thread: self._users[thread])
        self._users[thread] += 1
        return thread


def group_encoders(samples: Sequence[int]) -> list[int]:
    """The group of each encoder, from 0: none has more samples than the largest encoder alone."""
    room: list[int] = []
    groups = [0] * len(samples)
    most = max(samples, default=0)
    for index in sorted(range(len(samples)), key=lambda index: -samples[index]):
        fitting = (number for number, left in enumerate(room) if left >= samples[index])
        group = next(fitting, len(room))
        if group == len(room):
            room.append(most)
        room[group] -= samples[index]
        groups[index] = group
    return groups
