"""The replacement of a farm's processes by those of the next version, one by one. Pure.

A process goes only when its successor is up, and has been for a second. How it goes, the table of
kinds says (`common/ipc/kinds.py`, `Replacing`). Where a successor does not come up, it is given up,
nothing more is replaced, and who served before serves on.

`Succession.tick` is to be called again and again until it is over; it gives the actions in order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from common.ipc.identity import ChildId, Role
from common.ipc.kinds import KINDS, Replacing
from supervisor.processes.lifecycle import ChildState

STEADY_S: Final = 1.0  # in READY, for a successor to be trusted
START_S: Final = 60.0  # for a successor to be so
MOVE_S: Final = 120.0  # for streams to move to other workers: they wait for keyframes
END_S: Final = 15.0  # from an orderly end to the exit: then the next one's turn comes anyway

# Whoever serves only others of the farm goes first, then who has publishers and players: so what
# is wrong with a version shows where it costs least. The API last: it has no successor beside it.
ORDER: Final = (
    *("audio", "sound", "hooks", "encoder", "worker"),
    *("egress", "web", "rtc", "push", "record", "upload", "relay", "srt", "pull", "whip", "ingest"),
    *("tls", "https", "cluster", "api"),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """A child as it is now."""

    state: ChildState | None  # None: there is no such child (any more)
    pid: int = 0
    ready_s: float = 0.0  # how long it has been READY
    left: int = 0  # sessions or questions that it has still
    stuck: str = ""  # why they do not move, if that tells
    reason: str = ""  # of its last end
    can_retire: bool = True  # it is of a version that knows how to
    gives_listeners: bool = True  # as who retires must, where it listens


NOBODY: Final = Facts(None)

# ---- actions ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """Start a successor."""

    old: ChildId
    new: ChildId


@dataclass(frozen=True, slots=True)
class Retire:
    """Have it take nobody new, and end when nobody is left."""

    old: ChildId


@dataclass(frozen=True, slots=True)
class Move:
    """Move its streams to others."""

    old: ChildId


@dataclass(frozen=True, slots=True)
class End:
    """End it and forget it."""

    old: ChildId


@dataclass(frozen=True, slots=True)
class Restart:
    """End it, and start it again."""

    old: ChildId


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End a successor that does not come up, or take back what was begun for it."""

    old: ChildId
    new: ChildId


Action = Begin | Retire | Move | End | Restart | GiveUp


class Awaited(Enum):
    """What is awaited in a step."""

    STARTING = auto()  # the successor
    MOVING = auto()  # what the one before has still
    ENDING = auto()  # its exit
    RESTARTING = auto()  # the same child, as another process


@dataclass(frozen=True, slots=True)
class Old:
    """A process to be replaced."""

    child: ChildId
    pid: int


@dataclass(slots=True)
class _Step:
    old: Old
    new: ChildId
    awaits: Awaited
    since_s: float


def in_order(olds: Sequence[Old]) -> list[Old]:
    """Return them in the order of their replacement; kinds that it does not name come first."""

    def place(old: Old) -> tuple[int, ChildId]:
        kind = old.child.kind
        return ORDER.index(kind) if kind in ORDER else -1, old.child

    return sorted(olds, key=place)


def way_of(child: ChildId) -> Replacing:
    """Say how a child gives way; a dedicated worker has no other of its kind to move to."""
    return Replacing.RESTART if child.role is not Role.NONE else KINDS[child.kind].replacing


