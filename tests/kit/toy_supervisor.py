"""A supervisor as a process, its children toys (`toy_farm.py`), with a run directory of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from common.ipc.control_link import start_ticks
from supervisor.commands.line import client
from supervisor.commands.line.client import NotRunning
from supervisor.processes.process import is_alive
from supervisor.processes.run_dir import read_children
from tests.kit.waiting import patient

TOY_FARM = Path(__file__).with_name("toy_farm.py")
ROOT = Path(__file__).parents[2]
DEADLINE_S = patient(20.0)
NAMES = {"ingest:0", "egress:0", "worker:cpu:0", "worker:cpu:1"}
CONFIG = """
sound = false
[listen]
rtmp = "127.0.0.1:0"
[devices]
use_gpus = false
[api]
enabled = false
[web]
enabled = false
[webrtc]
enabled = false
"""


class ToyFarm:
    """A supervisor with toys in a directory of its own."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.config = run_dir / "farm.toml"
        self.config.write_text(CONFIG)
        self.log = run_dir / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True, output: int | None = None) -> None:
        """Start it; `output` is its stdout and stderr, in place of the log."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(TOY_FARM), str(self.config), "--run-dir", str(self.run_dir)],
                stdin=subprocess.DEVNULL,
                stdout=log if output is None else output,
                stderr=log if output is None else output,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"},
            )
        if wait:
            self.until(self.is_ready)

    def is_ready(self) -> bool:
        children = self.children()
        return set(children) == NAMES and all(c["state"] == "ready" for c in children.values())

    def children(self) -> dict[str, dict[str, Any]]:
        try:
            return {child["name"]: child for child in client.status(self.run_dir)["children"]}
        except NotRunning:
            return {}

    def mode(self, mode: str, child: str) -> Path:
        path = self.run_dir / f"toy-{mode}-{child.replace(':', '-')}"
        path.touch()
        return path

    def boots(self, child: str) -> list[str]:
        lines = (self.run_dir / "toy-boots").read_text().splitlines()
        return [line for line in lines if line.startswith(f"{child} ")]

    def heard(self, pid: int) -> list[str]:
        path = self.run_dir / f"toy-heard-{pid}"
        return path.read_text().split() if path.exists() else []

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            time.sleep(0.02)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        self.process = None
        return code

    def clean_up(self) -> None:
        if self.process is not None:  # first: it would start children anew
            self.process.kill()
            self.process.wait()
        for record in read_children(self.run_dir):
            if start_ticks(record.pid) == record.start_ticks:
                os.kill(record.pid, signal.SIGKILL)
                # or it may yet write into the folder that is removed next
                self.until(partial(_is_gone, record.pid))


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie: nobody may reap orphans in a container."""
    return is_alive(pid, start_ticks(pid))


def _is_gone(pid: int) -> bool:
    return not runs(pid)


def sockets(run_dir: Path) -> list[str]:
    return [path.name for path in run_dir.iterdir() if path.is_socket()]
