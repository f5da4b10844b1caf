"""Children that take too much memory, as the supervisor looks for them."""

import os
from types import SimpleNamespace
from typing import cast

from common.config.settings import WorkerSettings
from common.ipc.identity import ChildName
from supervisor.processes.children import Children
from supervisor.processes.watchdog import Watchdog


class FakeFamily:
    """Workers that all are this process; one more comes whenever one is condemned."""

    def __init__(self, *names: str) -> None:
        self.condemned: list[str] = []
        self.members = {ChildName(name): self._member(name) for name in names}

    def fail_and_restart(self, name: ChildName, reason: str) -> None:
        self.condemned.append(name)
        own = f"worker:cpu:q{len(self.condemned)}"
        self.members[ChildName(own)] = self._member(own)

    def _member(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(
            kind=name.partition(":")[0], process=SimpleNamespace(pid=os.getpid())
        )


def looked_at(children: FakeFamily, limit: int) -> list[str]:
    settings = WorkerSettings(max_memory_bytes=limit)
    Watchdog(cast(Children, children), lambda: settings).watch_memory()
    return children.condemned


def test_workers_above_the_limit_are_condemned_also_while_others_are_started_for_it() -> None:
    children = FakeFamily("egress:0", "worker:cpu:0", "worker:cpu:1", "ingest:0")
    assert looked_at(children, 1) == ["worker:cpu:0", "worker:cpu:1"]
    assert looked_at(FakeFamily("worker:cpu:0"), 1 << 40) == []
