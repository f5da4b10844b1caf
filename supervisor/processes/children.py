"""The children as processes (IO): carries out what each one's `ChildMachine` decides.

Spawns, signals, watches exits and deadlines, and keeps the list that a next supervisor adopts
from. What a child's coming and going means for streams is the caller's: it hears of `on_up` and
`on_down`, in pairs.
"""

import asyncio
import contextlib
import logging
import math
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from common.errors import ExitCode
from common.ipc.identity import BootId, ChildId
from supervisor.processes import run_dir as run_directory
from supervisor.processes.launch import Plan
from supervisor.processes.lifecycle import (
    Adopt,
    Beat,
    CameUp,
    ChildMachine,
    ChildState,
    Condemn,
    Event,
    Exited,
    Kill,
    SaidHello,
    Spawn,
    SpawnFailed,
    Start,
    Stop,
    Terminate,
    Tick,
    Warn,
    WentDown,
)
from supervisor.processes.process import Process
from supervisor.processes.run_dir import ChildRecord

log = logging.getLogger("tfarm.supervisor.processes.children")

# The order of a clean end: publishers first, so that workers and players get all that was taken.
STAGES = ("ingest", "worker", "egress")
NO_BOOT_ID = BootId("")  # before the hello
LAST_WORDS_S = 0.05
STAGE_S = 2.0  # after this the next stage begins anyway
LATE_S = 0.5  # a timer that fires so late: what children said meanwhile is not read yet


@dataclass(slots=True)
class Member:
    """One child."""

    plan: Plan
    machine: ChildMachine
    process: Process | None = None
    boot_id: BootId = NO_BOOT_ID
    fatal: str = ""  # what it said itself before its end
    is_removed: bool = False  # to be forgotten when it has ended

    @property
    def kind(self) -> str:
        return self.plan.name.kind


@dataclass(frozen=True, slots=True)
class Listeners:
    """What the family tells its owner."""

    on_up: Callable[[ChildId], None]
    on_down: Callable[[ChildId, str, bool], None]  # reason, crashed
    on_change: Callable[[ChildId], None]  # some state is another


