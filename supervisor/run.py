"""The supervisor process (IO): builds everything, and carries messages between its parts.

`Farm` decides, `Family` has the processes, `Control` the sockets; this is what stands between
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
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from common import config
from common.awake_clock import AwakeClock
from common.bus import Bus
from common.config_values import listen_address
from common.control_link import BEAT_S, WORKER_BEAT_S, new_boot_id
from common.control_messages import (
    Configure,
    DeviceInfo,
    Endpoint,
    Fatal,
    Hello,
    SupervisorBeat,
    Topology,
    Welcome,
)
from common.errors import ConfigError, ExitCode
from common.identity import ChildName
from common.ladder import Path as ServePath
from common.settings import Settings
from supervisor import run_dir as run_directory
from supervisor.banner import address_text, banner
from supervisor.child import is_alive, kill_stranger
from supervisor.commands import Commands
from supervisor.control import Control
from supervisor.devices import find_gpus
from supervisor.family import Family, Listeners, Plan
from supervisor.farm import Farm
from supervisor.gpu_watch import watch_gpus
from supervisor.hang_watch import Silence
from supervisor.lifecycle import ChildState
from supervisor.notify import notify
from supervisor.proc_stat import CpuMeter, look_at, pss_bytes, rss_bytes
from supervisor.roster import NO_INGEST, CondemnChild, Order, Send, StartWorker, StopWorker
from supervisor.run_dir import ChildRecord, RunDirLock
from supervisor.shared_port import find_port
from supervisor.status import ChildFacts, FarmFacts, Json, snapshot
from supervisor.version import VERSION

log = logging.getLogger("tfarm.supervisor.run")

ADOPT_TIMEOUT_S = 3.0  # for the hellos of children that an earlier supervisor left
CALL_AGAIN_S = 0.05
WATCH_S = 0.25  # between looks for children that have fallen silent
KILL_LOOKS = 40  # each after CALL_AGAIN_S: a killed process holds its port until it is gone
ANNOUNCE_TIMEOUT_S = 4.0  # then say what is known so far

# What runs a child of a kind; tests run toys.
Program = Callable[[str], Sequence[str]]


def python_module(kind: str) -> Sequence[str]:
    """A child is a Python of its own: never forked, never imported here."""
    return (sys.executable, "-P", "-m", kind)


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
        self._ever_ready: set[ChildName] = set()
        self._beats: Counter[ChildName] = Counter()  # messages heard
        self._silences: dict[ChildName, Silence] = {}
        self._failure = ""
        self._timer: asyncio.TimerHandle | None = None
        self._is_adopting = True
        self._loop = asyncio.get_running_loop()
        self._names = self._wanted()
        self.farm = Farm(settings, len(os.sched_getaffinity(0)))
        self._bus = Bus()
        self.family = Family(
            run_dir, Listeners(self._on_up, self._on_down, lambda name: self._on_change(name))
        )
        commands = Commands(self)
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
                watch = tasks.create_task(self._watch())
                for name in self._names:
                    self._expect(name)
                await self._adopt()
                self._is_adopting = False
                self._greet_adopted()
                self._choose_port()
                for name in self._names if not self._failure else ():
                    self.family.start(self._plan(name))
                self._do(self.farm.settle(self._loop.time()))
                late = self._loop.call_later(ANNOUNCE_TIMEOUT_S, self._say_where)
                gpus = watch_gpus(self._gpu_uuids(), self._hear_of_gpu)
                await self._stop.wait()
                late.cancel()
                if gpus is not None:
                    gpus.stop()
                self._is_stopping = True
                notify("STOPPING=1")
                await self.family.stop_all()
                beats.cancel()
                watch.cancel()
        except BaseException:
            log.critical("supervisor failed; its children go on and wait for another")
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self.family.leave()
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
            self.family.kill_all()
        self._stop.set()

    async def _beat(self) -> None:
        while True:
            self._control.broadcast(SupervisorBeat(self._boot_id))
            self._cpu.sample([os.getpid(), *self.family.pids()], self._loop.time())
            self._watch_memory()
            await asyncio.sleep(BEAT_S)

    async def _watch(self) -> None:
        """Give up children that have stopped, or sleep and say nothing any more."""
        clock = AwakeClock(2 * WATCH_S)
        while True:
            await asyncio.sleep(WATCH_S)
            awake_s = clock.tick(self._loop.time())
            for name, silence in list(self._silences.items()):
                process = self.family.members[name].process
                if process is None:
                    continue
                reason = silence.observe(self._beats[name], awake_s, partial(look_at, process.pid))
                if reason is not None:
                    self.family.condemn(name, reason)

    def _watch_memory(self) -> None:
        """A worker that leaks takes the whole host with it, if it is let."""
        limit = self.settings.worker.max_memory_bytes
        for name, member in self.family.members.items():
            if member.kind == "worker" and member.process is not None:
                used = rss_bytes(member.process.pid)
                if used > limit:
                    self.family.condemn(name, f"{used >> 20} MiB exceed {limit >> 20} MiB")

    # ---- which children ---------------------------------------------------------------------

    def _wanted(self) -> list[ChildName]:
        names = [f"egress:{i}" for i in range(self.settings.egress.processes)]
        names += [f"worker:cpu:{i}" for i in range(self.settings.software.workers)]
        names += [f"worker:{gpu.uuid}" for gpu in find_gpus(self.settings.devices)]
        names += [f"ingest:{i}" for i in range(self.settings.ingest.processes)]
        return [ChildName(name) for name in names]

    def _expect(self, name: ChildName) -> None:
        if name.startswith("worker:"):
            is_software = name.startswith("worker:cpu:")
            path = ServePath.SOFTWARE if is_software else ServePath.GPU_ONLY
            self.farm.roster.expect_device(name, path, self._loop.time())

    def _plan(self, name: ChildName) -> Plan:
        kind, _, rest = name.partition(":")
        environ = {"CUDA_VISIBLE_DEVICES": ""}
        if kind == "worker" and not rest.startswith("cpu:"):
            environ["CUDA_VISIBLE_DEVICES"] = rest

        def command() -> Sequence[str]:
            argv = [*self._program(kind), "--name", name, "--run-dir", str(self._run_dir)]
            argv += ["--orphan-timeout", str(self.settings.orphan_timeout_s)]
            if kind == "ingest":
                argv += ["--listen", address_text(self._listen)]
                if self.settings.ingest.processes > 1:
                    argv.append("--share-port")
            if kind == "worker":
                argv += ["--device", rest]
                argv += ["--threads", str(self.settings.software.encoder_threads)]
            return argv

        return Plan(name, command, environ)

    def _choose_port(self) -> None:
        """Where several ingests will listen, unless one that was adopted does already."""
        is_there = any(hello.kind == "ingest" for hello in self.farm.hellos.values())
        if self.settings.ingest.processes == 1 or is_there:
            return
        try:
            port = find_port(self._listen.host, self._listen.port)
        except OSError as error:
            self._failure = error.strerror or str(error)
            self._stop.set()
        else:
            self._listen = replace(self._listen, port=port)

    async def _adopt(self) -> None:
        """Take over the children that still run; end those that do not answer."""
        records = [
            record
            for record in run_directory.read_children(self._run_dir)
            if is_alive(record.pid, record.start_ticks)
        ]
        run_directory.remove_sockets(self._run_dir, [record.boot_id for record in records])
        deadline = self._loop.time() + ADOPT_TIMEOUT_S
        while (missing := self._not_adopted(records)) and self._loop.time() < deadline:
            for record in missing:
                if record.boot_id:
                    self._control.call(record.name, record.boot_id)
            await asyncio.sleep(CALL_AGAIN_S)
        for record in missing:
            log.error("killing a child that does not answer child=%s", record.name)
            kill_stranger(record.pid, record.start_ticks, signal.SIGKILL)
            for _ in range(KILL_LOOKS):
                if not is_alive(record.pid, record.start_ticks):
                    break
                await asyncio.sleep(CALL_AGAIN_S)
            run_directory.remove_sockets_of(self._run_dir, record.boot_id)

    def _not_adopted(self, records: Sequence[ChildRecord]) -> list[ChildRecord]:
        running = set(self.family.pids())
        return [
            record
            for record in records
            if record.pid not in running and is_alive(record.pid, record.start_ticks)
        ]

    # ---- from the children ------------------------------------------------------------------

    def _on_hello(self, hello: Hello) -> None:
        member = self.family.members.get(hello.child)
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
            self.family.adopt(plan, hello.pid, hello.start_ticks, hello.boot_id)
        elif member.process is None or member.process.pid != hello.pid:
            log.error("ending a second child of one name child=%s pid=%d", hello.child, hello.pid)
            kill_stranger(hello.pid, hello.start_ticks, signal.SIGTERM)
            return
        elif member.machine.state is ChildState.STOPPING:
            return
        elif not self._is_adopting:
            self._greet(hello)
        if hello.child.startswith("ingest:") and hello.listen:
            self._keep_port(hello.listen[0])
        self.family.said_hello(hello.child, hello.boot_id)
        self._do(self.farm.child_up(hello, now))
        if not self._is_adopting:
            self._control.broadcast(Topology(self._endpoints()))
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

    def _on_message(self, child: ChildName, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, Fatal):
            log.error("fatal child=%s reason=%s", child, message.reason)
            if message.exit_code == ExitCode.DEVICE_LOST:
                self.farm.roster.device_lost(child, message.reason)
            self.family.said_fatal(child, message.reason)
            return
        self._beats[child] += 1
        self.family.heard(child)
        if child in self.farm.hellos:
            self._do(self.farm.message(child, message, self._loop.time(), payloads))

    def _gpu_uuids(self) -> list[str]:
        names = [name.removeprefix("worker:") for name in self._names]
        return [name for name in names if name.startswith("GPU-")]

    def _hear_of_gpu(self, uuid: str, reason: str) -> None:
        """From the watch's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._gpu_lost, uuid, reason)

    def _gpu_lost(self, uuid: str, reason: str) -> None:
        """Its worker may not see it: what is on the bus no more cannot fail."""
        worker = ChildName(f"worker:{uuid}")
        log.error("GPU lost uuid=%s reason=%s", uuid, reason)
        self.farm.roster.device_lost(worker, reason)
        self.family.condemn(worker, reason)

    def _on_up(self, child: ChildName) -> None:
        self._ever_ready.add(child)
        beat_s = WORKER_BEAT_S if child.startswith("worker:") else BEAT_S
        self._silences[child] = Silence(beat_s, self.settings.worker.hang_timeout_s)

    def _on_down(self, child: ChildName, reason: str, crashed: bool) -> None:
        self._control.forget(child)
        self._silences.pop(child, None)
        if self._is_stopping:
            return
        self._do(self.farm.child_down(child, reason, self._loop.time(), crashed=crashed))
        self._control.broadcast(Topology(self._endpoints()))

    def _on_change(self, child: ChildName) -> None:
        """A farm that cannot listen or serve from its very start had better not start."""
        machine = self.family.members[child].machine
        is_vital = child.startswith(("ingest:", "egress:"))
        has_failed = machine.state in (ChildState.BACKOFF, ChildState.FATAL)
        if is_vital and has_failed and child not in self._ever_ready and not self._is_announced:
            self._failure = f"{child} cannot start: {machine.reason}"
            self._stop.set()

    def _endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(self.farm.endpoints.values())

    # ---- orders -----------------------------------------------------------------------------

    def _do(self, orders: Sequence[Order]) -> None:
        for order in orders:
            match order:
                case Send(child, _) if child == NO_INGEST:
                    pass
                case Send(child, message, payloads):
                    if not self._control.send(child, message, payloads):
                        log.warning("not sent child=%s kind=%s", child, type(message).__name__)
                case CondemnChild(child, reason):
                    self.family.condemn(child, reason)
                case StartWorker(child):
                    log.warning("starting a worker for one stream alone child=%s", child)
                    self.family.start(self._plan(child))
                case StopWorker(child):
                    # not while the child's own event is still being seen to
                    self._loop.call_soon(self.family.dismiss, child)
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
        hellos = [h for h in self.farm.hellos.values() if h.kind == "ingest"]
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
        notify(f"READY=1\nMAINPID={os.getpid()}")

    def _on_hup(self) -> None:
        _, text = self.reload()
        log.info("SIGHUP: %s", text.replace("\n", "; "))

    def reload(self) -> tuple[bool, str]:
        """Read the configuration again; what became of it, in words."""
        if self.config_path is None:
            return False, "the farm runs without a configuration file: nothing to reload"
        try:
            settings = config.load(self.config_path)
        except ConfigError as error:
            lines = [f"{self.config_path}: nothing was changed", *map(str, error.faults)]
            log.error("configuration not reloaded faults=%d", len(error.faults))
            return False, "\n".join(lines)
        text = f"{self.config_path} is loaded; templates hold for new streams"
        before = self.settings
        if (settings.listen, settings.devices.use_gpus, settings.devices.exclude) != (
            before.listen,
            before.devices.use_gpus,
            before.devices.exclude,
        ):
            text += "; [listen] and the choice of GPUs only change with a restart"
        if (settings.ingest.processes, settings.egress.processes) != (
            before.ingest.processes,
            before.egress.processes,
        ):
            text += "; the number of ingest and egress processes only changes with a restart"
        if settings.software.workers < before.software.workers:
            text += "; fewer software workers only after a restart"
        # how many ingests and egresses there are is decided at the start
        self.settings = replace(
            settings,
            listen=before.listen,
            ingest=replace(settings.ingest, processes=before.ingest.processes),
            egress=replace(settings.egress, processes=before.egress.processes),
        )
        logging.getLogger("tfarm").setLevel(settings.log_level)
        self._control.broadcast(Configure(self.settings))
        for index in range(before.software.workers, settings.software.workers):
            name = ChildName(f"worker:cpu:{index}")
            self._expect(name)
            self.family.start(self._plan(name))
        self._do(self.farm.configure(self.settings, self._loop.time()))
        return True, text

    def kick(self, app: str, key: str) -> str:
        """End one stream, forget its crashes; what was done, "" when there was nothing to do."""
        cleared = self.farm.clear(app, key)
        orders = self.farm.kick(app, key)
        self._do(orders)
        if orders:
            return f"{app}/{key} is being ended"
        return f"{app}/{key} is not refused any more" if cleared else ""

    def drain(self, device: str) -> tuple[bool, str, Json]:
        """Begin or go on with a device's drain: whether there is one, and what is left on it."""
        worker = self.farm.find_device(device)
        if worker is None:
            return False, self._no_device(device), {}
        if worker not in self.farm.roster.drained:
            log.info("draining device=%s", worker)
        self._do(self.farm.drain(worker, self._loop.time()))
        left = [
            {"stream": stream.stream_id, "reason": self.farm.moves.stuck.get(stream.stream_id, "")}
            for stream in self.farm.roster.on_device(worker)
        ]
        return True, "", {"streams": left, "sessions": self.farm.sessions(worker)}

    def undrain(self, device: str) -> tuple[bool, str]:
        worker = self.farm.find_device(device)
        if worker is None:
            return False, self._no_device(device)
        self._do(self.farm.undrain(worker, self._loop.time()))
        log.info("not drained any more device=%s", worker)
        return True, f"{device} takes streams again"

    def drain_all(self, timeout_s: float | None) -> Json:
        """Begin or go on with the drain of all; how many streams are left."""
        self.farm.drain_all(timeout_s, self._loop.time())
        self._arm()
        return {"streams": len(self.farm.roster.streams)}

    def undrain_all(self) -> str:
        self._do(self.farm.undrain_all(self._loop.time()))
        return "the farm takes streams again"

    def rebalance(self) -> str:
        orders = self.farm.moves.rebalance(self._loop.time())
        self._do(orders)
        return f"{len(orders)} streams move" if orders else "no move would even the load out"

    def _no_device(self, device: str) -> str:
        known = ", ".join(name.partition(":")[2] for name in self.farm.roster.fleet.devices)
        return f"there is no device {device}; there are: {known}"

    def status(self) -> Json:
        """The document of `tfarm status --json`."""
        me = os.getpid()
        now = self._loop.time()
        facts = FarmFacts(
            version=VERSION,
            run_dir=str(self._run_dir),
            config=str(self.config_path or ""),
            started_unix=self._started_unix,
            supervisor=self._facts(ChildName("supervisor"), "ready", me, 0, "", self._started_s),
            children=[
                self._facts(
                    member.plan.name,
                    member.machine.state.value,
                    member.process.pid if member.process else 0,
                    member.machine.restarts,
                    member.machine.reason,
                    member.machine.since(),
                )
                for member in self.family.members.values()
            ],
            now_s=now,
            now_unix=time.time(),
            listen=self.listening(),
        )
        return snapshot(facts, self.farm)

    def _facts(
        self, name: ChildName, state: str, pid: int, restarts: int, reason: str, since_s: float
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
