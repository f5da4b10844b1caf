"""A real farm for tests: `tfarm supervisor` as a process of its own, on a free port.

Leaving the `with` block ends it with SIGTERM and asserts what every clean end owes: exit code 0,
no process left, no socket file left, no traceback in the log, every sandbox whole.
"""

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from common.errors import TfarmError
from common.ipc.kinds import KINDS
from common.ipc.status_messages import WHOLE
from common.process import sandbox
from common.process.log import stream_label
from supervisor.commands.line import client
from tests.kit.waiting import patient, until

UNCONFINED = ("leaves out threads", "no sandbox for")  # what the log says of such children
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
# Where these stand in a configuration, somebody may be sent another sound than was published.
SOUND_NEEDED = ("[web]", "[webrtc]", "srt =", "whip =", "push", "[[pull]]", "audio_only")
TFARM = str(Path(sys.executable).with_name("tfarm"))

# Small renditions: a test machine has two cores, and the clips are of 640x360.
SMALL_LADDER = """
[[templates.live.renditions]]
name = "240p"
width = 426
height = 240
bitrate = "400k"

[[templates.live.renditions]]
name = "144p"
width = 256
height = 144
fps = 15
bitrate = "150k"
profile = "baseline"
"""

# What a busy machine does to a farm says nothing of what is tested with whole farms. So the
# worker's queue is long (a rendition drops pictures when half of it is late), a device that is
# behind takes nothing from its streams, players may be a minute late, and no freeze frame fills a
# second without pictures; tests of that have `held`.
DEFAULT_CONFIG = (
    """
[listen]
rtmp = "127.0.0.1:0"

[devices]
use_gpus = false

[api]
enabled = false

[software]
workers = 1

[worker]
queue = "60s"
adapt = false

[templates.live]
gop = "1s"
hold = "0s"
filler = "none"
wait = "30s"
max_source = "640x360@60"
"""
    + SMALL_LADDER
)
# The same with viewers by HTTP; keys of [web] may follow.
WEB_CONFIG = (
    DEFAULT_CONFIG.replace('rtmp = "127.0.0.1:0"', 'rtmp = "127.0.0.1:0"\nhttp = "127.0.0.1:0"')
    + "\n[web]\nenabled = true\n"
)


def patient_with_players(config: str) -> str:
    """Return the configuration with long queues for players: those of tests read when they can."""
    if "queue" in tomllib.loads(config).get("egress", {}):
        return config
    queue = '[egress]\nqueue = "60s"\n'
    return config.replace("[egress]\n", queue) if "[egress]\n" in config else f"{config}\n{queue}"


def held(config: str, hold: str) -> str:
    """Return the configuration with streams that are held, and freeze frames meanwhile."""
    without = 'hold = "0s"\nfiller = "none"'
    assert without in config
    return config.replace(without, f'hold = "{hold}"\nfiller = "freeze"')


def tfarm(
    *arguments: str, timeout: float = 20.0, niceness: int = 0
) -> "subprocess.CompletedProcess[str]":
    """Run the command line once."""
    return subprocess.run(
        ["nice", "-n", str(niceness), TFARM, *arguments],
        capture_output=True,
        text=True,
        timeout=patient(timeout),
        check=False,
        stdin=subprocess.DEVNULL,
    )


