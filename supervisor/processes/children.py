"""The children as processes (IO): carries out what each one's `ChildMachine` decides.

Spawns, signals, watches exits and deadlines, and keeps the list that a next supervisor adopts
from. What a child's coming and going means for streams is the owner's business: it gets `on_up`
and `on_down`, in pairs.
"""

import asyncio
import contextlib
import logging
import math
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import ExitCode
from common.ipc.control_messages import Hello
from common.ipc.identity import BootId, ChildId
from common.ipc.kinds import KINDS
from common.process import crash_report
from common.process.crash_report import CrashReport
from supervisor.processes import run_dir as run_directory
from supervisor.processes.launch import LaunchSpec, inherited_environ
from supervisor.processes.lifecycle import (
    MAX_BACKOFF_S,
    VITAL_BACKOFF_S,
    Adopt,
    CameUp,
    ChildMachine,
    ChildState,
    Event,
    Exited,
    Fail,
    HelloReceived,
    Kill,
    MessageReceived,
    Retire,
    Spawn,
    SpawnFailed,
    Start,
    Stop,
    Terminate,
    Tick,
    Warn,
    WentDown,
)
from supervisor.processes.proc_stat import OutOfMemory
from supervisor.processes.process import Process
from supervisor.processes.run_dir import ChildRecord
from supervisor.processes.standbys import Standbys

log = logging.getLogger("tfarm.supervisor.processes.children")

NO_BOOT_ID = BootId("")  # before the hello
LAST_WORDS_S = 0.05
STAGE_S = 2.0  # after this the next stage begins anyway
MAX_WAITING = 2  # processes that wait to be the next child of a kind
LATE_S = 0.5  # a timer that fires so late: messages that came meanwhile are not read yet


@dataclass(slots=True)
class Child:
    """One child."""

    spec: LaunchSpec
    machine: ChildMachine
    process: Process | None = None
    boot_id: BootId = NO_BOOT_ID
    address: str = ""  # its ZeroMQ identity at the control socket
    pid: int = 0  # of its process, or of the last one
    fatal: str = ""  # the reason it reported itself before its end
    crash: CrashReport | None = None  # of its last process, if a signal ended that
    is_removed: bool = False  # to be forgotten when it has ended

    @property
    def kind(self) -> str:
        return self.spec.child.kind


def _machine(child: ChildId) -> ChildMachine:
    is_vital = KINDS[child.kind].is_vital
    return ChildMachine(max_backoff_s=VITAL_BACKOFF_S if is_vital else MAX_BACKOFF_S)


def _environ(spec: LaunchSpec) -> dict[str, str]:
    """What a child's environment has over the supervisor's own."""
    return {"PYTHONSAFEPATH": "1", **spec.environ}


@dataclass(frozen=True, slots=True)
class Listeners:
    """The owner's ends of what happens to children."""

    on_up: Callable[[ChildId], None]
    on_down: Callable[[ChildId, str, bool], None]  # reason, crashed
    on_change: Callable[[ChildId], None]  # of a child's state


