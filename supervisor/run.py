"""The supervisor process (IO): builds everything, and carries messages between its parts.

`Farm` decides, `Children` has the processes, `Control` the sockets; this is what stands between
them. A start is: lock the run directory, adopt the children that an earlier supervisor left
running, start the others, say where the farm is. An end is: publishers, workers, players, in that
order, then the socket files. When this process dies instead, the children go on and the next
supervisor adopts them.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from common.config.settings import Settings
from common.errors import ExitCode
from common.ipc.bus import Bus
from common.ipc.cluster_messages import ClusterTemplates
from common.ipc.control_link import new_boot_id
from common.ipc.control_messages import (
    Endpoint,
    Fatal,
    Hello,
    SupervisorBeat,
    Topology,
)
from common.ipc.identity import ChildId
from common.ipc.kinds import HEARTBEAT_S, KINDS
from common.process.log_lines import LogFormat
from common.process.unblocked import unblock
from supervisor.additions.additions import Additions
from supervisor.additions.kept_file import KeptFile
from supervisor.additions.own_host import is_own_host
from supervisor.commands.by_api import BY_API
from supervisor.commands.line.server import CommandServer
from supervisor.commands.status.document import summary
from supervisor.commands.status.farm_report import FarmReport
from supervisor.commands.table import COMMANDS
from supervisor.configuration import NONE, Configuration
from supervisor.executor import Executor
from supervisor.farm.farm import Farm
from supervisor.farm.operators.operations import Operations
from supervisor.hardware.gpu_watch import watch_gpus
from supervisor.hardware.gpus import find_gpus
from supervisor.processes import run_dir as run_directory
from supervisor.processes.adoption import adopt_children
from supervisor.processes.ban_file import BanFile
from supervisor.processes.children import Children, Listeners
from supervisor.processes.control import Control
from supervisor.processes.hellos import HelloMeaning, meaning_of_hello
from supervisor.processes.launch import Program, python_module
from supervisor.processes.launcher import Launcher, expected_pipeline
from supervisor.processes.lifecycle import ChildState
from supervisor.processes.process import is_alive, kill_stranger, reap
from supervisor.processes.rights import known_to, own_endpoint
from supervisor.processes.run_dir import RunDirLock
from supervisor.processes.run_dir_keeper import RunDirKeeper
from supervisor.processes.systemd import Systemd
from supervisor.processes.watchdog import Watchdog
from supervisor.upgrade import Upgrade

log = logging.getLogger("tfarm.supervisor.run")

ANNOUNCE_TIMEOUT_S = 4.0  # then say what is known so far
MAX_EARLY = 10_000  # messages of adopted children in the seconds before all are known


class Supervisor:
    """One farm from its start to its end."""

    def __init__(
        self,
        settings: Settings,
        run_dir: Path,
        lock: RunDirLock,
        *,
        config_path: Path | None = None,
        program: Program = python_module,
        announce: Callable[[str], object] = print,
        log_format: LogFormat = LogFormat.AUTO,
        upgrade_deadline_s: float | None = None,
        templates: ClusterTemplates = NONE,
    ) -> None:
        """`run_dir` is prepared by the caller (`serve`).

        `templates`: those that all hosts share and that are in `settings`.
        `upgrade_deadline_s`: replace the children that run (`supervisor/upgrade.py`).
        """
        self._run_dir = run_dir
        self._announce = announce
        self._boot_id = new_boot_id()
        self._stop = asyncio.Event()
        self._is_stopping = self._is_announced = self._is_late = False
        self._ever_ready: set[ChildId] = set()
        self._failure = ""
        self._is_adopting = True
        self._early: list[tuple[ChildId, Any, Sequence[bytes]]] = []  # that came meanwhile
        self._loop = asyncio.get_running_loop()
        self._cores = len(os.sched_getaffinity(0))
        self.additions = Additions(settings, KeptFile(run_dir), is_own_host, self._use)
        settings = self.settings = self.additions.settings
        self.farm = Farm(settings, self._cores)
        gpus = [gpu.uuid for gpu in find_gpus(settings.devices)]
        own = settings, run_dir, program, gpus, self._cores
        self._launcher = Launcher(*own, lambda: self.farm.hellos.values(), log_format)
        self._systemd = Systemd(lambda: summary(self.farm))
        self._bus = Bus()
        self.children = Children(
            run_dir, Listeners(self._on_up, self._on_down, lambda child: self._on_change(child))
        )
        self.report = FarmReport(self.farm, self.children, self._launcher, run_dir, config_path)
        commands = CommandServer(COMMANDS | BY_API, self)
        handlers = self._on_hello, self._on_message, commands.handle
        self._control = Control(self._bus, run_dir, self._boot_id, self.children, *handlers)
        commands.answer = self._control.answer
        parts = self._control, self.children, self.farm, self._fail
        self._keeper = RunDirKeeper(run_dir, lock, *parts)
        self._executor = Executor(self.farm, self._control, self.children, self._launcher)
        acting = self._launcher, self._executor, self._start, self._report_topology
        self.upgrade = Upgrade(self.farm, self.children, self._control, *acting, upgrade_deadline_s)
        measure = self._executor.measure
        idle = self.farm.state.is_idle, lambda: bool(self.farm.state.streams)
        self._watchdog = Watchdog(self.children, lambda: self.settings.worker, measure, *idle)
        operator = BanFile(run_dir), self._control.asked_by
        self.operations = Operations(self.farm, self._executor.execute, self._loop.time, *operator)
        self.additions.follow(lambda: self.farm.hellos.values(), self._control.asked_by)
        using = config_path, run_dir, templates, self._cores, self._executor.execute
        self.configuration = Configuration(self.farm, *using, self.additions)

    # ---- life -------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run the farm until it is told to stop; the exit code."""
        for number, handler in (
            (signal.SIGTERM, self.stop),
            (signal.SIGINT, self.stop),
            (signal.SIGHUP, self.configuration.reload),
        ):
            self._loop.add_signal_handler(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            async with asyncio.TaskGroup() as tasks:
                lasting = (
                    tasks.create_task(self._beat()),
                    tasks.create_task(self._watchdog.watch()),
                )
                await self._begin()
                late = self._loop.call_later(
                    ANNOUNCE_TIMEOUT_S, partial(self._announce_farm, at_last=True)
                )
                on_lost = self._executor.on_gpu_lost
                gpus = self.report.gpu_watch = watch_gpus(self._launcher.gpus, on_lost)
                await self._stop.wait()
                late.cancel()
                if gpus is not None:
                    gpus.stop()
                self._is_stopping = True
                self._executor.execute(self.farm.registry.leave())
                self.upgrade.close()
                self._executor.close()
                self._systemd.stopping()
                await self.children.stop_all()
                for task in lasting:
                    task.cancel()
        except BaseException:
            log.critical("supervisor failed; its children go on and wait for another")
            raise
        finally:
            self._executor.close()
            self.children.leave()
            self._bus.close()
        self._keeper.clear()
        if self._failure:
            log.critical("farm cannot go on reason=%s", self._failure)
            return ExitCode.FAILED
        return ExitCode.OK

    async def _begin(self) -> None:
        """Adopt the children that run, and start the others."""
        before = {r.child for r in run_directory.read_children(self._run_dir) if not r.child.role}
        for child in {*self._launcher.children, *before}:
            self._expect(child)
        self.farm.adopt()
        await adopt_children(self._run_dir, self._control, self.children)
        self._is_adopting = False
        self._welcome_adopted()
        try:
            self._launcher.choose_ports()
        except OSError as error:
            self._fail(error.strerror or str(error))
        else:
            running = self.children.current()
            for child in self._launcher.adopted(running, self.children.by_id, before):
                self._start(child)
        self.farm.devices.forget_unused(self.children.by_id)
        self._start_further()
        self._executor.execute(self.farm.settle(self._loop.time()))
        self._handle_early()

    def stop(self) -> None:
        """End the farm; when called again, at once."""
        if self._stop.is_set():
            log.warning("killing all children, stopped twice")
            self.children.kill_all()
        self._stop.set()

    def _fail(self, reason: str) -> None:
        """End a farm that had better not run."""
        self._failure = reason
        self._stop.set()

    async def _beat(self) -> None:
        while True:
            self._control.broadcast(SupervisorBeat(self._boot_id))
            self._systemd.beat()
            self.report.sample()
            self._watchdog.check_memory()
            self._keeper.check(self._loop.time())
            self.operations.keep_bans()
            await asyncio.sleep(HEARTBEAT_S)

    # ---- which children ---------------------------------------------------------------------

    def _expect(self, child: ChildId) -> None:
        if child.device:
            self.farm.devices.expect(child, expected_pipeline(child), self._loop.time())

    def _start(self, child: ChildId) -> None:
        self._expect(child)
        self.children.start(self._launcher.spec(child))

    def _start_further(self) -> None:
        """Start what a hello or a reload asks for beside the children of the start."""
        if self._is_adopting or self._is_stopping or self._failure:
            return
        for child in self._launcher.further(self.children.current(), self.children.by_id):
            log.info("starting a further child child=%s", child)
            self._start(child)

    # ---- from the children ------------------------------------------------------------------

    def _on_hello(self, hello: Hello) -> None:
        child = self.children.by_id.get(hello.child)
        meaning = meaning_of_hello(
            child.machine.state if child else None,
            child.process.pid if child and child.process else None,
            hello.pid,
            is_alive=is_alive(hello.pid, hello.start_ticks),
            is_stopping=self._is_stopping,
        )
        match meaning:
            case HelloMeaning.IGNORE:
                return
            case HelloMeaning.SECOND:
                log.error("ending a second process child=%s pid=%d", hello.child, hello.pid)
                kill_stranger(hello.pid, hello.start_ticks, signal.SIGTERM)
                return
            case HelloMeaning.ADOPT:
                log.info("child adopted child=%s pid=%d", hello.child, hello.pid)
                self._control.add(hello.child)
        hello = replace(hello, endpoint=own_endpoint(hello, self._run_dir))
        if not self._is_adopting:
            self._welcome(hello)
        if meaning is HelloMeaning.ADOPT:
            self._expect(hello.child)
            spec = self._launcher.spec(hello.child)
            self.children.adopt(spec, hello.pid, hello.start_ticks, hello.boot_id)
            if hello.is_retiring:
                self.children.retire(hello.child)
        if hello.listen:
            self._launcher.keep_port(hello.child, hello.listen[0])
        # Before its welcome a child sends hellos alone: each is as good as a heartbeat.
        self._watchdog.on_message(hello.child)
        self.children.on_hello(hello, self._control.address(hello.child))
        self._executor.execute(self.farm.child_up(hello, self._loop.time()))
        self._report_topology()
        self._start_further()
        self._announce_farm()

    def _welcome_adopted(self) -> None:
        """Welcome them all at once: a topology with half of them would part the running streams.

        Whoever reads that its worker or egress is not there lets go of it.
        """
        for hello in self.farm.hellos.values():
            self._welcome(hello)

    def _welcome(self, hello: Hello) -> None:
        self._control.add(hello.child)
        self._control.welcome(hello, self.settings, _endpoints(self.farm.hellos))

    def _on_message(self, child: ChildId, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, Fatal):
            log.error("child cannot go on child=%s reason=%s", child, message.reason)
            if message.exit_code == ExitCode.DEVICE_LOST:
                self.farm.devices.lost(child, message.reason)
            self.children.on_fatal(child, message.reason)
            return
        self._watchdog.on_message(child)
        self.children.on_message(child)
        if self._is_adopting:
            if len(self._early) < MAX_EARLY:
                self._early.append((child, message, payloads))
        elif child in self.farm.state.children:
            actions = self.farm.message(child, message, self._loop.time(), payloads)
            self._executor.execute(actions if not self._is_stopping else ())
            if isinstance(message, ClusterTemplates) and not self._is_stopping:
                self.configuration.take(message)

    def _handle_early(self) -> None:
        """Handle what adopted children sent before all of them were known."""
        early, self._early = self._early, []
        for entry in early:  # one each: what is wrong with one must not end this process
            self._loop.call_soon(self._on_message, *entry)

    def _on_up(self, child: ChildId) -> None:
        self._ever_ready.add(child)
        self._watchdog.add(child)

    def _on_down(self, child: ChildId, reason: str, crashed: bool) -> None:
        self._watchdog.remove(child)
        if self._is_stopping:  # what it says at its end is for the closing lines of its streams
            return
        self._control.remove(child)
        now = self._loop.time()
        thread = self.children.crashed_thread(child) if crashed else 0
        down = self.farm.child_down(child, reason, now, crashed=crashed, thread=thread)
        self._executor.execute(down)
        self._report_topology()

    def _report_topology(self) -> None:
        if not self._is_adopting:
            self._control.broadcast_by_kind(_topology(self.farm.hellos))

    def _on_change(self, child: ChildId) -> None:
        """End a farm that cannot listen or serve from its very start."""
        machine = self.children.by_id[child].machine
        has_failed = machine.state in (ChildState.BACKOFF, ChildState.FATAL)
        is_first = child not in self._ever_ready and not self._is_announced
        if KINDS[child.kind].is_vital and has_failed and is_first:
            self._fail(f"{child} cannot start: {machine.reason}")
        self._announce_farm()

    # ---- for people -------------------------------------------------------------------------

    def _announce_farm(self, *, at_last: bool = False) -> None:
        """Print where the farm is, and report to systemd; once all are there, or `at_last`."""
        self._is_late |= at_last
        wanted, there = self._launcher.children, self.farm.hellos.keys() | self.children.given_up
        is_over = self._is_announced or self._stop.is_set()
        if is_over or not is_whole(wanted, there, is_late=self._is_late):
            return
        self._is_announced = True
        self._announce(self.report.banner())
        self.report.warn()
        self._systemd.ready()
        self.upgrade.begin()

    def _use(self, settings: Settings) -> None:
        self.settings = self._launcher.settings = settings
        logging.getLogger("tfarm").setLevel(settings.log_level)
        self._control.configure(settings)
        self._start_further()
        self._executor.execute(self.farm.configure(settings, self._loop.time()))
        self.report.warn()


def is_whole(wanted: Iterable[ChildId], there: Set[ChildId], *, is_late: bool) -> bool:
    """Tell if a farm can say where it is: all are there, or, when it is late, who listens is."""
    return all(child in there for child in wanted if not is_late or child.kind == "ingest")


def _endpoints(hellos: Mapping[ChildId, Hello]) -> tuple[Endpoint, ...]:
    return tuple(hello.endpoint for hello in hellos.values())


def _topology(hellos: Mapping[ChildId, Hello]) -> Callable[[str], Topology]:
    """Return what each kind of child is to know of those that run."""
    endpoints = _endpoints(hellos)
    return lambda kind: Topology(known_to(kind, endpoints))


def serve(
    settings: Settings,
    run_dir: Path,
    *,
    config_path: Path | None = None,
    program: Program = python_module,
    log_format: LogFormat = LogFormat.AUTO,
    upgrade_deadline_s: float | None = None,
    templates: ClusterTemplates = NONE,
) -> int:
    """Run a farm in a run directory until it is told to stop; the exit code.

    Raises:
        RunDirError: the run directory cannot be used, or another farm runs there.
    """
    run_dir = run_directory.prepare(run_dir)
    lock = RunDirLock(run_dir)
    stdout = unblock(1)

    def announce(text: str) -> None:
        if log_format is LogFormat.JSON:  # stdout may go where the log goes
            log.info("farm runs banner=%s", text)
        else:
            stdout.write(f"{text}\n")

    async def main() -> int:
        supervisor = Supervisor(
            settings,
            run_dir,
            lock,
            config_path=config_path,
            program=program,
            announce=announce,
            log_format=log_format,
            upgrade_deadline_s=upgrade_deadline_s,
            templates=templates,
        )
        code = await supervisor.run()
        supervisor.farm.state.summaries.write_all("the farm ended")
        return code

    if upgrade_deadline_s is not None:
        reap()
    try:
        return asyncio.run(main())
    finally:
        lock.release()
