"""The shell of a child, with a service that notes what it is told."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from common.config.settings import Settings
from common.errors import BootFailed, DeviceLost, ExitCode, Unusable
from common.ipc.bus import Bus
from common.ipc.child import ChildProcess, ChildService, child_parser
from common.ipc.control_link import control_address
from common.ipc.control_messages import (
    Configure,
    Endpoint,
    Fatal,
    Heartbeat,
    Hello,
    Readmit,
    Topology,
    Welcome,
)
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, StreamId
from common.ipc.kinds import KINDS
from tests.kit.children import EGRESS1

KIND = KINDS["egress"]
SUPERVISOR = BootId("e" * 16)
PEERS = (Endpoint(EGRESS1, BootId("a" * 16)),)


class Service:
    """Notes the order of calls; `work` is its one task."""

    def __init__(self, process: ChildProcess, work: Coroutine[Any, Any, None] | None) -> None:
        self.calls: list[str] = []
        self._process = process
        self._work = work

    def hello(self) -> Hello:
        endpoint = Endpoint(self._process.child, self._process.boot_id)
        return self._process.new_hello(endpoint)

    def heartbeat(self) -> Heartbeat:
        return self._process.new_heartbeat(counters={"calls": len(self.calls)})

    def configure(self, settings: Settings) -> None:
        self.calls.append("configure")

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self.calls.append(f"topology {len(endpoints)}")

    def on_welcome(self) -> None:
        self.calls.append("welcome")

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        self.calls.append(type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return () if self._work is None else (self._work,)

    async def end(self) -> None:
        self.calls.append("end")

    def close(self) -> None:
        self.calls.append("close")


class Supervisor:
    """The other end of the control link."""

    def __init__(self, run_dir: Path) -> None:
        self.bus = Bus()
        self.heard: list[Any] = []
        self.came = asyncio.Event()
        self._router = self.bus.router(control_address(run_dir), self._on_frames)
        self._peer = b""

    def _on_frames(self, frames: list[bytes]) -> None:
        self._peer = frames[0]
        self.heard.append(decode_frames(frames[1:])[0])
        self.came.set()

    def send(self, *messages: object) -> None:
        for message in messages:
            assert self._router.send([self._peer, encode(message)])


def lived(
    work: Coroutine[Any, Any, None] | None = None,
    *messages: object,
    error: Exception | None = None,
    orphan_timeout_s: float = 30.0,
) -> tuple[list[Any], list[str], ExitCode]:
    """What the supervisor heard, what the service was told, and the exit code of one life."""
    calls: list[str] = []

    async def life(run_dir: Path) -> tuple[list[Any], ExitCode]:
        nonlocal calls
        supervisor = Supervisor(run_dir)
        process = ChildProcess(KIND, EGRESS1, run_dir, orphan_timeout_s=orphan_timeout_s)

        def build(process: ChildProcess) -> ChildService:
            nonlocal calls
            if error is not None:
                raise error
            service = Service(process, work)
            calls = service.calls
            return service

        async def play() -> None:
            await supervisor.came.wait()
            supervisor.send(*messages)
            async with asyncio.timeout(5):
                while messages and len(calls) < len(messages):
                    await asyncio.sleep(0.005)
            process.stop()

        player = asyncio.create_task(play()) if messages else None
        try:
            code = await process.run(build)
            await asyncio.sleep(0.05)
            if player is not None:
                await player
        finally:
            supervisor.bus.close()
        return supervisor.heard, code

    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        heard, code = asyncio.run(life(Path(name)))
    return heard, calls, code


def test_what_the_supervisor_sends_reaches_the_service_in_order() -> None:
    heard, calls, code = lived(
        None,
        Welcome(SUPERVISOR, Settings(), PEERS),
        Topology(()),
        Configure(Settings()),
        Readmit(StreamId("live/a")),
    )
    assert isinstance(heard[0], Hello)
    assert (heard[0].child, heard[0].endpoint.child) == (EGRESS1, EGRESS1)
    assert calls == [
        *("configure", "topology 1", "welcome"),
        *("topology 0", "configure", "Readmit", "end", "close"),
    ]
    assert code is ExitCode.OK


@pytest.mark.parametrize(
    ("error", "expected", "reason"),
    [
        (BootFailed("no such device"), ExitCode.BOOT_FAILED, "no such device"),
        (DeviceLost("fell off the bus"), ExitCode.DEVICE_LOST, "fell off the bus"),
        (OSError(98, "cannot listen on :1935"), ExitCode.BOOT_FAILED, "cannot listen on :1935"),
        (Unusable("no libsrtp"), ExitCode.UNUSABLE, "no libsrtp"),
        (ValueError("too long"), ExitCode.BOOT_FAILED, "too long"),
    ],
)
def test_what_is_in_the_way_of_a_start_is_reported(
    error: Exception, expected: ExitCode, reason: str
) -> None:
    heard, calls, code = lived(error=error)
    (fatal,) = heard
    assert isinstance(fatal, Fatal)
    assert (fatal.child, fatal.reason, fatal.exit_code) == (EGRESS1, reason, expected)
    assert (calls, code) == ([], expected)


def test_a_child_without_a_supervisor_ends_in_order() -> None:
    _, calls, code = lived(orphan_timeout_s=0.0)
    assert (calls, code) == (["end", "close"], ExitCode.ORPHANED)


def test_a_task_that_fails_ends_the_process_and_everything_is_closed() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    calls: list[str] = []

    async def life(run_dir: Path) -> None:
        process = ChildProcess(KIND, EGRESS1, run_dir)
        service = Service(process, broken())
        service.calls = calls
        await process.run(lambda _: service)

    with (
        TemporaryDirectory(prefix="tf-", dir="/tmp") as name,
        pytest.raises(ZeroDivisionError),
    ):
        asyncio.run(life(Path(name)))
    assert calls == ["close"]


def test_a_spawned_task_that_fails_ends_the_process_too() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async def life(run_dir: Path) -> None:
        process = ChildProcess(KIND, EGRESS1, run_dir)
        service = Service(process, None)
        process.spawn(broken())
        await process.run(lambda _: service)

    with (
        TemporaryDirectory(prefix="tf-", dir="/tmp") as name,
        pytest.raises(ZeroDivisionError),
    ):
        asyncio.run(life(Path(name)))


def test_every_child_takes_the_same_options() -> None:
    arguments = child_parser(KIND, "").parse_args(["--index", "3", "--run-dir", "/run/farm"])
    assert (arguments.index, arguments.run_dir) == (3, Path("/run/farm"))
    assert arguments.orphan_timeout == 30.0
