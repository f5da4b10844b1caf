"""Children that take too much memory, as the supervisor looks for them."""

import os
from types import SimpleNamespace
from typing import cast

from common.config.settings import WorkerSettings
from common.ipc.identity import ChildId
from supervisor.processes.children import Children
from supervisor.processes.watchdog import Watchdog
from tests.kit.children import CPU0, CPU1, EGRESS0, INGEST0, dedicated


class FakeFamily:
    """Workers that all are this process; one more comes whenever one is condemned."""

    def __init__(self, *names: ChildId) -> None:
        self.condemned: list[ChildId] = []
        self.members = {name: self._member(name) for name in names}

    def fail_and_restart(self, name: ChildId, reason: str) -> None:
        self.condemned.append(name)
        own = dedicated(len(self.condemned))
        self.members[own] = self._member(own)

    def _member(self, name: ChildId) -> SimpleNamespace:
        return SimpleNamespace(kind=name.kind, process=SimpleNamespace(pid=os.getpid()))


def looked_at(children: FakeFamily, limit: int) -> list[ChildId]:
    settings = WorkerSettings(max_memory_bytes=limit)
    Watchdog(cast(Children, children), lambda: settings).watch_memory()
    return children.condemned


def test_workers_above_the_limit_are_condemned_also_while_others_are_started_for_it() -> None:
    children = FakeFamily(EGRESS0, CPU0, CPU1, INGEST0)
    assert looked_at(children, 1) == [CPU0, CPU1]
    assert looked_at(FakeFamily(CPU0), 1 << 40) == []