class Farm:
    """One running farm. `config` replaces DEFAULT_CONFIG whole."""

    def __init__(
        self,
        config: str = DEFAULT_CONFIG,
        *,
        log_may_hold_traceback: bool = False,
        standbys: bool = False,
        supervisor: Sequence[str] = (TFARM, "supervisor"),
        host: str = "127.0.0.1",
    ) -> None:
        """`supervisor` is the command that starts the farm, `host` the address of its RTMP.

        `standbys`: with processes that wait, as a farm has them by default; each costs half a
        second of a core.
        """
        self.dir = Path(tempfile.mkdtemp(prefix="tfarm-test-"))
        self.run_dir = self.dir / "run"
        self.config = self.dir / "farm.toml"
        self.log_path = self.dir / "log"
        if not standbys:
            config = f"standbys = false\n{patient_with_players(config)}"
        if not any(word in config for word in (*SOUND_NEEDED, "sound =")):
            config = f"sound = false\n{config}"
        if "[api]" not in config:  # most tests ask on the command line
            config += "\n[api]\nenabled = false\n"
        if "[web]" not in config:
            config += "\n[web]\nenabled = false\n"
        if "[webrtc]" not in config:
            config += "\n[webrtc]\nenabled = false\n"
        self.config.write_text(config)
        self.port = 0
        self._log_may_hold_traceback = log_may_hold_traceback
        self._supervisor, self.host = supervisor, host
        self.process: subprocess.Popen[bytes] | None = None
        self._seen: set[psutil.Process] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.kill()
            print(f"---- log of the farm ----\n{self.log()[-20_000:]}", file=sys.stderr)
            shutil.rmtree(self.dir, ignore_errors=True)
            return
        try:
            self.stop()
        finally:
            self.kill()
        shutil.rmtree(self.dir)

    # ---- life -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the supervisor and wait until every child is ready."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._supervisor, self.config, "--run-dir", self.run_dir],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | {"PYTHONWARNINGS": "default", "PYTHONFAULTHANDLER": "1"},
            )
        process = self.process

        def is_ready() -> bool:
            assert process.poll() is None, f"the farm ended at its start:\n{self.log()}"
            return self._is_ready()

        try:
            until(is_ready, START_TIMEOUT_S, "the farm is ready", every=0.1)
        except BaseException:
            print(self.log(), file=sys.stderr)
            self.kill()
            raise
        host, _, port = self.status()["listen"]["rtmp"][0].rpartition(":")
        assert host == self.host
        self.port = int(port)
        self.processes()

    def _is_ready(self) -> bool:
        status = self.try_status()
        if status is None:
            return False
        children = status["children"]
        return bool(status["listen"]["rtmp"]) and all(c["state"] == "ready" for c in children)

    def stop(self) -> None:
        """End the farm as an operator does, and assert that it ended well."""
        assert self.process is not None
        self._look_at_sandboxes()
        processes = self.processes() | set(psutil.Process(self.process.pid).children())
        assert self.process.poll() is None, f"the farm ended by itself:\n{self.log()[-4000:]}"
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(patient(STOP_TIMEOUT_S))
        self.process = None
        left = [p for p in processes | self._seen if _is_alive(p)]
        sockets = [path for path in self.run_dir.rglob("*") if stat.S_ISSOCK(path.stat().st_mode)]
        log = self.log()
        assert code == 0, f"exit code {code}:\n{log[-4000:]}"
        assert not left, f"left behind: {[p.cmdline() for p in left]}"
        assert not sockets, f"socket files left behind: {sockets}"
        if not sandbox.missing():
            for words in UNCONFINED:
                assert words not in log, log[log.index(words) - 500 :][:2000]
        if not self._log_may_hold_traceback:
            assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
            assert "ResourceWarning" not in log, log

    def _look_at_sandboxes(self) -> None:
        """Assert that each child of a kind that has a sandbox is in it, if the kernel has one."""
        is_off = "sandbox = false" in self.config.read_text()
        if is_off or sandbox.missing():
            return
        status = self.try_status() or {"children": ()}
        for child in status["children"]:
            kind = KINDS.get(child["kind"])  # None: of a test
            if child["state"] == "ready" and kind is not None and kind.is_sandboxed:
                assert child["sandbox"] == WHOLE, f"{child['name']}: {child['sandbox']}"

    def kill(self) -> None:
        """End whatever is left, for a test that failed."""
        for process in self._seen | self._by_command_line():
            if _is_alive(process):
                process.kill()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    # ---- what it says -----------------------------------------------------------------------

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_log(self, text: str, timeout: float = 10.0) -> None:
        until(lambda: text in self.log(), timeout, f"{text!r} in the log")

    def cli(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return tfarm(*arguments, "--run-dir", str(self.run_dir))

    def try_status(self) -> dict[str, Any] | None:
        # What `tfarm status --json` prints, without a process a look: tests look often.
        try:
            return client.status(self.run_dir)
        except TfarmError:
            return None

    def status(self) -> dict[str, Any]:
        found = self.try_status()
        assert found is not None, "tfarm status failed"
        return found

    def streams(self) -> dict[str, dict[str, Any]]:
        """The streams in the status, by key."""
        return {stream["key"]: stream for stream in self.status()["streams"]}

    def players(self, key: str, rendition: str) -> dict[str, int]:
        """How many watch a rendition of a stream, by protocol."""
        renditions = self.streams()[key]["renditions"]
        return next(dict(r["players_by_protocol"]) for r in renditions if r["name"] == rendition)

    def child(self, kind: str) -> Mapping[str, Any]:
        """The first child whose name begins with `kind`."""
        found: Mapping[str, Any] = next(
            c for c in self.status()["children"] if c["name"].startswith(kind)
        )
        return found

    def wait_stream(self, *keys: str, timeout: float = 10.0) -> None:
        """Until streams have been live, each with its renditions made."""
        made: set[str] = set()

        def are_made() -> bool:
            for key, stream in self.streams().items():
                if any(r["frames"] for r in stream["renditions"] if r["name"] != "source"):
                    made.add(key)
            return made.issuperset(keys)

        until(are_made, timeout, f"transcoded: {', '.join(keys)}", every=0.2)

    def wait_gone(self, key: str, timeout: float = 10.0) -> None:
        until(lambda: key not in self.streams(), timeout, f"stream {key} is gone", every=0.2)

    def dropped(self, key: str, timeout: float = 10.0) -> int:
        """How many pictures of a stream that is over were dropped, as its closing line says."""
        begin = f"stream summary stream={stream_label(f'live/{key}')} "
        self.wait_log(begin, timeout)
        (line,) = (line for line in self.log().splitlines() if begin in line)
        said = line.partition(" dropped=")[2].partition(" ")[0]
        return sum(int(count) for count in re.findall(r":(\d+)", said))

    # ---- where it is ------------------------------------------------------------------------

    def url(self, key: str, rendition: str = "", query: str = "", app: str = "live") -> str:
        path = "/".join(part for part in (app, key, rendition) if part)
        return f"rtmp://{self.host}:{self.port}/{path}" + (f"?{query}" if query else "")

    @property
    def tls_port(self) -> int:
        """Where it takes TLS."""
        return int(self.status()["listen"]["rtmps"][0].rpartition(":")[2])

    def processes(self) -> set[psutil.Process]:
        """The supervisor, its children, and every process that names this farm's run directory.

        Not those that only wait to be a child (`common/process/standby.py`).
        """
        found = self._by_command_line()
        status = self.try_status() or {"children": ()}
        for pid in filter(None, (child["pid"] for child in status["children"])):
            with contextlib.suppress(psutil.Error):
                found.add(psutil.Process(pid))
        self._seen |= found
        return found

    def standbys(self, module: str = "") -> list[psutil.Process]:
        """The processes that wait to be a child, of this module alone or of any."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                *_, name, option = child.cmdline()
                if option == "--standby" and name.startswith(module):
                    found.append(child)
        return found

    def named_processes(self) -> list[tuple[psutil.Process, str]]:
        """The supervisor and its children, with their names."""
        names = {child["pid"]: child["name"] for child in self.status()["children"]}
        assert self.process is not None
        names[self.process.pid] = "supervisor"
        return [
            (process, names[process.pid]) for process in self.processes() if process.pid in names
        ]

    def _by_command_line(self) -> set[psutil.Process]:
        found = set()
        for process in psutil.process_iter():
            try:
                if str(self.run_dir) in process.cmdline():
                    found.add(process)
            except psutil.Error:
                continue
        return found

    def memory_bytes(self) -> int:
        """Proportional memory of the whole farm."""
        return sum(int(process.memory_full_info().pss) for process in self.processes())


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_dead(pid: int, timeout: float = 10.0) -> None:
    until(lambda: not psutil.pid_exists(pid), timeout, f"process {pid} is gone")