class Children:
    """All children of one supervisor."""

    def __init__(self, run_dir: Path, listeners: Listeners) -> None:
        self.by_id: dict[ChildId, Child] = {}
        self.left: Sequence[ChildRecord] = ()  # by an earlier supervisor, to be adopted
        self._run_dir = run_dir
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._memory = OutOfMemory()
        self._standbys = Standbys()

    # ---- the owner's calls ----------------------------------------------------------------

    def start(self, spec: LaunchSpec) -> None:
        """Want this child; starts it unless it runs."""
        child = self.by_id.get(spec.child)
        if child is None:
            child = self.by_id[spec.child] = Child(spec, _machine(spec.child))
        child.spec = spec
        self._handle(child, Start())

    def adopt(self, spec: LaunchSpec, pid: int, ticks: int, boot_id: BootId) -> None:
        """Take over a child that runs already."""
        child = self.by_id.setdefault(spec.child, Child(spec, _machine(spec.child)))
        child.process = Process.adopt(pid, ticks, self._exit_of(child))
        child.pid = pid
        child.boot_id = boot_id
        self._handle(child, Adopt())

    def on_hello(self, hello: Hello, address: str) -> None:
        """Take a child for up; `address` is its ZeroMQ identity, for a next supervisor."""
        child = self.by_id[hello.child]
        child.boot_id, child.address = hello.boot_id, address
        self._handle(child, HelloReceived())
        self.record()

    def on_message(self, name: ChildId) -> None:
        child = self.by_id.get(name)
        if child is not None:
            self._handle(child, MessageReceived())

    def remove(self, name: ChildId) -> None:
        """End a child and forget it."""
        child = self.by_id.get(name)
        if child is not None:
            child.is_removed = True
            self._handle(child, Stop())

    def retire(self, name: ChildId) -> None:
        """Forget a child when it has ended, as it will by itself."""
        child = self.by_id.get(name)
        if child is not None:
            child.is_removed = True
            self._handle(child, Retire())

    def restart(self, name: ChildId) -> None:
        """Have a child end in order, to be started again at once."""
        child = self.by_id.get(name)
        if child is not None:
            self._signal(child, signal.SIGTERM)

    def reset(self) -> None:
        """Count no heartbeat as missed up to now: this process itself was starved."""
        for child in list(self.by_id.values()):
            self._handle(child, MessageReceived())

    def fail_and_restart(self, name: ChildId, reason: str) -> None:
        child = self.by_id.get(name)
        if child is not None:
            self._handle(child, Fail(reason))

    def on_fatal(self, name: ChildId, reason: str) -> None:
        """Keep the reason that a child reports before its exit."""
        if name in self.by_id:
            self.by_id[name].fatal = reason

    async def stop_all(self) -> None:
        """End all, kind by kind; returns when nothing runs any more."""
        self._standbys.close()
        for kind in KINDS:
            children = [child for child in self.by_id.values() if child.kind == kind]
            for child in children:
                self._handle(child, Stop())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STAGE_S):
                    await self._until_over(children)
        await self._until_over(self.by_id.values())

    def kill_all(self) -> None:
        """Kill all at once, for a user who will not wait."""
        for child in list(self.by_id.values()):
            self._handle(child, Stop())
            if child.process is not None:
                child.process.send_signal(signal.SIGKILL)

    def leave(self) -> None:
        """Watch no child any more, and let them run."""
        self._standbys.close()
        if self._timer is not None:
            self._timer.cancel()
        for child in list(self.by_id.values()):
            if child.process is not None:
                child.process.forget()

    def current(self) -> list[ChildId]:
        """Return those that are to stay."""
        return [name for name, child in self.by_id.items() if not child.is_removed]

    @property
    def given_up(self) -> set[ChildId]:
        return {n for n, child in self.by_id.items() if child.machine.state is ChildState.FATAL}

    def pids(self) -> list[int]:
        return [child.process.pid for child in self.by_id.values() if child.process is not None]

    def child_of(self, pid: int) -> ChildId | None:
        """Return the child whose running process this is."""
        return next(
            (
                name
                for name, child in self.by_id.items()
                if child.process is not None and child.process.pid == pid
            ),
            None,
        )

    def pid_of(self, name: ChildId) -> int:
        """Return the child's process, also after its end, until the next; 0: it had none."""
        child = self.by_id.get(name)
        return child.pid if child is not None else 0

    def crashed_thread(self, name: ChildId) -> int:
        """Return the thread that the child's last process died in; 0: it is not known."""
        report = self.by_id[name].crash if name in self.by_id else None
        return report.thread if report is not None else 0

    def may_be(self, hello: Hello) -> bool:
        """Tell if this may be a hello of the process that it names.

        A process is one child all its life, under one boot id. Which one those are that an earlier
        supervisor started, its list tells.
        """
        owner = self.child_of(hello.pid)
        if owner is not None:
            return owner == hello.child and self.by_id[owner].boot_id in (NO_BOOT_ID, hello.boot_id)
        records = [record for record in self.left if record.pid == hello.pid]
        return all((r.child, r.start_ticks) == (hello.child, hello.start_ticks) for r in records)

    def record(self) -> None:
        """Write the list that a next supervisor adopts from."""
        records = [
            ChildRecord(
                child.spec.child,
                child.process.pid,
                child.process.start_ticks,
                child.boot_id,
                child.address,
            )
            for child in self.by_id.values()
            if child.process is not None
        ]
        try:
            run_directory.write_children(self._run_dir, records)
        except OSError as error:
            log.error("cannot keep the list of children error=%s", error)

    # ---- machines ---------------------------------------------------------------------------

    async def _until_over(self, children: Iterable[Child]) -> None:
        while any(child.machine.is_running for child in children):
            self._changed.clear()
            await self._changed.wait()

    def _handle(self, child: Child, event: Event) -> None:
        before = child.machine.state
        actions = child.machine.handle(event, self._loop.time())
        for action in actions:
            match action:
                case Spawn():
                    # its failure is an event of its own, after this one
                    self._spawn(child)
                case Terminate():
                    self._signal(child, signal.SIGTERM)
                case Kill(reason):
                    log.error("killing child=%s reason=%s", child.spec.child, reason)
                    self._signal(child, signal.SIGKILL)
                case CameUp():
                    log.info("child ready child=%s pid=%d", child.spec.child, self._pid(child))
                    self._listeners.on_up(child.spec.child)
                    if child.spec.standby:
                        self._prepare_next(child.spec)
                case WentDown(reason, crashed):
                    level = logging.ERROR if child.machine.wanted else logging.DEBUG
                    log.log(level, "child down child=%s reason=%s", child.spec.child, reason)
                    self._listeners.on_down(child.spec.child, reason, crashed)
                case Warn(text):
                    log.warning("child slow child=%s reason=%s", child.spec.child, text)
        state = child.machine.state
        if state is not before:
            self._log_end(child, state)
            self._changed.set()
            self._listeners.on_change(child.spec.child)
            if child.is_removed and state is ChildState.EXITED:
                self.by_id.pop(child.spec.child, None)
        self._arm()

    def _log_end(self, child: Child, state: ChildState) -> None:
        if state is ChildState.BACKOFF:
            wait_s = child.machine.next_deadline() - self._loop.time()
            log.warning(
                "child is started again later child=%s seconds=%.1f reason=%s",
                child.spec.child,
                wait_s,
                child.machine.reason,
            )
        elif state is ChildState.FATAL:
            log.error("child given up child=%s reason=%s", child.spec.child, child.machine.reason)

    def _spawn(self, child: Child) -> None:
        spec = child.spec
        environ = _environ(spec)
        child.boot_id, child.address, child.fatal = NO_BOOT_ID, "", ""
        try:
            command, on_exit = spec.command(), self._exit_of(child)
            ahead = self._standbys.take(command, spec.standby, environ) if spec.standby else None
            if ahead is not None:
                child.process = Process.watch(ahead, on_exit)
            else:
                own = inherited_environ(os.environ, spec.child.kind)
                child.process = Process.spawn(command, own | environ, on_exit)
        except OSError as error:
            reason = error.strerror or str(error)
            self._loop.call_soon(self._handle, child, SpawnFailed(reason))
            return
        child.pid = child.process.pid
        log.debug("child started child=%s pid=%d", spec.child, child.pid)
        self.record()

    def _exit_of(self, child: Child) -> Callable[[int | None], None]:
        def on_exit(code: int | None) -> None:
            has_words = code in (ExitCode.BOOT_FAILED, ExitCode.DEVICE_LOST) and not child.fatal
            if has_words or code == ExitCode.OK:
                # its last words may still be on their way: they say more than the code does
                self._loop.call_later(LAST_WORDS_S, settle, code)
            else:
                settle(code)

        def settle(code: int | None) -> None:
            child.process = None
            if child.boot_id:
                run_directory.remove_sockets_of(self._run_dir, child.boot_id)
            child.crash = self._crash_of(child, code)
            is_killed = code == -signal.SIGKILL
            by_hand = is_killed and not self._memory.may_have_killed(self._loop.time())
            self._handle(child, Exited(code, child.fatal, by_hand))
            self.record()

        return on_exit

    def _prepare_next(self, spec: LaunchSpec) -> None:
        """Have one wait for each child of this kind, two at most."""
        alike = sum(child.spec.standby == spec.standby for child in self.by_id.values())
        self._standbys.prepare(spec.standby, _environ(spec), min(alike, MAX_WAITING))

    def _crash_of(self, child: Child, code: int | None) -> CrashReport | None:
        """Read what a process left that is gone."""
        report = crash_report.take(self._run_dir, child.pid)
        if report is None or code is None or code >= 0:
            return None
        name, where = child.spec.child, report.where or "no Python function"
        log.error("crashed child=%s thread=%#x where=%s", name, report.thread, where)
        return report

    def _signal(self, child: Child, number: int) -> None:
        if child.process is not None:
            child.process.send_signal(number)

    def _pid(self, child: Child) -> int:
        return child.process.pid if child.process is not None else 0

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [child.machine.next_deadline() for child in self.by_id.values()]
        deadline = min(deadlines, default=math.inf)
        if deadline < math.inf:
            self._timer = self._loop.call_at(deadline, self._on_timer, deadline)

    def _on_timer(self, deadline: float) -> None:
        self._timer = None
        if self._loop.time() - deadline > LATE_S:
            self.reset()
        for child in list(self.by_id.values()):
            self._handle(child, Tick())
        self._arm()
