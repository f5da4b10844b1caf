"""Processes by exec and pidfd: real ones."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any

from common.ipc.control_link import start_ticks
from supervisor.processes.process import Process, is_alive, kill_stranger
from tests.kit.waiting import patient

SLEEP = (sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()")
DEADLINE_S = patient(10.0)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, DEADLINE_S))


def sleeper() -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(SLEEP, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def end(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.communicate()


def test_an_exit_code_is_told_once() -> None:
    async def scenario() -> None:
        codes: asyncio.Queue[int | None] = asyncio.Queue()
        argv = (sys.executable, "-c", "raise SystemExit(3)")
        process = Process.spawn(argv, os.environ, codes.put_nowait)
        assert await codes.get() == 3
        process.send_signal(signal.SIGKILL)  # it is gone: nothing
        assert codes.empty()

    run(scenario())


def test_a_child_leads_a_session_of_its_own_and_dies_by_signal() -> None:
    async def scenario() -> None:
        codes: asyncio.Queue[int | None] = asyncio.Queue()
        argv = (sys.executable, "-c", "import time; time.sleep(60)")
        process = Process.spawn(argv, os.environ, codes.put_nowait)
        assert os.getsid(process.pid) == process.pid
        assert is_alive(process.pid, process.start_ticks)
        process.send_signal(signal.SIGKILL)
        assert await codes.get() == -9
        assert not is_alive(process.pid, process.start_ticks)

    run(scenario())


def test_an_adopted_process_is_watched_and_signalled() -> None:
    child = sleeper()

    async def scenario() -> None:
        codes: asyncio.Queue[int | None] = asyncio.Queue()
        ticks = start_ticks(child.pid)
        process = Process.adopt(child.pid, ticks, codes.put_nowait)
        process.send_signal(signal.SIGTERM)
        assert await codes.get() == -signal.SIGTERM, "it is this process's own child"

    run(scenario())
    end(child)


def test_a_reused_pid_is_not_adopted() -> None:
    child = sleeper()

    async def scenario() -> None:
        codes: asyncio.Queue[int | None] = asyncio.Queue()
        Process.adopt(child.pid, start_ticks(child.pid) + 1, codes.put_nowait)
        assert await codes.get() is None

    run(scenario())
    assert child.poll() is None
    end(child)


def test_a_process_that_is_gone_already_is_told_as_gone() -> None:
    child = sleeper()
    ticks = start_ticks(child.pid)
    end(child)

    async def scenario() -> None:
        codes: asyncio.Queue[int | None] = asyncio.Queue()
        Process.adopt(child.pid, ticks, codes.put_nowait)
        assert await codes.get() is None

    run(scenario())


def test_a_forgotten_child_goes_on() -> None:
    async def scenario() -> None:
        codes: asyncio.Queue[int | None] = asyncio.Queue()
        argv = (sys.executable, "-c", "import time; time.sleep(60)")
        process = Process.spawn(argv, os.environ, codes.put_nowait)
        process.forget()
        assert is_alive(process.pid, process.start_ticks)
        assert kill_stranger(process.pid, process.start_ticks, signal.SIGKILL)
        assert codes.empty()
        pids.append(process.pid)

    pids: list[int] = []
    run(scenario())
    os.waitpid(pids[0], 0)


def test_a_stranger_is_only_signalled_if_it_still_is_the_one_meant() -> None:
    child = sleeper()
    assert not kill_stranger(child.pid, start_ticks(child.pid) + 1, signal.SIGKILL)
    assert child.poll() is None
    assert kill_stranger(child.pid, start_ticks(child.pid), signal.SIGKILL)
    child.communicate()
    assert child.returncode == -9
    assert not kill_stranger(child.pid, 1, signal.SIGKILL)