class Succession:
    """The replacement of these processes."""

    def __init__(self, olds: Sequence[Old], successor: Callable[[ChildId], ChildId | None]) -> None:
        """`successor` names the one that follows a child; None: there are enough without it."""
        self.waiting = in_order(olds)
        self.done: list[ChildId] = []
        self.skipped: list[ChildId] = []  # of a version that cannot retire: left as they are
        self.problem = ""  # why it has stopped
        self._successor = successor
        self._step: _Step | None = None

    @property
    def is_over(self) -> bool:
        return bool(self.problem) or (self._step is None and not self.waiting)

    @property
    def current(self) -> str:
        """Say what is being done; "": nothing."""
        step = self._step
        if step is None:
            return ""
        if step.new == step.old.child:
            return f"{step.new} is restarted"
        if step.awaits is Awaited.STARTING:
            return f"{step.new} is started, to replace {step.old.child}"
        if step.awaits is Awaited.MOVING:
            return f"what {step.old.child} has moves"
        return f"{step.old.child} ends"

    def tick(self, facts: Callable[[ChildId], Facts], now: float) -> list[Action]:
        """Go on up to what has to be done first: that is in the facts of the next call."""
        while not self.is_over:
            if self._step is None:
                actions: list[Action] | None = self._begin(self.waiting.pop(0), facts, now)
            else:
                actions = self._go_on(self._step, facts, now)
            if actions is None or actions:
                return actions or []
        return []

    def _begin(self, old: Old, facts: Callable[[ChildId], Facts], now: float) -> list[Action]:
        known = facts(old.child)
        if known.state is None or known.pid != old.pid:
            self.done.append(old.child)  # it has ended, or was started again meanwhile
            return []
        way = way_of(old.child)
        if way is Replacing.RETIRE and not known.can_retire:
            self.skipped.append(old.child)
            return []
        if way is Replacing.RETIRE and not known.gives_listeners:
            way = Replacing.RESTART  # of a version whose kind did not retire
        if way is Replacing.RESTART:
            self._step = _Step(old, old.child, Awaited.RESTARTING, now)
            return [Restart(old.child)]
        new = self._successor(old.child)
        if new is None:
            self._step = _Step(old, old.child, Awaited.STARTING, now)
            return self._give_way(self._step, now)
        self._step = _Step(old, new, Awaited.STARTING, now)
        return [Begin(old.child, new)]

    def _go_on(
        self, step: _Step, facts: Callable[[ChildId], Facts], now: float
    ) -> list[Action] | None:
        """Go a step on; None: what is awaited has not come."""
        waited_s = now - step.since_s
        known = facts(step.old.child)
        is_gone = known.state is None or known.pid != step.old.pid
        match step.awaits:
            case Awaited.STARTING | Awaited.RESTARTING:
                return self._await_start(step, facts(step.new), waited_s, now)
            case Awaited.MOVING if is_gone or not known.left:
                return self._enter(step, Awaited.ENDING, now, [End(step.old.child)])
            case Awaited.MOVING if waited_s >= MOVE_S and way_of(step.old.child) is Replacing.END:
                return self._enter(step, Awaited.ENDING, now, [End(step.old.child)])
            case Awaited.MOVING if waited_s >= MOVE_S:
                why = f": {known.stuck}" if known.stuck else ""
                self._fail(f"{known.left} streams do not move off {step.old.child}{why}")
                return [GiveUp(step.old.child, step.old.child)]
            case Awaited.MOVING:
                return None
            case Awaited.ENDING if known.state is None or waited_s >= END_S:
                return self._finish(step)
        return None

    def _await_start(
        self, step: _Step, new: Facts, waited_s: float, now: float
    ) -> list[Action] | None:
        is_other = step.awaits is Awaited.STARTING or new.pid != step.old.pid
        if new.state is ChildState.READY and is_other and new.ready_s >= STEADY_S:
            if step.awaits is Awaited.RESTARTING:
                return self._finish(step)
            return self._give_way(step, now)
        has_failed = new.state in (None, ChildState.BACKOFF, ChildState.FATAL, ChildState.EXITED)
        if not has_failed and waited_s < START_S:
            return None
        why = new.reason if has_failed and new.reason else f"not ready within {START_S:g} s"
        self._fail(f"{step.new} does not start: {why}")
        if step.awaits is Awaited.RESTARTING:
            return []  # it is tried again, as any child
        return [GiveUp(step.old.child, step.new)]

    def _give_way(self, step: _Step, now: float) -> list[Action]:
        """Let the old one go: whoever is to serve instead is there."""
        old = step.old.child
        match way_of(old):
            case Replacing.RETIRE:
                return [Retire(old), *self._finish(step)]
            case Replacing.MOVE:
                return self._enter(step, Awaited.MOVING, now, [Move(old)])
            case _:
                return self._enter(step, Awaited.MOVING, now, [])

    def _enter(
        self, step: _Step, awaits: Awaited, now: float, actions: list[Action]
    ) -> list[Action]:
        step.awaits, step.since_s = awaits, now
        return actions

    def _finish(self, step: _Step) -> list[Action]:
        self.done.append(step.old.child)
        self._step = None
        return []

    def _fail(self, problem: str) -> None:
        self.problem = problem
        self._step = None
