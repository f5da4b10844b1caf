"""One child's life as a state machine: events and the time in, actions out. Pure.

The table `_NEXT` is all there is of transitions; what is not in it changes nothing and does
nothing (a late hello of a child that is being stopped). `handle` returns what the shell must do;
`next_deadline` when to call it again with `Tick` if nothing else comes.

STARTING   spawned, no hello yet; killed when none comes in time
READY      sent its hello; warned about when its heartbeats are slow, killed when they stop
STOPPING   told to end (TERM, then KILL), or killed for a reason; waiting for the exit
BACKOFF    dead, to be started again later
EXITED     not running, and not to be
FATAL      not running: starting it again cannot help (exit codes 2 and 6)

A child that has served is started again at once, however often it dies, and so is one that was
killed by hand. Back-off is for failures at the start: a child that ends before it has been READY
for two seconds is started again at once the first time, then after 1, 2, 4 … 30 s; ingest and
egress after 1 s at most, since nobody is served without them. Exit code 3 (its device or listener
cannot be used) skips the "at once"; after it, and after code 4 (its device is lost), it takes a
minute in READY to have served.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

from common.errors import ExitCode

HELLO_TIMEOUT_S = 20.0
SLOW_S = 3.0  # without a heartbeat: a warning
SILENT_S = 10.0  # … killed
TERM_TIMEOUT_S = 5.0
FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
VITAL_BACKOFF_S = 1.0  # at most, of a kind without which nobody is served
SERVED_S = 2.0  # in READY for this long: what ended it was no failure at the start
STEADY_S = 60.0  # … where it ends for its device's sake


class ChildState(Enum):
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    EXITED = "exited"
    FATAL = "fatal"


RUNNING = frozenset({ChildState.STARTING, ChildState.READY, ChildState.STOPPING})

# ---- events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Someone wants this child."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """It runs already, started by an earlier supervisor, and has sent its hello."""


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    reason: str


@dataclass(frozen=True, slots=True)
class HelloReceived:
    pass


@dataclass(frozen=True, slots=True)
class MessageReceived:
    pass


@dataclass(frozen=True, slots=True)
class Exited:
    """Its process is gone; `code` as subprocess has it (-9: SIGKILL), None: nobody knows."""

    code: int | None
    reason: str = ""  # that it reported before
    is_by_hand: bool = False  # somebody sent SIGKILL, and not for memory: its work is not to blame


@dataclass(frozen=True, slots=True)
class Stop:
    """Nobody wants this child any more."""


@dataclass(frozen=True, slots=True)
class Retire:
    """It has a successor: it ends by itself, and is not started again."""


@dataclass(frozen=True, slots=True)
class Fail:
    """It runs but does not work: kill it and start it anew."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    pass


Event = (
    Start
    | Adopt
    | SpawnFailed
    | HelloReceived
    | MessageReceived
    | Exited
    | Stop
    | Retire
    | Fail
    | Tick
)

