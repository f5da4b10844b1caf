"""Carries out the farm's actions, and wakes the farm at its deadlines (IO: asyncio)."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

from common.ipc.identity import ChildId
from supervisor.farm.actions import Action, FailChild, Send, StartWorker, StopWorker
from supervisor.farm.farm import Farm
from supervisor.farm.stream import NO_INGEST
from supervisor.processes.children import Children
from supervisor.processes.control import Control
from supervisor.processes.launcher import Launcher

log = logging.getLogger("tfarm.supervisor.executor")


class Executor:
    """Stands between what the farm decides and the children."""

    def __init__(
        self, farm: Farm, control: Control, children: Children, launcher: Launcher
    ) -> None:
        self._farm = farm
        self._control = control
        self._children = children
        self._launcher = launcher
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def execute(self, actions: Sequence[Action]) -> None:
        """Carry actions out, and look when the farm's next deadline is."""
        for action in actions:
            match action:
                case Send(child, _) if child == NO_INGEST:
                    pass
                case Send(child, message, payloads):
                    if not self._control.send(child, message, payloads):
                        log.warning(
                            "message not sent child=%s kind=%s", child, type(message).__name__
                        )
                case FailChild(child, reason):
                    self._children.fail_and_restart(child, reason)
                case StartWorker(child):
                    log.warning("starting a dedicated worker child=%s", child)
                    self._children.start(self._launcher.spec(child))
                case StopWorker(child):
                    # not while the child's own event is still being seen to
                    self._loop.call_soon(self._children.remove, child)
        self._set_timer()

    def measure(self, worker: ChildId, used_bytes: int) -> None:
        """A worker's process has so much memory; use what room that frees."""
        self._farm.devices.measure(worker, used_bytes)
        if self._farm.state.has_freed:
            self.execute(self._farm.tick(self._loop.time()))

    def on_gpu_lost(self, uuid: str, reason: str) -> None:
        """A GPU is lost; called from the watch's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._fail_gpu, uuid, reason)

    def _fail_gpu(self, uuid: str, reason: str) -> None:
        """Fail a GPU's workers, which may not see it: what is on the bus no more cannot fail."""
        log.error("GPU lost uuid=%s reason=%s", uuid, reason)
        workers = [worker for worker in self._farm.state.fleet.devices if worker.device == uuid]
        for worker in workers:  # all, before the first one's streams look for room
            self._farm.devices.lost(worker, reason, for_sure=True)
        for worker in workers:
            self._children.fail_and_restart(worker, reason)

    def close(self) -> None:
        """Wake the farm no more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._farm.next_deadline()
        if deadline < float("inf") and not self._is_closed:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.execute(self._farm.tick(self._loop.time()))
