"""The shell that all children share (IO): from the command line to the exit code.

A kind brings a `ChildService`; the shell has the bus, the link to the supervisor, the settings'
way in, the order of the end and the exit code. A `__main__.py` is:

    from common.process.signals import hold_signals

    hold_signals()

    from common.ipc.child import child_parser, run_child

    if __name__ == "__main__":
        run_child(KIND, child_parser(KIND, __doc__).parse_args(), build)

where `build` imports what takes long, makes the service and raises what is in its way. A kind that
decodes what strangers send gives a `Sandbox` as well (`common/process/sandbox.py`).
"""

import argparse
import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from common.config.settings import Settings
from common.errors import BootFailed, DeviceLost, ExitCode, Unusable
from common.ipc.bus import Bus
from common.ipc.child_arguments import add_identity, identity_of
from common.ipc.control_link import ControlLink, new_boot_id, start_ticks
from common.ipc.control_messages import (
    Configure,
    Endpoint,
    Heartbeat,
    Hello,
    Topology,
    Welcome,
)
from common.ipc.endpoint import UNIX, endpoint, socket_path
from common.ipc.identity import ChildId
from common.ipc.kinds import ChildKind
from common.ipc.listener_transfer import ListenerShare
from common.ipc.media_listener import MediaListener, OnFrames
from common.ipc.retirement import Retirement
from common.ipc.socket_peers import PLAIN, SocketPeers
from common.ipc.status_messages import OFF, WHOLE, ChildFloods
from common.ipc.succession_messages import Retire, Successor
from common.process import crash_report, sandbox, time_slice
from common.process.descriptors import raise_limit
from common.process.log_lines import LogFormat
from common.process.log_output import set_up
from common.version import VERSION

log = logging.getLogger("tfarm.common.ipc.child")

FATAL_S = 0.2  # for the reason to reach the supervisor
SPAWNED_S = 1.0  # for spawned tasks to come to their end after the service's


