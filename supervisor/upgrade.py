"""The upgrade of a running farm (IO: this process, the children).

`tfarm upgrade`, of the next version, asks the supervisor to become it. So the supervisor runs that
version once, to see if it starts with this farm's configuration and understands its messages, and
then becomes it by exec: the same process, whose children stay its children. The new one adopts them
by their hellos, as after any end of a supervisor, and replaces them one by one
(`supervisor/processes/succession.py`).
"""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from common.ipc.control_messages import Hello
from common.ipc.endpoint import socket_path
from common.ipc.envelope import VERSION as WIRE_VERSION
from common.ipc.identity import ChildId
from common.ipc.kinds import KINDS
from common.ipc.succession_messages import Retire as RetireMessage
from common.ipc.succession_messages import Successor
from common.version import VERSION
from common.words import counted
from supervisor.executor import Executor
from supervisor.farm.farm import Farm
from supervisor.farm.operators.operator_commands import OperatorCommands
from supervisor.farm.retiring import asked, left
from supervisor.processes.children import Children
from supervisor.processes.control import Control
from supervisor.processes.launcher import Launcher
from supervisor.processes.succession import (
    NOBODY,
    Action,
    Begin,
    End,
    Facts,
    GiveUp,
    Move,
    Old,
    Restart,
    Retire,
    Succession,
)

log = logging.getLogger("tfarm.supervisor.upgrade")

PROBE: Final = "--probe"  # says which version it is, and ends
OPTION: Final = "--upgrade"  # replace the children; with the deadline of those that retire, 0: none
PROBE_S: Final = 60.0
TICK_S: Final = 0.1
GIVEN_UP: Final = "who served before serves on; run `tfarm upgrade` of a version that starts"

Json = dict[str, Any]


def command_of(executable: str, argv: Sequence[str], *more: str) -> list[str]:
    """Say how this very program is run by another Python; `argv` is as it was started."""
    arguments = list(argv[1:])
    while OPTION in arguments:
        at = arguments.index(OPTION)
        del arguments[at : at + 2]
    return [executable, *arguments, *more]


def introduction() -> str:
    """What a probe prints."""
    return json.dumps({"version": VERSION, "wire": WIRE_VERSION})


def refusal(code: int, output: str, complaint: str) -> str:
    """Say why a version whose probe ended so cannot be upgraded to; "": it can."""
    if code != 0:
        lines = [line for line in complaint.strip().splitlines() if line.strip()]
        return f"the new version does not start: {lines[-1] if lines else f'exit code {code}'}"
    try:
        found = json.loads(output.strip().splitlines()[-1])
        wire = int(found["wire"])
    except (ValueError, LookupError, TypeError):
        return "what runs there says nothing of its version: it is no tfarm that can be upgraded to"
    if wire != WIRE_VERSION:
        return (
            f"its messages have version {wire}, and those of the farm {WIRE_VERSION}: neither "
            "would understand the other. Stop the farm and start it in the new version"
        )
    return ""


