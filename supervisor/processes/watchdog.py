"""Finds children that run but do not work (IO: asyncio, /proc): missed heartbeats, and leaks.

`Children` kills what it finds, and starts it anew.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial

from common.config.settings import WorkerSettings
from common.ipc.identity import ChildId
from common.ipc.kinds import HEARTBEAT_S, KINDS
from common.process.awake_clock import AwakeClock
from supervisor.processes.children import Children
from supervisor.processes.hang import MissedHeartbeats
from supervisor.processes.proc_stat import read_thread_state, rss_bytes

log = logging.getLogger("tfarm.supervisor.processes.watchdog")

CHECK_S = 0.25  # between two checks of heartbeats …
IDLE_CHECK_S = 1.0  # … of a farm without streams


class Watchdog:
    """Watches the children of one supervisor."""

    def __init__(
        self,
        children: Children,
        settings: Callable[[], WorkerSettings],
        on_memory: Callable[[ChildId, int], object],
        is_idle: Callable[[ChildId], bool] = lambda child: False,
        has_streams: Callable[[], bool] = lambda: True,
    ) -> None:
        """`on_memory` gets the bytes of each child whose memory is limited, once a second.

        `is_idle` says of a child that it has nothing to do: its heartbeats are seldom.
        """
        self._has_streams = has_streams
        self._is_idle = is_idle
        self._children = children
        self._on_memory = on_memory
        self._settings = settings
        self._messages: Counter[ChildId] = Counter()  # received
        self._missed: dict[ChildId, MissedHeartbeats] = {}

    def add(self, child: ChildId) -> None:
        """Watch a child that came up."""
        self._missed[child] = MissedHeartbeats(self._settings().hang_timeout_s)

    def remove(self, child: ChildId) -> None:
        """Watch a child no more."""
        self._missed.pop(child, None)

    def on_message(self, child: ChildId) -> None:
        """Count a message of a child: each is as good as a heartbeat."""
        self._messages[child] += 1

    async def watch(self) -> None:
        """Fail children that have stopped, or sleep and send nothing any more."""
        loop = asyncio.get_running_loop()
        clock = AwakeClock(2 * CHECK_S)
        while True:
            check_s = CHECK_S if self._has_streams() else IDLE_CHECK_S
            await asyncio.sleep(check_s)
            awake_s = clock.tick(loop.time(), 2 * check_s)
            try:
                self._check_heartbeats(awake_s)
            except Exception:
                # What is wrong with one check must not end the supervisor.
                log.exception("checking heartbeats failed")

    def check_memory(self) -> None:
        """Fail workers above the limit: one that leaks would take the whole host along."""
        try:
            self._check_memory()
        except Exception:
            log.exception("checking the workers' memory failed")

    def _check_heartbeats(self, awake_s: float) -> None:
        for name, missed in list(self._missed.items()):
            child = self._children.by_id.get(name)
            process = child.process if child is not None else None
            if process is None:
                continue
            interval_s = HEARTBEAT_S if self._is_idle(name) else KINDS[name.kind].heartbeat_s
            state = partial(read_thread_state, process.pid)
            reason = missed.observe(self._messages[name], awake_s, interval_s, state)
            if reason is not None:
                self._children.fail_and_restart(name, reason)

    def _check_memory(self) -> None:
        limit = self._settings().max_memory_bytes
        # killing one may start another: a dedicated worker
        for name, child in list(self._children.by_id.items()):
            if KINDS[child.kind].memory_is_limited and child.process is not None:
                used = rss_bytes(child.process.pid)
                self._on_memory(name, used)
                if used > limit:
                    self._children.fail_and_restart(
                        name, f"{used >> 20} MiB exceed {limit >> 20} MiB"
                    )
