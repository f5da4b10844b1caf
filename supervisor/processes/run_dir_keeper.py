"""Keeps the run directory of a running farm (IO): what is removed from it is made again.

A cleaner of /tmp, or a hand, may remove it, or single files. Links that stand go on without their
files, so streams and players notice nothing; but nobody could come in any more. So each second the
supervisor looks: it makes the directory, takes the lock and listens on the control socket anew.
Egress binds its sockets again by itself (`egress/run.py`). Whoever cannot, as a worker in its
sandbox, is started anew, one at a time. Where none of that can be done, since the place is somebody
else's now, the farm ends, for whoever started it to start it again.
"""

import logging
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from common.ipc.control_link import CONTROL_SOCKET
from common.ipc.control_messages import Hello
from common.ipc.endpoint import socket_path
from common.ipc.identity import ChildId
from supervisor.processes import run_dir as run_directory
from supervisor.processes.children import Children
from supervisor.processes.control import Control
from supervisor.processes.lifecycle import ChildState
from supervisor.processes.run_dir import CHILDREN, RunDirError, RunDirLock

log = logging.getLogger("tfarm.supervisor.processes.run_dir_keeper")

FAILURES = 3  # to make it again, a second apart: then it is lost
CUT_OFF_S = 3.0  # without its sockets' files, for a child to bind them again


class KnowsHellos(Protocol):
    """The farm: the last hello of each child that is up."""

    @property
    def hellos(self) -> Mapping[ChildId, Hello]: ...


class CutOff:
    """Which child is to be started anew for its sockets' files are gone. Pure."""

    def __init__(self) -> None:
        self._since_s: dict[ChildId, float] = {}

    def next_one(
        self, cut_off: Collection[ChildId], now: float, *, all_run: bool
    ) -> ChildId | None:
        """Return one that has been cut off for long enough; one at a time, while the others run."""
        self._since_s = {child: self._since_s.get(child, now) for child in cut_off}
        if not all_run:
            return None
        return next((c for c, since in self._since_s.items() if now - since >= CUT_OFF_S), None)


class RunDirKeeper:
    """Of one supervisor, which holds the lock."""

    def __init__(
        self,
        run_dir: Path,
        lock: RunDirLock,
        control: Control,
        children: Children,
        farm: KnowsHellos,
        fail: Callable[[str], None],
    ) -> None:
        """`fail` ends the farm, with a reason."""
        self._run_dir = run_dir
        self._lock = lock
        self._control = control
        self._children = children
        self._farm = farm
        self._fail = fail
        self._cut_off = CutOff()
        self._failures = 0  # to make it again, in a row
        self._is_lost = False

    def check(self, now: float) -> None:
        """Look for what is gone; due once a second."""
        if self._is_lost:
            return
        try:
            self._heal()
        except (RunDirError, OSError) as error:
            self._failures += 1
            if self._failures < FAILURES:
                return
            self._is_lost = True
            log.error("run directory lost path=%s reason=%s", self._run_dir, error)
            self._fail(f"the run directory is lost: {error}")
            return
        self._failures = 0
        children = self._children.by_id.values()
        all_run = all(child.machine.state is ChildState.READY for child in children)
        cut_off = [hello.child for hello in self._farm.hellos.values() if _is_cut_off(hello)]
        child = self._cut_off.next_one(cut_off, now, all_run=all_run)
        if child is not None:
            self._children.fail_and_restart(child, "its sockets were removed")

    def clear(self) -> None:
        """After a clean end: leave nothing of this farm's, and all of another's."""
        if not self._is_lost and self._lock.is_in_place():
            run_directory.clear(self._run_dir)

    def _heal(self) -> None:
        made = []
        if not self._lock.is_in_place():
            run_directory.prepare(self._run_dir)
            self._lock.renew()
            made.append("lock")
        if not os.path.lexists(self._run_dir / CONTROL_SOCKET):
            self._control.listen_again()
            made.append("control socket")
        if not os.path.lexists(self._run_dir / CHILDREN):
            self._children.record()
            made.append("list of children")
        if made:
            what = ", ".join(made)
            log.warning("run directory made again path=%s what=%s", self._run_dir, what)


def _is_cut_off(hello: Hello) -> bool:
    endpoint = hello.endpoint
    addresses = (
        endpoint.media,
        endpoint.tags,
        endpoint.handover,
        endpoint.pictures,
        endpoint.pools,
    )
    return any(a and not os.path.lexists(socket_path(a)) for a in addresses)
