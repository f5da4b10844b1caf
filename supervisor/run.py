"""The supervisor process (IO): builds everything, and carries messages between its parts.

`Farm` decides, `Children` has the processes, `Control` the sockets; this is what stands between
them. A start is: lock the run directory, adopt the children that an earlier supervisor left
running, start the others, say where the farm is. An end is: publishers, workers, players, in that
order, then the socket files. When this process dies instead, the children go on and the next
supervisor adopts them.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.config import load as config
from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.config.values import listen_address
from common.errors import ConfigError, ExitCode
from common.ipc.bus import Bus
from common.ipc.control_link import BEAT_S, new_boot_id
from common.ipc.control_messages import (
    Configure,
    DeviceInfo,
    Endpoint,
    Fatal,
    Hello,
    SupervisorBeat,
    Topology,
    Welcome,
)
from common.ipc.identity import ChildId
from supervisor.commands.banner import address_text, banner
from supervisor.commands.server import Commands
from supervisor.commands.status_document import ChildFacts, FarmFacts, Json, snapshot, summary
from supervisor.commands.version import VERSION
from supervisor.farm.actions import Action, FailChild, Send, StartWorker, StopWorker
from supervisor.farm.farm import Farm
from supervisor.farm.operations import Operations
from supervisor.farm.reloading import reloaded
from supervisor.farm.stream import NO_INGEST
from supervisor.hardware.gpu_watch import watch_gpus
from supervisor.hardware.gpus import find_gpus
from supervisor.processes import run_dir as run_directory
from supervisor.processes.adoption import adopt_children
from supervisor.processes.children import Children, Listeners
from supervisor.processes.control import Control
from supervisor.processes.launch import (
    Plan,
    Program,
    child_command,
    child_environ,
    child_names,
    gpu_uuids,
    python_module,
)
from supervisor.processes.lifecycle import ChildState
from supervisor.processes.proc_stat import CpuMeter, pss_bytes
from supervisor.processes.process import is_alive, kill_stranger
from supervisor.processes.run_dir import RunDirLock
from supervisor.processes.shared_port import find_port
from supervisor.processes.systemd import Systemd
from supervisor.processes.watchdog import Watchdog
from supervisor.processes.worker_counts import further_workers, share_of

log = logging.getLogger("tfarm.supervisor.run")

ANNOUNCE_TIMEOUT_S = 4.0  # then say what is known so far
MAX_EARLY = 10_000  # messages of adopted children in the seconds before all are known


class Supervisor:
    """One farm from its start to its end."""

    def __init__(
        self,
        settings: Settings,
        run_dir: Path,
        *,
        config_path: Path | None = None,
        program: Program = python_module,
        announce: Callable[[str], None] = print,
    ) -> None:
        """`run_dir` is prepared and locked by the caller (`serve`)."""
        self.settings = settings
        self.config_path = config_path
        self._run_dir = run_dir
        self._program = program
        self._announce = announce
        self._boot_id = new_boot_id()
        self._started_unix = time.time()
        self._started_s = time.monotonic()
        self._listen = settings.listen
        self._cpu = CpuMeter()
        self._stop = asyncio.Event()
        self._is_stopping = False
        self._is_announced = False
        self._ever_ready: set[ChildId] = set()
        self._failure = ""
        self._timer: asyncio.TimerHandle | None = None
        self._is_adopting = True
        self._early: list[tuple[ChildId, Any, Sequence[bytes]]] = []  # said meanwhile
        self._loop = asyncio.get_running_loop()
        self._cores = len(os.sched_getaffinity(0))
        uuids = [gpu.uuid for gpu in find_gpus(settings.devices)]
        self._names = child_names(settings, uuids, self._cores)
        self._gpus = gpu_uuids(self._names)
        self.farm = Farm(settings, self._cores)
        self._systemd = Systemd(lambda: summary(self.farm))
        self._bus = Bus()
        self.children = Children(
            run_dir, Listeners(self._on_up, self._on_down, lambda name: self._on_change(name))
        )
        self._watchdog = Watchdog(self.children, lambda: self.settings.worker)
        operations = Operations(self.farm, self._do, self._loop.time)
        commands = Commands(self, operations)
        self._control = Control(
            self._bus, run_dir, self._boot_id, self._on_hello, self._on_message, commands.handle
        )
        commands.answer = self._control.answer

    # ---- life -------------------------------------------------------------------------------

    async def run(self) -> int:
        """Until stopped; the exit code."""
        for number, handler in (
            (signal.SIGTERM, self.stop),
            (signal.SIGINT, self.stop),
            (signal.SIGHUP, self._on_hup),
        ):
            self._loop.add_signal_handler(number, handler)
        try:
            async with asyncio.TaskGroup() as tasks:
                beats = tasks.create_task(self._beat())
                watch = tasks.create_task(self._watchdog.watch())
                for name in self._names:
                    self._expect(name)
                self.farm.adopt()
                await adopt_children(self._run_dir, self._control, self.children)
                self._is_adopting = False
                self._greet_adopted()
                self._choose_port()
                for name in self._names if not self._failure else ():
                    self.children.start(self._plan(name))
                self._start_further()
                self._do(self.farm.settle(self._loop.time()))
                self._take_early()
                late = self._loop.call_later(ANNOUNCE_TIMEOUT_S, self._say_where)
                gpus = watch_gpus(self._gpus, self._hear_of_gpu)
                await self._stop.wait()
                late.cancel()
                if gpus is not None:
                    gpus.stop()
                self._is_stopping = True
                self._systemd.stopping()
                await self.children.stop_all()
                beats.cancel()
                watch.cancel()
        except BaseException:
            log.critical("supervisor failed; its children go on and wait for another")
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self.children.leave()
            self._bus.close()
        run_directory.clear(self._run_dir)
        if self._failure:
            print(f"tfarm: {self._failure}", file=sys.stderr)
            return ExitCode.FAILED
        return ExitCode.OK

    def stop(self) -> None:
        """End the farm; when told again, at once."""
        if self._stop.is_set():
            log.warning("killing all children: told to stop twice")
            self.children.kill_all()
        self._stop.set()

    async def _beat(self) -> None:
        while True:
            self._control.broadcast(SupervisorBeat(self._boot_id))
            self._systemd.beat()
            self._cpu.sample([os.getpid(), *self.children.pids()], self._loop.time())
            self._watchdog.watch_memory()
            await asyncio.sleep(BEAT_S)

    # ---- which children ---------------------------------------------------------------------

    def _expect(self, name: ChildId) -> None:
        if name.kind == "worker":
            path = Pipeline.HYBRID if name.index else Pipeline.GPU_ONLY
            path = Pipeline.SOFTWARE if name.is_software else path
            self.farm.roster.expect_device(name, path, self._loop.time())

    def _plan(self, name: ChildId) -> Plan:
        def command() -> Sequence[str]:
            share = 1
            if name.kind == "worker":
                hellos = self.farm.hellos.values()
                share = share_of(name, self.settings, self._cores, self._gpus, hellos)
            return child_command(
                name, self._program, self._run_dir, self.settings, self._listen, share
            )

        return Plan(name, command, child_environ(name))

    def _start_further(self) -> None:
        """What hybrid GPUs want beside their first workers; nothing that is there already."""
        if self._is_adopting or self._is_stopping or self._failure:
            return
        hellos = self.farm.hellos.values()
        for name in further_workers(self.settings, self._cores, self._gpus, hellos):
            if name not in self.children.members:
                log.info("starting a further worker child=%s", name)
                self._names.append(name)
                self._expect(name)
                self.children.start(self._plan(name))

    def _choose_port(self) -> None:
        """Where several ingests will listen, unless one that was adopted does already."""
        is_there = any(hello.child.kind == "ingest" for hello in self.farm.hellos.values())
        if self.settings.ingest.processes == 1 or is_there:
            return
        try:
            port = find_port(self._listen.host, self._listen.port)
        except OSError as error:
            self._failure = error.strerror or str(error)
            self._stop.set()
        else:
            self._listen = replace(self._listen, port=port)

    # ---- from the children ------------------------------------------------------------------

    def _on_hello(self, hello: Hello) -> None:
        member = self.children.members.get(hello.child)
        now = self._loop.time()
        if member is None or not member.machine.is_running:
            if self._is_stopping or not is_alive(hello.pid, hello.start_ticks):
                return
            log.info("adopting child=%s pid=%d", hello.child, hello.pid)
            self._control.know(hello.child, hello.boot_id)
            if not self._is_adopting:
                self._greet(hello)
            self._expect(hello.child)
            plan = self._plan(hello.child)
            self.children.adopt(plan, hello.pid, hello.start_ticks, hello.boot_id)
        elif member.process is None or member.process.pid != hello.pid:
            log.error("ending a second child of one name child=%s pid=%d", hello.child, hello.pid)
            kill_stranger(hello.pid, hello.start_ticks, signal.SIGTERM)
            return
        elif member.machine.state is ChildState.STOPPING:
            return
        elif not self._is_adopting:
            self._greet(hello)
        if hello.child.kind == "ingest" and hello.listen:
            self._keep_port(hello.listen[0])
        self.children.said_hello(hello.child, hello.boot_id)
        self._do(self.farm.child_up(hello, now))
        if not self._is_adopting:
            self._control.broadcast(Topology(self._endpoints()))
        self._start_further()
        self._look_if_ready()

    def _greet_adopted(self) -> None:
        """Welcome them all at once: a topology with half of them would part the running streams.

        Whoever reads that its worker or egress is not there lets go of it.
        """
        for hello in self.farm.hellos.values():
            self._greet(hello)

    def _greet(self, hello: Hello) -> None:
        self._control.know(hello.child, hello.boot_id)
        endpoints = [e for e in self._endpoints() if e.child != hello.child]
        welcome = Welcome(self._boot_id, self.settings, (*endpoints, hello.endpoint))
        self._control.send(hello.child, welcome)

    def _keep_port(self, address: str) -> None:
        """A restarted ingest listens where its predecessor did, also when any port was asked."""
        with contextlib.suppress(ValueError):
            self._listen = replace(self._listen, port=listen_address(address).port)

    def _on_message(self, child: ChildId, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, Fatal):
            log.error("fatal child=%s reason=%s", child, message.reason)
            if message.exit_code == ExitCode.DEVICE_LOST:
                self.farm.roster.device_lost(child, message.reason)
            self.children.said_fatal(child, message.reason)
            return
        self._watchdog.heard(child)
        self.children.heard(child)
        if self._is_adopting:
            if len(self._early) < MAX_EARLY:
                self._early.append((child, message, payloads))
        elif child in self.farm.hellos:
            self._do(self.farm.message(child, message, self._loop.time(), payloads))

    def _take_early(self) -> None:
        """What adopted children said before all of them were known."""
        early, self._early = self._early, []
        for entry in early:  # one each: what is wrong with one must not end this process
            self._loop.call_soon(self._on_message, *entry)

    def _hear_of_gpu(self, uuid: str, reason: str) -> None:
        """From the watch's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._gpu_lost, uuid, reason)

    def _gpu_lost(self, uuid: str, reason: str) -> None:
        """Its workers may not see it: what is on the bus no more cannot fail."""
        log.error("GPU lost uuid=%s reason=%s", uuid, reason)
        workers = [name for name in self.farm.roster.fleet.devices if name.device == uuid]
        for worker in workers:  # all, before the first one's streams look for room
            self.farm.roster.device_lost(worker, reason, is_seen=True)
        for worker in workers:
            self.children.fail_and_restart(worker, reason)

    def _on_up(self, child: ChildId) -> None:
        self._ever_ready.add(child)
        self._watchdog.begin(child)

    def _on_down(self, child: ChildId, reason: str, crashed: bool) -> None:
        self._control.forget(child)
        self._watchdog.end(child)
        if self._is_stopping:
            return
        self._do(self.farm.child_down(child, reason, self._loop.time(), crashed=crashed))
        if not self._is_adopting:
            self._control.broadcast(Topology(self._endpoints()))

    def _on_change(self, child: ChildId) -> None:
        """A farm that cannot listen or serve from its very start had better not start."""
        machine = self.children.members[child].machine
        is_vital = child.kind in ("ingest", "egress")
        has_failed = machine.state in (ChildState.BACKOFF, ChildState.FATAL)
        if is_vital and has_failed and child not in self._ever_ready and not self._is_announced:
            self._failure = f"{child} cannot start: {machine.reason}"
            self._stop.set()

    def _endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(self.farm.endpoints.values())

    # ---- orders -----------------------------------------------------------------------------

    def _do(self, actions: Sequence[Action]) -> None:
        for order in actions:
            match order:
                case Send(child, _) if child == NO_INGEST:
                    pass
                case Send(child, message, payloads):
                    if not self._control.send(child, message, payloads):
                        log.warning("not sent child=%s kind=%s", child, type(message).__name__)
                case FailChild(child, reason):
                    self.children.fail_and_restart(child, reason)
                case StartWorker(child):
                    log.warning("starting a worker for one stream alone child=%s", child)
                    self.children.start(self._plan(child))
                case StopWorker(child):
                    # not while the child's own event is still being seen to
                    self._loop.call_soon(self.children.remove, child)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.farm.next_deadline()
        if deadline < float("inf") and not self._is_stopping:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._do(self.farm.tick(self._loop.time()))

    # ---- for people -------------------------------------------------------------------------

    def listening(self) -> list[str]:
        """The real addresses."""
        hellos = [h for h in self.farm.hellos.values() if h.child.kind == "ingest"]
        return list(dict.fromkeys(address for hello in hellos for address in hello.listen))

    def _look_if_ready(self) -> None:
        if set(self._names) <= set(self.farm.hellos):
            self._say_where()

    def _say_where(self) -> None:
        """Once: print where the farm is, tell systemd."""
        if self._is_announced or self._stop.is_set():
            return
        self._is_announced = True
        hellos = [self.farm.hellos[name] for name in self._names if name in self.farm.hellos]
        devices: list[DeviceInfo] = [h.device for h in hellos if h.device is not None]
        self._announce(
            banner(
                VERSION,
                str(self._run_dir),
                self.listening() or [address_text(self._listen)],
                self.settings,
                self.farm.roster.fleet,
                devices,
            )
        )
        self._systemd.ready()

    def _on_hup(self) -> None:
        _, text = self.reload()
        log.info("SIGHUP: %s", text.replace("\n", "; "))

    def reload(self) -> tuple[bool, str]:
        """Read the configuration again; what became of it, in words."""
        if self.config_path is None:
            return False, "the farm runs without a configuration file: nothing to reload"
        try:
            loaded = config.load(self.config_path)
        except ConfigError as error:
            lines = [f"{self.config_path}: nothing was changed", *map(str, error.faults)]
            log.error("configuration not reloaded faults=%d", len(error.faults))
            return False, "\n".join(lines)
        result = reloaded(self.settings, loaded, self._cores)
        self.settings = result.settings
        logging.getLogger("tfarm").setLevel(self.settings.log_level)
        self._control.broadcast(Configure(self.settings))
        for name in result.new_workers:
            self._expect(name)
            self.children.start(self._plan(name))
        self._start_further()
        self._do(self.farm.configure(self.settings, self._loop.time()))
        said = f"{self.config_path} is loaded; templates hold for new streams"
        return True, "; ".join((said, *result.kept))

    def status(self) -> Json:
        """The document of `tfarm status --json`."""
        me = os.getpid()
        now = self._loop.time()
        facts = FarmFacts(
            version=VERSION,
            run_dir=str(self._run_dir),
            config=str(self.config_path or ""),
            started_unix=self._started_unix,
            supervisor=self._facts(ChildId("supervisor"), "ready", me, 0, "", self._started_s),
            children=[
                self._facts(
                    member.plan.name,
                    member.machine.state.value,
                    member.process.pid if member.process else 0,
                    member.machine.restarts,
                    member.machine.reason,
                    member.machine.since(),
                )
                for member in self.children.members.values()
            ],
            now_s=now,
            now_unix=time.time(),
            listen=self.listening(),
        )
        return snapshot(facts, self.farm)

    def _facts(
        self, name: ChildId, state: str, pid: int, restarts: int, reason: str, since_s: float
    ) -> ChildFacts:
        return ChildFacts(
            name,
            state,
            pid,
            restarts,
            reason,
            since_s,
            pss_bytes(pid) if pid else 0,
            self._cpu.percent.get(pid, 0.0),
        )


def serve(
    settings: Settings,
    run_dir: Path,
    *,
    config_path: Path | None = None,
    program: Program = python_module,
) -> int:
    """Run a farm in a run directory until it is told to stop; the exit code.

    Raises:
        RunDirError: the run directory cannot be used, or another farm runs there.
    """
    run_dir = run_directory.prepare(run_dir)
    lock = RunDirLock(run_dir)

    async def main() -> int:
        supervisor = Supervisor(
            settings,
            run_dir,
            config_path=config_path,
            program=program,
            announce=lambda text: print(text, flush=True),
        )
        return await supervisor.run()

    try:
        return asyncio.run(main())
    finally:
        lock.release()
