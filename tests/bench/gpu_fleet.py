"""A farm, its publishers and its players for `gpu_farm`, each in processes of their own.

The farm is `python -P -m supervisor` as an operator's service runs it: on given cores, with an
environment of its own (a driver simulator, say). Publishers and players are `tests.faults.load`'s,
in spawned processes on other cores, steered through a pipe. CLOCK_MONOTONIC is one clock for all.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from supervisor.commands.line import client
from tests.faults.load import Load, LoadPublisher, Picture, Script
from tests.kit.clients import FlvTag

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PATH = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
READY_S = 60.0
STOP_S = 8.0


@dataclass
class Sent:
    """What became of one publisher."""

    left_s: dict[int, float] = field(default_factory=dict)  # by DTS: when it was written
    losses: int = 0
    refusals: list[str] = field(default_factory=list)


@dataclass
class Played:
    """What one player got."""

    key: str
    rendition: str
    losses: int
    headers: list[Picture]
    pictures: list[Picture]

    def stamps(self) -> list[int]:
        return [picture.dts_ms for picture in self.pictures]


@dataclass
class Collected:
    """All that a fleet did."""

    sent: dict[str, Sent]
    played: list[Played]
    late_s: float

    def of(self, key: str, rendition: str) -> Played:
        return next(p for p in self.played if (p.key, p.rendition) == (key, rendition))


class _TimedPublisher(LoadPublisher):
    """Notes when each picture was written."""

    def __init__(self, load: Load, url: str, key: str, script: Script) -> None:
        super().__init__(load, url, key, script)
        self.left_s: dict[int, float] = {}

    def _send_tag(self, tag: FlvTag, at_ms: int) -> None:
        super()._send_tag(tag, at_ms)
        if tag.type == 9 and not tag.is_header:
            self.left_s[at_ms] = time.monotonic()

    def _lost(self, now: float) -> None:
        self.again = False  # one that the farm ended stays away
        super()._lost(now)


def _serve(pipe: Connection, tags: Sequence[FlvTag], length_ms: int, cores: Sequence[int]) -> None:
    """A fleet's process: commands in, answers out, until "end"."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if cores:
        os.sched_setaffinity(0, cores)
    script = Script(tags, length_ms)
    publishers: dict[str, _TimedPublisher] = {}
    with Load() as load:
        while True:
            command, *arguments = pipe.recv()
            match command:
                case "publish":
                    url, key = arguments
                    publisher = _TimedPublisher(load, url, key, script)
                    publisher.again = False
                    publishers[key] = publisher

                    def begin(publisher: _TimedPublisher = publisher, key: str = key) -> None:
                        load.publishers[key] = publisher
                        publisher.connect()

                    load.ask(begin)
                    pipe.send(None)
                case "play":
                    url, key, rendition, keep = arguments
                    load.play(url, key, rendition, keep=keep)
                    pipe.send(None)
                case "collect":
                    (since_s,) = arguments

                    def collect(since_s: float = since_s) -> Collected:
                        return _collect(load, publishers, since_s)

                    pipe.send(load.ask(collect))
                case _:
                    return


def _collect(load: Load, publishers: Mapping[str, _TimedPublisher], since_s: float) -> Collected:
    played = []
    for player in load.players:
        came = [picture for picture in player.pictures if picture.came_s >= since_s]
        headers = [picture for picture in came if picture.is_header]
        pictures = [picture for picture in came if not picture.is_header]
        played.append(Played(player.key, player.rendition, player.losses, headers, pictures))
    sent = {}
    for key, publisher in publishers.items():
        left_s = {dts_ms: at_s for dts_ms, at_s in publisher.left_s.items() if at_s >= since_s}
        sent[key] = Sent(left_s, publisher.losses, list(publisher.refusals))
    return Collected(sent, played, load.late_s)


