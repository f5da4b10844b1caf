"""The supervisor's end of the control socket (IO): children and the CLI on one ROUTER.

A child's ZeroMQ identity is made of its name and boot id, so that nothing for one incarnation
reaches another. A child that talks without this supervisor knowing it (it was started by an earlier
one) is sent our beat: its boot id is new to it, so it sends a hello.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.errors import EnvelopeError
from common.ipc.bus import Bus, Receiver
from common.ipc.command_messages import Command
from common.ipc.control_link import control_address, peer_identity
from common.ipc.control_messages import Fatal, Hello, SupervisorBeat
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, ChildId

log = logging.getLogger("tfarm.supervisor.processes.control")

OnMessage = Callable[[ChildId, Any, Sequence[bytes]], None]
OnCommand = Callable[[bytes, Command], None]


class Control:
    """Sends to the children that are known, and hands on what they send."""

    def __init__(
        self,
        bus: Bus,
        run_dir: Path,
        boot_id: BootId,
        on_hello: Callable[[Hello], None],
        on_message: OnMessage,
        on_command: OnCommand,
    ) -> None:
        self.unreadable = 0
        self._boot_id = boot_id
        self._on_hello = on_hello
        self._on_message = on_message
        self._on_command = on_command
        self._known: dict[ChildId, BootId] = {}
        self._peers: dict[bytes, ChildId] = {}  # the same, by ZeroMQ identity
        self._router: Receiver = bus.router(control_address(run_dir), self._on_frames)

    def add(self, child: ChildId, boot_id: BootId) -> None:
        """Take this incarnation for the child from now on."""
        self.remove(child)
        self._known[child] = boot_id
        self._peers[peer_identity(child, boot_id)] = child

    def remove(self, child: ChildId) -> None:
        """Send nothing more to a child, and take nothing more from it."""
        boot_id = self._known.pop(child, None)
        if boot_id is not None:
            del self._peers[peer_identity(child, boot_id)]

    def send(self, child: ChildId, message: object, payloads: Sequence[bytes] = ()) -> bool:
        """Send to the present incarnation; False: there is none, or it takes no more."""
        boot_id = self._known.get(child)
        if boot_id is None:
            return False
        return self._router.send([peer_identity(child, boot_id), encode(message), *payloads])

    def broadcast(self, message: object) -> None:
        """Send to all children."""
        envelope = encode(message)
        for child, boot_id in self._known.items():
            self._router.send([peer_identity(child, boot_id), envelope])

    def ask_for_hello(self, child: ChildId, boot_id: BootId) -> None:
        """Ask an incarnation that an earlier supervisor knew to say hello."""
        self._router.send([peer_identity(child, boot_id), encode(SupervisorBeat(self._boot_id))])

    def answer(self, peer: bytes, message: object) -> None:
        """Send to the CLI."""
        self._router.send([peer, encode(message)])

    def close(self) -> None:
        self._router.close()

    def _on_frames(self, frames: list[bytes]) -> None:
        peer = frames[0]
        try:
            message, payloads = decode_frames(frames[1:])
        except EnvelopeError as error:
            self.unreadable += 1
            log.warning("unreadable control message error=%s", error)
            return
        if isinstance(message, Command):
            self._on_command(peer, message)
            return
        if isinstance(message, Hello | Fatal):  # of those that are not known yet, too
            if peer_identity(message.child, message.boot_id) != peer:
                return
            if isinstance(message, Hello):
                self._on_hello(message)
            else:
                self._on_message(message.child, message, payloads)
        elif (child := self._peers.get(peer)) is not None:
            self._on_message(child, message, payloads)
        else:
            self._router.send([peer, encode(SupervisorBeat(self._boot_id))])
