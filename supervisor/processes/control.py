"""The supervisor's end of the control socket (IO): children and the CLI on one ROUTER.

A child's identity is "NAME/BOOT_ID", so that nothing for one incarnation reaches another. A child
that talks without this supervisor knowing it (it was started by an earlier one) is sent our beat:
its boot id is new to it, so it says hello.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common.errors import EnvelopeError
from common.ipc.bus import Bus, Receiver
from common.ipc.control_link import control_address
from common.ipc.control_messages import Command, Fatal, Hello, SupervisorBeat
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, ChildName

log = logging.getLogger("tfarm.supervisor.processes.control")

OnMessage = Callable[[ChildName, Any, Sequence[bytes]], None]
OnCommand = Callable[[bytes, Command], None]


class Control:
    """Who is connected, and sending to them."""

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
        self._known: dict[ChildName, BootId] = {}
        self._router: Receiver = bus.router(control_address(run_dir), self._on_frames)

    def know(self, child: ChildName, boot_id: BootId) -> None:
        """This incarnation is the child from now on."""
        self._known[child] = boot_id

    def forget(self, child: ChildName) -> None:
        self._known.pop(child, None)

    def send(self, child: ChildName, message: object, payloads: Sequence[bytes] = ()) -> bool:
        """To the present incarnation of a child; False when there is none or its queue is full."""
        boot_id = self._known.get(child)
        if boot_id is None:
            return False
        return self._router.send([_identity(child, boot_id), encode(message), *payloads])

    def broadcast(self, message: object) -> None:
        envelope = encode(message)
        for child, boot_id in self._known.items():
            self._router.send([_identity(child, boot_id), envelope])

    def call(self, child: ChildName, boot_id: BootId) -> None:
        """Ask an incarnation that an earlier supervisor knew to say hello."""
        self._router.send([_identity(child, boot_id), encode(SupervisorBeat(self._boot_id))])

    def answer(self, peer: bytes, message: object) -> None:
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
        name, _, boot_id = peer.decode(errors="replace").rpartition("/")
        child = ChildName(name)
        if isinstance(message, Hello):
            if (message.child, message.boot_id) == (child, boot_id):
                self._on_hello(message)
        elif self._known.get(child) == boot_id or isinstance(message, Fatal):
            self._on_message(child, message, payloads)
        else:
            self._router.send([peer, encode(SupervisorBeat(self._boot_id))])


def _identity(child: ChildName, boot_id: BootId) -> bytes:
    return f"{child}/{boot_id}".encode()