class Fleet:
    """Publishers or players in one process; leaving the `with` block ends them."""

    def __init__(
        self, tags: Sequence[FlvTag] = (), length_ms: int = 0, cores: Sequence[int] = ()
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        arguments = (theirs, list(tags), length_ms, list(cores))
        self._process = spawn.Process(target=_serve, args=arguments, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(("end",))
        self._process.join(3)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def publish(self, url: str, key: str) -> None:
        self._ask("publish", url, key)

    def play(self, url: str, key: str, rendition: str, *, keep: bool = False) -> None:
        """`keep` keeps the pictures' bytes."""
        self._ask("play", url, key, rendition, keep)

    def collect(self, since_s: float = 0.0) -> Collected:
        """What was sent and came from that moment on; it all goes on."""
        collected: Collected = self._ask("collect", since_s)
        return collected

    def cpu_seconds(self) -> float:
        """CPU so far."""
        assert self._process.pid is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def _ask(self, *command: object) -> Any:
        self._pipe.send(command)
        if not self._pipe.poll(20):
            raise TimeoutError("publishers and players do not answer")
        return self._pipe.recv()


class RunningFarm:
    """`python -P -m supervisor` with a configuration; ends with the `with` block."""

    def __init__(
        self,
        config: str,
        log_path: Path,
        *,
        environ: Mapping[str, str] | None = None,
        cores: Sequence[int] = (),
    ) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="tf-"))
        self.run_dir = self.dir / "run"
        self.log_path = log_path
        self.ready_s = 0.0  # what the start took
        self.end_code: int | None = None
        (self.dir / "farm.toml").write_text(config)
        # the repository first, for the children too: they are started with -P
        path = os.pathsep.join([*PYTHON_PATH, str(ROOT)])
        self._environ = {**os.environ, "PYTHONPATH": path, **(environ or {})}
        self._cores = cores
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        mine = os.sched_getaffinity(0)
        begun_s = time.monotonic()
        try:
            if self._cores:
                os.sched_setaffinity(0, self._cores)  # inherited
            with self.log_path.open("ab") as log:
                command = [sys.executable, "-P", "-m", "supervisor", str(self.dir / "farm.toml")]
                self._process = subprocess.Popen(
                    [*command, "--run-dir", str(self.run_dir)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=self._environ,
                )
        finally:
            os.sched_setaffinity(0, mine)
        try:
            self.wait(self._is_ready, READY_S, "the farm is ready")
        except BaseException:
            self.kill()
            raise
        self.ready_s = time.monotonic() - begun_s
        self.port = int(self.status()["listen"]["rtmp"][0].rpartition(":")[2])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.end_code = process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """End whatever is left of it."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.run_dir) in process.cmdline():
                    found.append(process)
        return found

    def status(self) -> dict[str, Any]:
        return client.status(self.run_dir)

    def streams(self) -> dict[str, dict[str, Any]]:
        return {stream["key"]: stream for stream in self.status()["streams"]}

    def workers(self) -> dict[str, dict[str, Any]]:
        """The workers' children entries, by device."""
        return {
            child["name"].partition(":")[2]: child
            for child in self.status()["children"]
            if child["kind"] == "worker"
        }

    def spread(self) -> dict[str, int]:
        """Streams a device."""
        spread: dict[str, int] = {}
        for worker in self.status()["devices"]:
            spread[worker["device"]] = spread.get(worker["device"], 0) + worker["streams"]
        return spread

    def url(self, key: str, rendition: str = "", app: str = "live") -> str:
        path = "/".join(part for part in (app, key, rendition) if part)
        return f"rtmp://127.0.0.1:{self.port}/{path}"

    def wait(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Look until the condition holds; what that took. Raises TimeoutError."""
        begun_s = time.monotonic()
        while not condition():
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"the farm ended by itself:\n{self.tail()}")
            if time.monotonic() - begun_s > seconds:
                raise TimeoutError(f"not within {seconds:g} s: {what}\n{self.tail()}")
            time.sleep(0.1)
        return time.monotonic() - begun_s

    def wait_made(self, keys: Sequence[str], seconds: float = 20.0) -> float:
        """Until every rendition of these streams is being made."""

        def are_made() -> bool:
            streams = self.streams()
            return all(
                key in streams
                and all(r["frames"] for r in streams[key]["renditions"] if r["name"] != "source")
                for key in keys
            )

        return self.wait(are_made, seconds, f"renditions of {', '.join(keys)}")

    def tail(self, size: int = 2500) -> str:
        return self.log_path.read_text(errors="replace")[-size:]

    def cpu_seconds(self) -> dict[str, float]:
        """CPU so far, by kind of process."""
        spent: dict[str, float] = {}
        for child in [*self.status()["children"], self.status()["supervisor"]]:
            with contextlib.suppress(psutil.Error):
                times = psutil.Process(child["pid"]).cpu_times()
                kind = child["name"].partition(":")[0]
                spent[kind] = spent.get(kind, 0.0) + times.user + times.system
        return spent

    def starved_seconds(self) -> float:
        """What the threads of workers and encoder processes have waited for a core so far."""
        waited_ns = 0
        for child in self.status()["children"]:
            if child["kind"] not in ("worker", "encoder"):
                continue
            for path in Path(f"/proc/{child['pid']}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError, IndexError, ValueError):
                    waited_ns += int(path.read_text().split()[1])
        return waited_ns / 1e9

    def _is_ready(self) -> bool:
        try:
            status = self.status()
        except client.NotRunning:
            return False
        states = [child["state"] for child in status["children"]]
        return bool(status["listen"]["rtmp"]) and all(state == "ready" for state in states)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """TimeoutError in the main thread when the block takes longer."""

    def on_alarm(number: int, frame: object) -> None:
        raise TimeoutError(f"not done within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of the driver simulator's log."""
    rows = []
    with path.open() as file:
        for line in file:
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return rows
