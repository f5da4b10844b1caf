"""A child's link to the supervisor (IO): hello, heartbeats, orders in, and the end of an orphan.

The child gives a `ChildState` (what it is, and its state as messages); the link says `Hello` at
once and again whenever another supervisor answers, sends a `Heartbeat` every `beat_s`, hands every
other message to `on_message`, and calls `on_orphaned` when no supervisor has spoken for
`orphan_timeout_s`.
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

log = logging.getLogger("tfarm.common.ipc.control_link")

CONTROL_SOCKET = "control"  # file name in the run directory


def new_boot_id() -> BootId:
    return BootId(os.urandom(8).hex())


def control_address(run_dir: Path) -> str:
    """The supervisor's ROUTER; one supervisor a run directory, held by a lock file."""
    return f"ipc://{run_dir / CONTROL_SOCKET}"


def peer_identity(child: ChildId, boot_id: BootId) -> bytes:
    """The name of one incarnation's socket at the supervisor's ROUTER."""
    return f"{child}/{boot_id}".encode()


def start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat: when the process started, in clock ticks since boot; 0: gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


OnPayloads = Callable[[Any, Sequence[bytes]], None]


class ChildState(Protocol):
    """What the link asks of the process it serves."""

    def hello(self) -> Hello: ...

    def heartbeat(self) -> Heartbeat: ...

    def on_message(self, message: Any) -> None: ...

    def on_orphaned(self) -> None: ...


class ControlLink:
    """Runs on the child's loop; `run()` is a task the child owns."""

    def __init__(
        self,
        bus: Bus,
        run_dir: Path,
        child: ChildId,
        boot_id: BootId,
        state: ChildState,
        *,
        orphan_timeout_s: float = 30.0,
        beat_s: float = HEARTBEAT_S,
        clock: Callable[[], float] = time.monotonic,
        on_payloads: OnPayloads | None = None,
    ) -> None:
        """`on_payloads` takes the messages that come with payloads."""
        self.unreadable = 0
        self._child = child
        self._boot_id = boot_id
        self._state = state
        self._clock = clock
        self._on_payloads = on_payloads
        self._orphan_timeout_s = orphan_timeout_s
        self._beat_s = beat_s
        self._supervisor: BootId | None = None
        self._heard_s = clock()
        # The identity names the incarnation: a successor's messages never reach the dead one.
        self._dealer: Receiver = bus.dealer(
            control_address(run_dir), peer_identity(child, boot_id), self._on_frames
        )

    def send(self, message: object, payloads: Sequence[bytes] = ()) -> bool:
        """Send to the supervisor; False when its queue is full or it is away."""
        return self._dealer.send([encode(message), *payloads])

    def fatal(self, reason: str, exit_code: int) -> None:
        """Tell why this process is about to exit."""
        self.send(Fatal(self._child, self._boot_id, reason, exit_code))

    async def run(self) -> None:
        """Say hello, beat, and watch for the supervisor, until cancelled."""
        self.send(self._state.hello())
        while True:
            await asyncio.sleep(self._beat_s)
            silent_s = self._clock() - self._heard_s
            if silent_s > self._orphan_timeout_s:
                log.error("no supervisor seconds=%.0f", silent_s)
                self._state.on_orphaned()
                return
            if self._supervisor is None:
                self.send(self._state.hello())
            else:
                self.send(self._state.heartbeat())

    def _on_frames(self, frames: list[bytes]) -> None:
        try:
            message, payloads = decode_frames(frames)
        except EnvelopeError as error:
            self.unreadable += 1
            log.warning("unreadable control message error=%s", error)
            return
        self._heard_s = self._clock()
        match message:
            case SupervisorBeat(boot_id):
                if boot_id != self._supervisor:
                    # a new supervisor: it knows nothing of us
                    self._supervisor = None
                    self.send(self._state.hello())
            case Welcome(boot_id):
                self._supervisor = boot_id
                self._state.on_message(message)
            case _ if payloads and self._on_payloads is not None:
                self._on_payloads(message, payloads)
            case _:
                self._state.on_message(message)