class Children:
    """All children of one supervisor."""

    def __init__(self, run_dir: Path, listeners: Listeners) -> None:
        self.members: dict[ChildId, Member] = {}
        self._run_dir = run_dir
        self._listeners = listeners
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    # ---- what the owner asks ----------------------------------------------------------------

    def start(self, plan: Plan) -> None:
        """Want this child; starts it unless it runs."""
        member = self.members.get(plan.name)
        if member is None:
            member = self.members[plan.name] = Member(plan, ChildMachine())
        member.plan = plan
        self._feed(member, Start())

    def adopt(self, plan: Plan, pid: int, ticks: int, boot_id: BootId) -> None:
        """A child that runs already."""
        member = self.members.setdefault(plan.name, Member(plan, ChildMachine()))
        member.process = Process.adopt(pid, ticks, self._exit_of(member))
        member.boot_id = boot_id
        self._feed(member, Adopt())

    def said_hello(self, name: ChildId, boot_id: BootId) -> None:
        member = self.members[name]
        member.boot_id = boot_id
        self._feed(member, SaidHello())
        self._record()

    def heard(self, name: ChildId) -> None:
        member = self.members.get(name)
        if member is not None:
            self._feed(member, Beat())

    def remove(self, name: ChildId) -> None:
        """End a child and forget it."""
        member = self.members.get(name)
        if member is not None:
            member.is_removed = True
            self._feed(member, Stop())

    def reset(self) -> None:
        """This process was starved: nobody's silence counts up to now."""
        for member in list(self.members.values()):
            self._feed(member, Beat())

    def fail_and_restart(self, name: ChildId, reason: str) -> None:
        member = self.members.get(name)
        if member is not None:
            self._feed(member, Condemn(reason))

    def said_fatal(self, name: ChildId, reason: str) -> None:
        """Its last words; the exit follows."""
        if name in self.members:
            self.members[name].fatal = reason

    async def stop_all(self) -> None:
        """End all, stage by stage; returns when nothing runs any more."""
        for stage in STAGES:
            members = [m for m in self.members.values() if m.kind == stage]
            for member in members:
                self._feed(member, Stop())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STAGE_S):
                    await self._until_over(members)
        await self._until_over(self.members.values())

    def kill_all(self) -> None:
        """At once, for a user who will not wait."""
        for member in list(self.members.values()):
            self._feed(member, Stop())
            if member.process is not None:
                member.process.send_signal(signal.SIGKILL)

    def leave(self) -> None:
        """Watch nobody any more, and let them run."""
        if self._timer is not None:
            self._timer.cancel()
        for member in list(self.members.values()):
            if member.process is not None:
                member.process.forget()

    def pids(self) -> list[int]:
        return [m.process.pid for m in self.members.values() if m.process is not None]

    # ---- machines ---------------------------------------------------------------------------

    async def _until_over(self, members: Iterable[Member]) -> None:
        while any(member.machine.is_running for member in members):
            self._changed.clear()
            await self._changed.wait()

    def _feed(self, member: Member, event: Event) -> None:
        before = member.machine.state
        actions = member.machine.handle(event, self._loop.time())
        for action in actions:
            match action:
                case Spawn():
                    # its failure is an event of its own, after this one
                    self._spawn(member)
                case Terminate():
                    self._signal(member, signal.SIGTERM)
                case Kill(reason):
                    log.error("killing child=%s reason=%s", member.plan.name, reason)
                    self._signal(member, signal.SIGKILL)
                case CameUp():
                    log.info("ready child=%s pid=%d", member.plan.name, self._pid(member))
                    self._listeners.on_up(member.plan.name)
                case WentDown(reason, crashed):
                    level = logging.ERROR if member.machine.wanted else logging.DEBUG
                    log.log(level, "down child=%s reason=%s", member.plan.name, reason)
                    self._listeners.on_down(member.plan.name, reason, crashed)
                case Warn(text):
                    log.warning("slow child=%s reason=%s", member.plan.name, text)
        state = member.machine.state
        if state is not before:
            self._say_end(member, state)
            self._changed.set()
            self._listeners.on_change(member.plan.name)
            if member.is_removed and state is ChildState.EXITED:
                self.members.pop(member.plan.name, None)
        self._arm()

    def _say_end(self, member: Member, state: ChildState) -> None:
        if state is ChildState.BACKOFF:
            wait_s = member.machine.next_deadline() - self._loop.time()
            log.warning(
                "restart later child=%s seconds=%.1f reason=%s",
                member.plan.name,
                wait_s,
                member.machine.reason,
            )
        elif state is ChildState.FATAL:
            log.error("given up child=%s reason=%s", member.plan.name, member.machine.reason)

    def _spawn(self, member: Member) -> None:
        plan = member.plan
        environ = {**os.environ, "PYTHONSAFEPATH": "1", **plan.environ}
        member.boot_id, member.fatal = NO_BOOT_ID, ""
        try:
            member.process = Process.spawn(plan.command(), environ, self._exit_of(member))
        except OSError as error:
            reason = error.strerror or str(error)
            self._loop.call_soon(self._feed, member, SpawnFailed(reason))
            return
        log.debug("started child=%s pid=%d", plan.name, member.process.pid)
        self._record()

    def _exit_of(self, member: Member) -> Callable[[int | None], None]:
        def on_exit(code: int | None) -> None:
            if code in (ExitCode.BOOT_FAILED, ExitCode.DEVICE_LOST) and not member.fatal:
                # its last words may still be on their way: they say more than the code does
                self._loop.call_later(LAST_WORDS_S, settle, code)
            else:
                settle(code)

        def settle(code: int | None) -> None:
            member.process = None
            if member.boot_id:
                run_directory.remove_sockets_of(self._run_dir, member.boot_id)
            self._feed(member, Exited(code, member.fatal))
            self._record()

        return on_exit

    def _signal(self, member: Member, number: int) -> None:
        if member.process is not None:
            member.process.send_signal(number)

    def _pid(self, member: Member) -> int:
        return member.process.pid if member.process is not None else 0

    def _record(self) -> None:
        records = [
            ChildRecord(m.plan.name, m.process.pid, m.process.start_ticks, m.boot_id)
            for m in self.members.values()
            if m.process is not None
        ]
        try:
            run_directory.write_children(self._run_dir, records)
        except OSError as error:
            log.error("cannot keep the list of children error=%s", error)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [member.machine.next_deadline() for member in self.members.values()]
        deadline = min(deadlines, default=math.inf)
        if deadline < math.inf:
            self._timer = self._loop.call_at(deadline, self._on_timer, deadline)

    def _on_timer(self, deadline: float) -> None:
        self._timer = None
        if self._loop.time() - deadline > LATE_S:
            self.reset()
        for member in list(self.members.values()):
            self._feed(member, Tick())
        self._arm()
