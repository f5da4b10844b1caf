"""Children that take too much memory, and how often all are looked at."""

import asyncio
import os
from types import SimpleNamespace
from typing import cast

import pytest

from common.config.settings import WorkerSettings
from common.ipc.identity import ChildId
from supervisor.processes import watchdog
from supervisor.processes.children import Children
from supervisor.processes.hang import ThreadState
from supervisor.processes.watchdog import Watchdog
from tests.kit.children import CPU0, CPU1, EGRESS0, INGEST0, dedicated
from tests.kit.virtual_time import run_virtually


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


@pytest.mark.parametrize(("has_streams", "looks"), [(True, 40), (False, 10)])
def test_a_farm_without_streams_is_looked_at_once_a_second(has_streams: bool, looks: int) -> None:
    asked: list[ChildId] = []

    def is_idle(child: ChildId) -> bool:
        asked.append(child)
        dog.on_message(child)
        return True

    dog = Watchdog(
        cast(Children, FakeChildren(EGRESS0)),
        WorkerSettings,
        lambda name, _: None,
        is_idle,
        lambda: has_streams,
    )
    dog.add(EGRESS0)

    async def ten_seconds() -> None:
        task = asyncio.create_task(dog.watch())
        await asyncio.sleep(10.1)
        task.cancel()

    run_virtually(ten_seconds())
    assert len(asked) == looks


@pytest.mark.parametrize("has_streams", [True, False])
def test_one_that_is_stopped_is_failed_within_three_seconds(
    has_streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "read_thread_state", lambda pid: ThreadState("T", 1))
    children = FakeChildren(EGRESS0)
    dog = Watchdog(
        cast(Children, children),
        WorkerSettings,
        lambda name, _: None,
        lambda child: True,
        lambda: has_streams,
    )
    dog.add(EGRESS0)

    async def three_seconds() -> None:
        task = asyncio.create_task(dog.watch())
        await asyncio.sleep(3.1)
        task.cancel()

    run_virtually(three_seconds())
    assert EGRESS0 in children.failed
