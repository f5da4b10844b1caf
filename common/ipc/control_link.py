"""A child's link to the supervisor (IO): hello, heartbeats, messages in, and the end of an orphan.

The child gives a `LinkOwner` (what it is, and its state as messages); the link sends `Hello` at
once and again whenever another supervisor answers, sends a `Heartbeat` every `heartbeat_s`, hands
every other message to `on_message`, and calls `on_orphaned` when no supervisor has sent anything
for `orphan_timeout_s`.

A child with nothing to do answers the supervisor's beat with its own, so that both wake up once for
the two; by itself it beats where no beat comes.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from common.errors import EnvelopeError
from common.ipc.bus import Bus, Receiver
from common.ipc.control_messages import Fatal, Heartbeat, Hello, SupervisorBeat, Welcome
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, ChildId
from common.ipc.kinds import HEARTBEAT_S
from common.process.log import RateLimit, more

log = logging.getLogger("tfarm.common.ipc.control_link")

UNANSWERED = 1.5  # beats of the supervisor after which an idle child beats by itself
CONTROL_SOCKET = "control"  # file name in the run directory
LAST_WORDS_MS = 1000  # at most, for the last messages to leave
PRESENT_S = 3.0  # a supervisor that sent something so lately is there


def new_boot_id() -> BootId:
    return BootId(os.urandom(8).hex())


def control_address(run_dir: Path) -> str:
    """The supervisor's ROUTER; one supervisor a run directory, held by a lock file."""
    return f"ipc://{run_dir / CONTROL_SOCKET}"


def peer_identity(child: ChildId, boot_id: BootId, secret: str) -> bytes:
    """The name of one incarnation's socket at the supervisor's ROUTER.

    Boot ids are announced to all children. The secret is not: none can take another's place there.
    """
    return f"{child}/{boot_id}/{secret}".encode()


def start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat: when the process started, in clock ticks since boot; 0: gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


class LinkOwner(Protocol):
    """The process that the link serves."""

    def hello(self) -> Hello: ...

    def heartbeat(self) -> Heartbeat: ...

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None: ...

    def on_orphaned(self) -> None: ...


class ControlLink:
    """Runs on the child's loop; `run()` is a task the child owns."""

    def __init__(
        self,
        bus: Bus,
        run_dir: Path,
        child: ChildId,
        boot_id: BootId,
        owner: LinkOwner,
        *,
        orphan_timeout_s: float = 30.0,
        heartbeat_s: float = HEARTBEAT_S,
        is_idle: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`heartbeat_s` is between two heartbeats, of a child that has something to do."""
        self.unreadable = 0
        self._child = child
        self._boot_id = boot_id
        self._owner = owner
        self._clock = clock
        self._orphan_timeout_s = orphan_timeout_s
        self._heartbeat_s = heartbeat_s
        self._is_idle = is_idle
        self._supervisor: BootId | None = None
        self._lines = RateLimit()
        self._last_message_s = clock()
        # The identity names the incarnation: a successor's messages never reach the dead one.
        self._timer: asyncio.TimerHandle | None = None  # to the next heartbeat, while it runs
        self._sent_s = clock()  # the last hello or heartbeat
        self._over: asyncio.Future[None] | None = None  # done: `run` ends
        self._dealer: Receiver = bus.dealer(
            control_address(run_dir),
            peer_identity(child, boot_id, os.urandom(8).hex()),
            self._on_frames,
        )

    @property
    def is_welcome(self) -> bool:
        """Tell if a supervisor has answered the last hello."""
        return self._supervisor is not None

    @property
    def silent_s(self) -> float:
        """How long no supervisor has sent anything; beats come once a second."""
        return self._clock() - self._last_message_s

    def send(self, message: object, payloads: Sequence[bytes] = ()) -> bool:
        """Send to the supervisor; False when its queue is full or it is away."""
        return self._dealer.send([encode(message), *payloads])

    def fatal(self, reason: str, exit_code: int) -> None:
        """Report why this process is about to exit."""
        self.send(Fatal(self._child, self._boot_id, reason, exit_code))

    def close(self) -> None:
        """Let the last messages leave, if a supervisor is there to take them."""
        is_there = self._supervisor is not None and self.silent_s < PRESENT_S
        self._dealer.close(LAST_WORDS_MS if is_there else 0)

    async def run(self) -> None:
        """Send hello and heartbeats, and watch for the supervisor, until cancelled."""
        self._over = asyncio.get_running_loop().create_future()
        try:
            self._say()
            await self._over
        finally:
            self._over = None
            if self._timer is not None:
                self._timer.cancel()

    def _say(self) -> None:
        """Send a hello, or a heartbeat to who knows this child; the next one is due later."""
        over = self._over
        if over is None or over.done():
            return
        try:
            is_known = self._supervisor is not None
            self.send(self._owner.heartbeat() if is_known else self._owner.hello())
        except Exception as error:  # it ends the process, whoever called
            over.set_exception(error)
            return
        self._sent_s = self._clock()
        wait_s = self._heartbeat_s
        if self._is_idle():
            wait_s = HEARTBEAT_S * UNANSWERED if is_known else HEARTBEAT_S
        if self._timer is not None:
            self._timer.cancel()
        self._timer = over.get_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        silent_s = self._clock() - self._last_message_s
        if silent_s > self._orphan_timeout_s and self._over is not None:
            log.error("no supervisor seconds=%.0f", silent_s)
            self._owner.on_orphaned()
            self._over.set_result(None)
        else:
            self._say()

    def _on_beat(self, boot_id: BootId) -> None:
        if boot_id != self._supervisor:
            # a new supervisor: it knows nothing of us
            self._supervisor = None
            self.send(self._owner.hello())
        elif self._is_idle() and self._clock() - self._sent_s >= HEARTBEAT_S / 2:
            self._say()

    def _on_frames(self, frames: list[bytes]) -> None:
        try:
            message, payloads = decode_frames(frames)
        except EnvelopeError as error:
            self.unreadable += 1
            if (held := self._lines.allow(self._clock())) is not None:
                log.warning("unreadable control message error=%s%s", error, more(held))
            return
        self._last_message_s = self._clock()
        match message:
            case SupervisorBeat(boot_id):
                self._on_beat(boot_id)
            case Welcome(boot_id):
                self._supervisor = boot_id
                self._owner.on_message(message, payloads)
            case _:
                self._owner.on_message(message, payloads)
