"""Looks after children that run but do not work (IO: asyncio, /proc): silent ones, and leaks.

What it finds is condemned; the family kills it and starts it anew.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial

from common.config.settings import WorkerSettings
from common.ipc.control_link import BEAT_S, WORKER_BEAT_S
from common.ipc.identity import ChildId
from common.process.awake_clock import AwakeClock
from supervisor.processes.children import Children
from supervisor.processes.hang import Silence
from supervisor.processes.proc_stat import look_at, rss_bytes

log = logging.getLogger("tfarm.supervisor.processes.watchdog")

WATCH_S = 0.25  # between looks for children that have fallen silent


class Watchdog:
    """Over one family."""

    def __init__(self, children: Children, settings: Callable[[], WorkerSettings]) -> None:
        self._children = children
        self._settings = settings
        self._beats: Counter[ChildId] = Counter()  # messages heard
        self._silences: dict[ChildId, Silence] = {}

    def begin(self, child: ChildId) -> None:
        """It is up."""
        beat_s = WORKER_BEAT_S if child.kind == "worker" else BEAT_S
        self._silences[child] = Silence(beat_s, self._settings().hang_timeout_s)

    def end(self, child: ChildId) -> None:
        self._silences.pop(child, None)

    def heard(self, child: ChildId) -> None:
        """It said something."""
        self._beats[child] += 1

    async def watch(self) -> None:
        """Give up children that have stopped, or sleep and say nothing any more."""
        loop = asyncio.get_running_loop()
        clock = AwakeClock(2 * WATCH_S)
        while True:
            await asyncio.sleep(WATCH_S)
            awake_s = clock.tick(loop.time())
            try:
                self._look_for_silence(awake_s)
            except Exception:
                # What is wrong with one look must not end the supervisor.
                log.exception("looking for silent children failed")

    def watch_memory(self) -> None:
        """A worker that leaks takes the whole host with it, if it is let."""
        try:
            self._look_for_growth()
        except Exception:
            log.exception("looking at the workers' memory failed")

    def _look_for_silence(self, awake_s: float) -> None:
        for name, silence in list(self._silences.items()):
            member = self._children.members.get(name)
            process = member.process if member is not None else None
            if process is None:
                continue
            reason = silence.observe(self._beats[name], awake_s, partial(look_at, process.pid))
            if reason is not None:
                self._children.fail_and_restart(name, reason)

    def _look_for_growth(self) -> None:
        limit = self._settings().max_memory_bytes
        # killing one may start another: a stream's own
        for name, member in list(self._children.members.items()):
            if member.kind == "worker" and member.process is not None:
                used = rss_bytes(member.process.pid)
                if used > limit:
                    self._children.fail_and_restart(
                        name, f"{used >> 20} MiB exceed {limit >> 20} MiB"
                    )