class ChildService(Protocol):
    """The work of one kind of child; called on the loop."""

    def hello(self) -> Hello:
        """The whole state, by `ChildProcess.new_hello`."""

    def heartbeat(self) -> Heartbeat:
        """Its counters, by `ChildProcess.new_heartbeat`."""

    def configure(self, settings: Settings) -> None:
        """Settings for new streams; before `on_welcome`, too."""

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        """The children that run now; before `on_welcome`, too."""

    def on_welcome(self) -> None:
        """A supervisor answers that knows nothing of this child but its hello."""

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        """Any other message of the supervisor's."""

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Coroutines that run until the end; one that ends or fails ends the process."""

    async def end(self) -> None:
        """End in order, while all links still stand."""

    def close(self) -> None:
        """Let go of everything, also after a failure."""


class ChildProcess:
    """One incarnation of a child, on the running loop."""

    def __init__(
        self, kind: ChildKind, child: ChildId, run_dir: Path, *, orphan_timeout_s: float = 30.0
    ) -> None:
        self.child = child
        self.boot_id = new_boot_id()
        self.bus = Bus()
        self.exit_code = ExitCode.OK
        # The service's to set: True while it has nothing to do. Heartbeats answer the supervisor's
        # then, once a second.
        self.is_idle: Callable[[], bool] = lambda: False
        self.sandbox = ""  # as `Hello` has it
        self._run_dir = run_dir
        self._stopped = asyncio.Event()
        self._service: ChildService | None = None
        self._spawned: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None  # of a spawned task
        self._listeners: list[MediaListener] = []
        self._share: ListenerShare | None = None
        self._retirement: Retirement | None = None
        self._retiring: asyncio.Task[None] | None = None
        self._link = ControlLink(
            self.bus,
            run_dir,
            child,
            self.boot_id,
            self,
            orphan_timeout_s=orphan_timeout_s,
            heartbeat_s=kind.heartbeat_s,
            is_idle=lambda: self.is_idle(),
        )

    async def run(self, build: Callable[["ChildProcess"], ChildService]) -> ExitCode:
        """Serve until SIGTERM, `fail`, or the supervisor's absence; the exit code."""
        try:
            self._service = build(self)
        except (BootFailed, DeviceLost, OSError, ValueError) as error:
            await self._report_start(error)
            self.bus.close()
            return self.exit_code
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        try:
            await self._serve(self._service)
        finally:
            self._close_share()
            self._service.close()
            self._link.close()
            self.bus.close()
        return self.exit_code

    def stop(self) -> None:
        """End in order."""
        self._stopped.set()

    def fail(self, reason: str, code: ExitCode) -> None:
        """Report why this process cannot go on, and end it."""
        self._link.fatal(reason, code)
        self.exit_code = code
        self.stop()

    # ---- for the service ----------------------------------------------------------------------

    @property
    def unreadable(self) -> int:
        """Count of the supervisor's messages that could not be read."""
        return self._link.unreadable

    @property
    def supervisor_silent_s(self) -> float:
        """How long no supervisor has sent anything; beats come once a second."""
        return self._link.silent_s

    @property
    def run_dir(self) -> Path:
        """The farm's run directory."""
        return self._run_dir

    def send(self, message: object, payloads: Sequence[bytes] = ()) -> bool:
        """Send to the supervisor; False when its queue is full or it is away."""
        return self._link.send(message, payloads)

    def spawn(self, task: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a task beside the others; if it fails the process ends."""
        spawned = asyncio.get_running_loop().create_task(task)
        self._spawned.add(spawned)
        spawned.add_done_callback(self._on_spawned_done)
        return spawned

    def address(self, name: str, *scheme: str) -> str:
        """A fresh address for a socket of this incarnation. Raises ValueError."""
        return endpoint(self._run_dir, self.child, self.boot_id, name, *scheme)

    def listener(
        self, name: str, on_frames: OnFrames, on_read: Callable[[], None] | None = None
    ) -> MediaListener:
        """Bind the socket `name` for media or tags; it hears the children that may send there.

        Raises:
            OSError: it cannot be bound.
            ValueError: the run directory's path is too long.
        """
        listener = MediaListener(
            self.bus,
            self.address(name),
            on_frames,
            on_read,
            peers=SocketPeers(name),
            on_flood=self._on_flood,
            is_plain=name in PLAIN,
        )
        self._listeners.append(listener)
        return listener

    def share_listeners(self, listeners: Sequence[socket.socket]) -> str:
        """Give these listening sockets to a successor when there is one; its address for that.

        Raises:
            OSError: it cannot be bound.
            ValueError: the run directory's path is too long.
        """
        address = self.address("listeners", UNIX)
        self._share = ListenerShare(self.child, socket_path(address), listeners)
        return address

    def retires(self, retire: Callable[[], None], is_empty: Callable[[], bool]) -> None:
        """Have this process retire when it is told to.

        `retire` takes nobody new from then on; it ends once `is_empty` stays true.
        """
        self._retirement = Retirement(retire, is_empty, self.stop)

    @property
    def is_retiring(self) -> bool:
        """Tell if it takes nobody new, and ends when nobody is left."""
        return self._retirement is not None and self._retirement.has_begun

    def new_hello(self, endpoint: Endpoint, **state: Any) -> Hello:
        """A hello with this process in it."""
        pid = os.getpid()
        who = self.child, self.boot_id, pid, start_ticks(pid), endpoint
        state |= {"sandbox": self.sandbox, "version": VERSION, "is_retiring": self.is_retiring}
        return Hello(*who, **state)

    def new_heartbeat(self, **state: Any) -> Heartbeat:
        """A heartbeat with this process in it."""
        return Heartbeat(self.child, self.boot_id, **state)

    # ---- for the control link -----------------------------------------------------------------

    def hello(self) -> Hello:
        assert self._service is not None
        return self._service.hello()

    def heartbeat(self) -> Heartbeat:
        assert self._service is not None
        if self._share is not None:
            with contextlib.suppress(OSError):  # the run directory is not there yet
                self._share.listen_again()
        return self._service.heartbeat()

    def on_message(self, message: Any, payloads: Sequence[bytes] = ()) -> None:
        """Take a message of the supervisor's."""
        service = self._service
        if service is None:
            return
        match message:
            case Welcome(_, settings, endpoints):
                self._configure(service, settings)
                self._follow(service, endpoints)
                service.on_welcome()
            case Configure(settings):
                self._configure(service, settings)
            case Topology(endpoints):
                self._follow(service, endpoints)
            case Successor(pid):
                if self._share is not None:
                    self._share.allow(pid)
            case Retire(deadline_s):
                self._retire(deadline_s)
            case _:
                service.on_message(message, payloads)

    def on_orphaned(self) -> None:
        self.exit_code = ExitCode.ORPHANED
        self.stop()

    def _on_flood(self, child: ChildId, what: str) -> None:
        self.send(ChildFloods(child, what))  # of one in a sandbox itself that counts for nothing

    # ---- inside -------------------------------------------------------------------------------

    def _retire(self, deadline_s: float) -> None:
        if self._retirement is not None and not self._retirement.has_begun:
            self._close_share()
            self._retiring = self.spawn(self._retirement.run(deadline_s))

    def _close_share(self) -> None:
        if self._share is not None:
            self._share.close()
            self._share = None

    async def _wait_for_stop(self) -> None:
        await self._stopped.wait()

    def _on_spawned_done(self, task: "asyncio.Task[None]") -> None:
        self._spawned.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
            self.stop()

    def _configure(self, service: ChildService, settings: Settings) -> None:
        logging.getLogger("tfarm").setLevel(settings.log_level)
        service.configure(settings)

    def _follow(self, service: ChildService, endpoints: Sequence[Endpoint]) -> None:
        service.on_topology(endpoints)  # before it hears those that waited to be known
        for listener in self._listeners:
            listener.follow(endpoints)

    async def _serve(self, service: ChildService) -> None:
        own: tuple[Coroutine[Any, Any, None], ...] = (self._link.run(), *service.tasks())
        running = [asyncio.create_task(task) for task in own]
        stopped = asyncio.create_task(self._wait_for_stop())
        try:
            await asyncio.wait((*running, stopped), return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                if task.done():
                    await task  # it has failed, or seen that nobody supervises any more
            if self._failure is not None:
                raise self._failure
            if self._retiring is not None:
                self._retiring.cancel()
            await service.end()
            if self._spawned:
                await asyncio.wait(self._spawned, timeout=SPAWNED_S)
        finally:
            tasks = (*running, stopped, *self._spawned)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _report_start(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        log.error("cannot start reason=%s", reason)
        self.exit_code = ExitCode.BOOT_FAILED
        for kind, code in _CODES.items():
            if isinstance(error, kind):
                self.exit_code = code
        self._link.fatal(reason, self.exit_code)
        await asyncio.sleep(FATAL_S)


_CODES = {DeviceLost: ExitCode.DEVICE_LOST, Unusable: ExitCode.UNUSABLE}
Build = Callable[[ChildProcess, argparse.Namespace], ChildService]


def child_parser(kind: ChildKind, description: str | None) -> argparse.ArgumentParser:
    """A parser of the options that every child has."""
    parser = argparse.ArgumentParser(prog=f"python -P -m {kind.module}", description=description)
    add_identity(parser)
    parser.add_argument("--run-dir", required=True, type=Path, help="the farm's run directory")
    parser.add_argument(
        "--orphan-timeout", type=float, default=30.0, help="seconds without a supervisor"
    )
    parser.add_argument(
        "--log-format", type=LogFormat, default=LogFormat.AUTO, choices=list(LogFormat)
    )
    if kind.is_sandboxed or kind.starts_nothing:
        parser.add_argument("--no-sandbox", action="store_true", help="with all rights of its user")
    return parser


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox of a kind: what it needs of the file system, and what it imports before."""

    paths: sandbox.SandboxPaths
    # Imported before files are closed: later no compiled module can be kept for the next start.
    modules: tuple[str, ...]


def run_child(
    kind: ChildKind,
    arguments: argparse.Namespace,
    build: Build,
    *,
    confinement: Sandbox | None = None,
    collects_rarely: bool = False,
) -> NoReturn:
    """A child's whole life; ends the process.

    `collects_rarely`: full garbage collections over thousands of connections would be pauses that
    players see, and little of what these hold is in cycles.
    """
    import uvloop

    child = identity_of(kind.name, arguments)
    set_up(str(child), log_format=arguments.log_format)
    raise_limit(kind.max_descriptors)
    time_slice.shorten()
    if kind.is_sandboxed:  # it decodes what may take it down
        crash_report.begin(arguments.run_dir)
    if confinement is not None and arguments.no_sandbox:
        confinement = None
    if confinement is not None:
        _confine(confinement, arguments.run_dir)
    starts_nothing = kind.starts_nothing and not arguments.no_sandbox
    if starts_nothing:
        sandbox.close_calls(sandbox.IO_URING)  # before there is a loop, as in `_confine`

    def build_and_freeze(process: ChildProcess) -> ChildService:
        service = build(process, arguments)
        if confinement is not None:
            sandbox.close_calls(sandbox.calls_of(confinement.paths))
            process.sandbox = sandbox.problems() or WHOLE
        elif kind.is_sandboxed:
            process.sandbox = OFF
        elif starts_nothing:
            sandbox.close_calls(sandbox.STARTS_NOTHING)
            process.sandbox = sandbox.problems()
        gc.freeze()  # what is here by now stays
        if collects_rarely:
            gc.set_threshold(10_000, 20, 100)
        return service

    async def main() -> ExitCode:
        process = ChildProcess(
            kind, child, arguments.run_dir, orphan_timeout_s=arguments.orphan_timeout
        )
        return await process.run(build_and_freeze)

    code = uvloop.run(main())
    sys.stderr.flush()
    # Threads may be inside a codec or a driver, after a lost device for good: nothing of theirs is
    # taken apart under them, and nothing of ours is left to be.
    os._exit(code)


def _confine(confinement: Sandbox, run_dir: Path) -> None:
    """Close this process, which has one thread yet, but for what it needs to build its service."""
    # numpy would start a thread for each core at its import, which keeps all its rights
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for module in confinement.modules:
        with contextlib.suppress(ImportError):  # `build` says it better
            importlib.import_module(module)
    packages = {module.partition(".")[0] for module in (__name__, *confinement.modules)}
    own = [Path(sys.modules[name].__path__[0]) for name in packages if name in sys.modules]
    sandbox.close_files(run_dir, confinement.paths, own)
    sandbox.close_calls(sandbox.IO_URING)  # the loop does without them if it never had one