class Upgrade:
    """What one supervisor has to do with upgrades: to become the next version, or to be it."""

    def __init__(
        self,
        farm: Farm,
        children: Children,
        control: Control,
        launcher: Launcher,
        executor: Executor,
        start: Callable[[ChildId], None],
        announce_topology: Callable[[], None],
        deadline_s: float | None,
    ) -> None:
        """`deadline_s`: of those that retire, 0: none; None: nobody is to be replaced."""
        self._farm = farm
        self._children = children
        self._control = control
        self._launcher = launcher
        self._executor = executor
        self._start = start
        self._announce_topology = announce_topology
        self._loop = asyncio.get_running_loop()
        self._succession: Succession | None = None
        self._replaced: dict[ChildId, ChildId] = {}  # successors, by the one before
        self._ending: set[ChildId] = set()  # whose devices are to be forgotten with them
        self._deadline_s = deadline_s
        self._probe: asyncio.Task[None] | None = None
        self._problem = ""
        self._timer: asyncio.TimerHandle | None = None

    # ---- to become the next version -------------------------------------------------------------

    def request(self, executable: str, path: str, deadline_s: float) -> tuple[bool, str]:
        """Become the version that this Python runs, if it starts; whether that is begun.

        `path` is its PYTHONPATH, which has tfarm's packages (`tfarm/__init__.py`).
        """
        if self._probe is not None and not self._probe.done():
            return False, "an upgrade has begun already"
        if self._succession is not None and not self._succession.is_over:
            return False, f"an upgrade to {VERSION} is not over yet: {self._succession.current}"
        if not os.path.isabs(executable) or not os.access(executable, os.X_OK):
            return False, f"{executable[:200]!r} is no program that the farm's user can run"
        self._problem = ""
        environ = os.environ | ({"PYTHONPATH": path} if path else {})
        self._probe = self._loop.create_task(self._become(executable, environ, deadline_s))
        return True, ""

    async def _become(self, executable: str, environ: Mapping[str, str], deadline_s: float) -> None:
        command = command_of(executable, sys.orig_argv, PROBE)
        try:
            probe = await asyncio.to_thread(_run, command, environ)
        except (OSError, subprocess.SubprocessError) as error:
            self._refuse(f"the new version does not start: {error}")
            return
        why_not = refusal(*probe)
        if why_not:
            self._refuse(why_not)
            return
        command = command_of(executable, sys.orig_argv, OPTION, f"{deadline_s:g}")
        log.info("upgrade begins program=%s", executable)
        sys.stdout.flush()
        sys.stderr.flush()
        # neither ends the farm while nobody is there to take it
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            # the farm's own user names it, and no shell reads it
            os.execve(executable, command, environ)  # nosec B606 # see above
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
            self._refuse(f"the new version does not start: {error.strerror}")

    def _refuse(self, problem: str) -> None:
        self._problem = problem
        log.error("upgrade refused reason=%s", problem)

    # ---- to be it -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Replace all children that run, one by one, if that is due."""
        if self._deadline_s is None or self._succession is not None:
            return
        olds = [Old(name, self._children.pid_of(name)) for name in self._children.current()]
        self._succession = Succession(olds, self._successor)
        log.info("upgrade goes on version=%s children=%d", VERSION, len(olds))
        self._tick()

    def close(self) -> None:
        """Replace nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def document(self) -> Json:
        """How far it is."""
        succession = self._succession
        retiring = [
            {"child": str(name), "left": left(self._farm.state, name)}
            for name, hello in self._farm.hellos.items()
            if hello.is_retiring
        ]
        if self._probe is not None and not self._probe.done():
            state = "checking"
        elif self._problem:
            state = "refused"
        elif succession is None:
            state = "none" if self._deadline_s is None else "replacing"
        elif succession.problem:
            state = "stopped"
        else:
            state = "done" if succession.is_over else "replacing"
        return {
            "state": state,
            "version": VERSION,
            "problem": self._problem or (succession.problem if succession else ""),
            "doing": succession.current if succession else "",
            "done": [str(name) for name in succession.done] if succession else [],
            "skipped": [str(name) for name in succession.skipped] if succession else [],
            "retiring": retiring,
        }

    def _tick(self) -> None:
        succession = self._succession
        assert succession is not None
        doing = succession.current
        for action in succession.tick(self._facts, self._loop.time()):
            self._do(action)
        if succession.current != doing and succession.current:
            log.info("replacing what=%s", succession.current)
        self._forget_devices()
        if not succession.is_over or self._ending:
            self._timer = self._loop.call_later(TICK_S, self._tick)
        elif succession.problem:
            log.error("upgrade stopped reason=%s; %s", succession.problem, GIVEN_UP)
        else:
            words = counted(len(succession.done), "process", "is replaced")
            log.info("upgrade over version=%s what=%s", VERSION, words)

    def _facts(self, name: ChildId) -> Facts:
        child = self._children.by_id.get(name)
        if child is None:
            return NOBODY
        state = self._farm.state
        machine, hello = child.machine, self._farm.hellos.get(name)
        is_worker = name in state.workers
        if is_worker:
            at_work = max(state.sessions(name), len(state.served_by(name)))
        else:
            at_work = asked(state, name)
        return Facts(
            machine.state,
            child.process.pid if child.process is not None else 0,
            self._loop.time() - machine.since(),
            at_work,
            "; ".join(sorted(set(self._farm.migration.stuck.values()))) if is_worker else "",
            machine.reason,
            hello is not None and bool(hello.version),
            hello is None or _gives_listeners(hello),
        )

    def _successor(self, old: ChildId) -> ChildId | None:
        return self._launcher.successor(old, self._children.current(), self._children.by_id)

    def _do(self, action: Action) -> None:
        now = self._loop.time()
        match action:
            case Begin(old, new):
                self._begin(old, new)
            case Retire(old):
                self._executor.execute(self._farm.retire(old, now))
                self._announce_topology()
                self._children.retire(old)
                self._control.send(old, RetireMessage(self._deadline_s or 0.0))
                if old in self._replaced:
                    self._launcher.settle(self._replaced[old])
            case Move(old):
                self._executor.execute(OperatorCommands(self._farm).drain([old], now))
            case End(old):
                self._ending.add(old)
                self._children.remove(old)
            case Restart(old):
                self._children.restart(old)
            case GiveUp(old, new) if old == new:
                self._executor.execute(OperatorCommands(self._farm).undrain([old], now))
            case GiveUp(old, new):
                self._launcher.keep(old, new)
                self._ending.add(new)
                self._children.remove(new)

    def _begin(self, old: ChildId, new: ChildId) -> None:
        listeners = self._farm.hellos[old].endpoint.listeners
        self._launcher.replace(old, new, socket_path(listeners))
        self._replaced[old] = new
        self._start(new)
        if listeners:
            self._control.send(old, Successor(self._children.pid_of(new)))

    def _forget_devices(self) -> None:
        """Forget workers that have ended, once no stream is left on them."""
        for name in tuple(self._ending):
            if name in self._children.by_id or self._farm.state.on_device(name):
                continue
            self._ending.discard(name)
            if name in self._farm.state.workers:
                self._farm.devices.remove(name)


def _gives_listeners(hello: Hello) -> bool:
    """Tell if a successor gets the sockets that a child listens by, or it has none to give."""
    has_some = bool(hello.listen) and "listeners" in KINDS[hello.child.kind].sockets
    return not has_some or bool(hello.endpoint.listeners)


def _run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a probe."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        env=environ,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=PROBE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
