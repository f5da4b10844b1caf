"""supervisor/processes/standbys.py: processes that wait to be the next child."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from supervisor.processes import standbys
from supervisor.processes.standbys import Standbys
from tests.kit.waiting import until_async

ROOT = Path(__file__).parents[3]
PROGRAM = (
    sys.executable,
    "-c",
    "import os, sys; from common.process.standby import wait_for_order; wait_for_order([]);"
    "open(sys.argv[1], 'w').write(os.environ['TOY'])",
)
ENVIRON = {"TOY": "one", "PYTHONPATH": str(ROOT)}


def waiting() -> list[psutil.Process]:
    own = psutil.Process().children()
    return [p for p in own if p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standbys, "FIRST_S", 0.0)
    monkeypatch.setattr(standbys, "AGAIN_S", 0.0)


def run(scenario: Callable[[Standbys], Awaitable[None]]) -> None:
    async def with_standbys() -> None:
        found = Standbys()
        try:
            async with asyncio.timeout(20):
                await scenario(found)
        finally:
            found.close()
        assert waiting() == []

    asyncio.run(with_standbys())


def test_one_that_waits_runs_the_command(tmp_path: Path) -> None:
    async def scenario(ahead: Standbys) -> None:
        done = tmp_path / "done"
        command = (*PROGRAM, str(done))
        assert ahead.take(command, PROGRAM, ENVIRON) is None, "none has been prepared"
        for _ in range(3):
            ahead.prepare(PROGRAM, ENVIRON)
        await until_async(lambda: len(waiting()) == 1)
        assert ahead.take(command, PROGRAM, ENVIRON | {"TOY": "another"}) is None
        popen = ahead.take(command, PROGRAM, ENVIRON)
        assert popen is not None
        assert popen.wait(20) == 0
        assert done.read_text() == "one"
        assert ahead.take(command, PROGRAM, ENVIRON) is None, "it was the only one"
        ahead.prepare(PROGRAM, ENVIRON)
        await until_async(lambda: len(waiting()) == 1)

    run(scenario)


def test_one_that_has_died_is_nobodys_child_and_is_replaced(tmp_path: Path) -> None:
    async def scenario(ahead: Standbys) -> None:
        ahead.prepare(PROGRAM, ENVIRON)
        await until_async(lambda: len(waiting()) == 1)
        (dead,) = waiting()
        os.kill(dead.pid, signal.SIGKILL)
        await until_async(lambda: waiting() == [])
        assert ahead.take((*PROGRAM, str(tmp_path / "done")), PROGRAM, ENVIRON) is None
        ahead.prepare(PROGRAM, ENVIRON)
        await until_async(lambda: len(waiting()) == 1)

    run(scenario)


def test_it_ends_with_who_started_it() -> None:
    starter = (
        "import asyncio, os, sys; from supervisor.processes import standbys\n"
        "async def main():\n"
        "    standbys.FIRST_S = 0.0; ahead = standbys.Standbys()\n"
        f"    ahead.prepare({PROGRAM!r}, {ENVIRON!r}); await asyncio.sleep(0.05)\n"
        "    ((popen,),) = ahead._waiting.values(); print(popen.pid, flush=True); os._exit(0)\n"
        "asyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter], capture_output=True, text=True, timeout=30, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr

    async def ends() -> None:
        await until_async(lambda: not psutil.pid_exists(int(done.stdout)))

    asyncio.run(ends())


def test_a_program_that_is_not_there_costs_a_line(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(ahead: Standbys) -> None:
        ahead.prepare(("/no/such/program",), {})
        await until_async(lambda: "no process waits program=/no/such/program" in caplog.text)

    run(scenario)


def test_several_wait_and_each_is_one_child(tmp_path: Path) -> None:
    async def scenario(ahead: Standbys) -> None:
        ahead.prepare(PROGRAM, ENVIRON, 2)
        await until_async(lambda: len(waiting()) == 2)
        ahead.prepare(PROGRAM, ENVIRON, 2)
        taken = [ahead.take((*PROGRAM, str(tmp_path / n)), PROGRAM, ENVIRON) for n in "abc"]
        assert [popen is None for popen in taken] == [False, False, True]
        for popen in taken[:2]:
            assert popen is not None
            assert popen.wait(20) == 0

    run(scenario)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
