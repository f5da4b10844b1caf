"""Children that take too much memory."""

import os
from types import SimpleNamespace
from typing import cast

from common.config.settings import WorkerSettings
from common.ipc.identity import ChildId
from supervisor.processes.children import Children
from supervisor.processes.watchdog import Watchdog
from tests.kit.children import CPU0, CPU1, EGRESS0, INGEST0, dedicated


class FakeChildren:
    """Workers that all are this process; one more comes whenever one is failed."""

    def __init__(self, *names: ChildId) -> None:
        self.failed: list[ChildId] = []
        self.measured: list[ChildId] = []  # whose memory was told
        self.by_id = {name: self._member(name) for name in names}

    def fail_and_restart(self, name: ChildId, reason: str) -> None:
        self.failed.append(name)
        own = dedicated(len(self.failed))
        self.by_id[own] = self._member(own)

    def _member(self, name: ChildId) -> SimpleNamespace:
        return SimpleNamespace(kind=name.kind, process=SimpleNamespace(pid=os.getpid()))


def failed_by(children: FakeChildren, limit: int) -> list[ChildId]:
    settings = WorkerSettings(max_memory_bytes=limit)
    children.measured = []
    Watchdog(
        cast(Children, children), lambda: settings, lambda name, _: children.measured.append(name)
    ).check_memory()
    return children.failed


def test_workers_above_the_limit_are_failed_also_while_others_are_started_for_it() -> None:
    children = FakeChildren(EGRESS0, CPU0, CPU1, INGEST0)
    assert failed_by(children, 1) == [CPU0, CPU1]
    assert children.measured == [CPU0, CPU1]
    assert failed_by(FakeChildren(CPU0), 1 << 40) == []