# ---- actions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    pass


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL."""

    reason: str


@dataclass(frozen=True, slots=True)
class CameUp:
    """It is READY: its work may begin."""


@dataclass(frozen=True, slots=True)
class WentDown:
    """It serves nobody from now on; `crashed`: by a fault that its work may have brought about."""

    reason: str
    crashed: bool


@dataclass(frozen=True, slots=True)
class Warn:
    text: str


Action = Spawn | Terminate | Kill | CameUp | WentDown | Warn


class _Trigger(Enum):
    """An event, once its data and the time have been looked at."""

    START = auto()
    ADOPT = auto()
    HELLO = auto()
    FAIL = auto()  # kill, then start anew
    EXIT_AGAIN = auto()  # gone; to be started at once
    EXIT_LATER = auto()  # gone; to be started after the back-off
    EXIT_DONE = auto()  # gone; not wanted
    EXIT_FATAL = auto()
    STOP = auto()
    RETRY = auto()  # the back-off is over


_S = ChildState
_EXITS = {
    _Trigger.EXIT_AGAIN: _S.STARTING,
    _Trigger.EXIT_LATER: _S.BACKOFF,
    _Trigger.EXIT_DONE: _S.EXITED,
    _Trigger.EXIT_FATAL: _S.FATAL,
}
_NEXT: dict[ChildState, dict[_Trigger, ChildState]] = {
    _S.EXITED: {_Trigger.START: _S.STARTING, _Trigger.ADOPT: _S.READY},
    _S.STARTING: {
        _Trigger.HELLO: _S.READY,
        _Trigger.FAIL: _S.STOPPING,
        _Trigger.STOP: _S.STOPPING,
        **_EXITS,
    },
    _S.READY: {_Trigger.FAIL: _S.STOPPING, _Trigger.STOP: _S.STOPPING, **_EXITS},
    _S.STOPPING: _EXITS,
    _S.BACKOFF: {
        _Trigger.RETRY: _S.STARTING,
        _Trigger.START: _S.STARTING,
        _Trigger.STOP: _S.EXITED,
    },
    _S.FATAL: {_Trigger.START: _S.STARTING, _Trigger.STOP: _S.EXITED},
}


class ChildMachine:
    """One child. `restarts` counts spawns after the first one."""

    def __init__(
        self, *, hello_timeout_s: float = HELLO_TIMEOUT_S, max_backoff_s: float = MAX_BACKOFF_S
    ) -> None:
        self.state = ChildState.EXITED
        self.wanted = False
        self.restarts = 0
        self.reason = ""  # of the last end, or of the coming one
        self._hello_timeout_s = hello_timeout_s
        self._max_backoff_s = max_backoff_s
        self._failures = 0
        self._ready_for_s = 0.0  # how long this incarnation was READY, once that is over
        self._entered_s = 0.0  # when the present state began
        self._last_message_s = 0.0
        self._warned = False
        self._deadline_s = math.inf  # of STARTING, STOPPING, BACKOFF
        self._is_up = False

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING

    def since(self) -> float:
        """When the present state began."""
        return self._entered_s

    def next_deadline(self) -> float:
        """When `Tick` is due; infinity when it is not."""
        if self.state is ChildState.READY:
            return self._last_message_s + (SILENT_S if self._warned else SLOW_S)
        return self._deadline_s

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take an event; what must be done, in this order."""
        match event:
            case Start():
                self.wanted = True
                return self._transition(_Trigger.START, now)
            case Adopt():
                self.wanted = True
                self._last_message_s, self._warned = now, False
                return self._transition(_Trigger.ADOPT, now)
            case HelloReceived():
                self._last_message_s, self._warned = now, False
                return self._transition(_Trigger.HELLO, now)
            case MessageReceived():
                self._last_message_s, self._warned = now, False
                return []
            case Stop():
                self.wanted = False
                self.reason = "told to stop"
                return self._transition(_Trigger.STOP, now)
            case Retire():
                self.wanted = False
                return []
            case Fail(reason):
                return self._fail_and_restart(reason, now)
            case SpawnFailed(reason):
                self.reason = f"cannot be started: {reason}"
                return self._transition(self._exit_trigger(None, now, may_be_at_once=False), now)
            case Exited():
                return self._on_exit(event, now)
            case Tick():
                return self._tick(now)

    def _tick(self, now: float) -> list[Action]:
        if now < self.next_deadline():
            return []
        match self.state:
            case ChildState.STARTING:
                return self._fail_and_restart(f"no hello within {self._hello_timeout_s:g} s", now)
            case ChildState.READY if self._warned:
                return self._fail_and_restart(f"no heartbeat for {SILENT_S:g} s", now)
            case ChildState.READY:
                self._warned = True
                return [Warn(f"no heartbeat for {SLOW_S:g} s")]
            case ChildState.STOPPING:
                # once more each time: a process may be in uninterruptible sleep
                self._deadline_s = now + TERM_TIMEOUT_S
                return [Kill(f"did not end within {TERM_TIMEOUT_S:g} s")]
            case ChildState.BACKOFF:
                return self._transition(_Trigger.RETRY, now)
            case ChildState.EXITED | ChildState.FATAL:
                return []

    def _fail_and_restart(self, reason: str, now: float) -> list[Action]:
        if self.state not in (ChildState.STARTING, ChildState.READY):
            return []
        self.reason = reason
        return [Kill(reason), *self._transition(_Trigger.FAIL, now)]

    def _on_exit(self, event: Exited, now: float) -> list[Action]:
        if self.state not in RUNNING:
            return []
        code, reason = event.code, event.reason
        if self.state is not ChildState.STOPPING:
            self.reason = reason or describe_exit(code)
        elif reason:
            self.reason = reason
        by_hand = event.is_by_hand and self.state is not ChildState.STOPPING  # by ours, there
        if by_hand and self.wanted:
            step = _Trigger.EXIT_AGAIN
        else:
            step = self._exit_trigger(code, now, may_be_at_once=True)
        crashed = code not in _ORDERLY and not by_hand
        return self._transition(step, now, crashed=crashed)

    def _exit_trigger(self, code: int | None, now: float, *, may_be_at_once: bool) -> _Trigger:
        if not self.wanted:
            return _Trigger.EXIT_DONE
        if code in (ExitCode.USAGE, ExitCode.UNUSABLE):
            return _Trigger.EXIT_FATAL
        if self.state is ChildState.READY:
            self._ready_for_s = now - self._entered_s
        is_device = code in (ExitCode.BOOT_FAILED, ExitCode.DEVICE_LOST)
        if self._ready_for_s >= (STEADY_S if is_device else SERVED_S):
            self._failures = 0
        self._failures += 1
        if self._failures == 1 and may_be_at_once and code != ExitCode.BOOT_FAILED:
            return _Trigger.EXIT_AGAIN
        return _Trigger.EXIT_LATER

    def _transition(self, step: _Trigger, now: float, *, crashed: bool = True) -> list[Action]:
        state = _NEXT[self.state].get(step)
        if state is None:
            return []
        before, self.state = self.state, state
        if before is ChildState.READY:
            self._ready_for_s = now - self._entered_s
        self._entered_s = now
        self._deadline_s = math.inf
        actions: list[Action] = []
        if self._is_up and state is not ChildState.READY:
            self._is_up = False
            actions.append(WentDown(self.reason, crashed and step is not _Trigger.STOP))
        match state:
            case ChildState.STARTING:
                self._deadline_s = now + self._hello_timeout_s
                self.restarts += before is not ChildState.EXITED
                self._ready_for_s = 0.0
                actions.append(Spawn())
            case ChildState.READY:
                self._is_up = True
                actions.append(CameUp())
            case ChildState.STOPPING:
                self._deadline_s = now + TERM_TIMEOUT_S
                if step is _Trigger.STOP:
                    actions.append(Terminate())
            case ChildState.BACKOFF:
                self._deadline_s = now + self._backoff()
            case ChildState.EXITED | ChildState.FATAL:
                pass
        return actions

    def _backoff(self) -> float:
        """1 s after the first failure that waits, then twice as long each time."""
        return min(
            self._max_backoff_s, FIRST_BACKOFF_S * 2.0 ** max(0, min(self._failures - 2, 10))
        )


# Exits that a child chose: by hand, without a supervisor, or without its device. Which stream met
# the loss of a device is reported by `StreamTrouble`.
_ORDERLY = (ExitCode.OK, ExitCode.DEVICE_LOST, ExitCode.ORPHANED, ExitCode.UNUSABLE)
_SIGNALS = {
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL: by hand, or out of memory",
    11: "SIGSEGV",
    15: "SIGTERM",
}


def describe_exit(code: int | None) -> str:
    """An exit status in words."""
    if code is None:
        return "ended, exit status unknown"
    if code < 0:
        name = _SIGNALS.get(-code)
        return f"killed by signal {-code}{f' ({name})' if name else ''}"
    if code == 0:  # children end in order on SIGTERM alone (common/ipc/child.py)
        return "ended in order by signal 15 (SIGTERM)"
    try:
        return f"exit code {code} ({ExitCode(code).name.lower().replace('_', ' ')})"
    except ValueError:
        return f"exit code {code}"
