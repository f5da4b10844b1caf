"""The supervisor's end of the control socket (IO): children and the CLI on one ROUTER.

A child's ZeroMQ identity is made of its name, its boot id and a secret, so that nothing for one
incarnation reaches another. Who may say what depends on the process that says it, which the kernel
tells (`Receiver.peer_pid`): a child speaks for itself alone, says what its kind may say
(`rights.py`), and gives no command but those that its kind may give (`common/ipc/kinds.py`). So a
worker that a stranger's bitstream has taken over commands nobody. Of whom the kernel says nothing,
nothing is taken. A child that talks without this supervisor knowing it (it was started by an
earlier one) is sent our beat: its boot id is new to it, so it sends a hello.
"""

import logging
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.bus import Bus, Receiver
from common.ipc.command_messages import Answer, Command
from common.ipc.control_link import control_address
from common.ipc.control_messages import (
    Configure,
    Endpoint,
    Fatal,
    Hello,
    SupervisorBeat,
    Welcome,
)
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, ChildId
from common.ipc.kinds import KINDS, settings_for
from common.ipc.peer_credentials import is_trusted
from common.ipc.status_messages import ChildFloods
from common.process.log import PeerLines, more
from supervisor.processes.rights import known_to, may_say

log = logging.getLogger("tfarm.supervisor.processes.control")

OnMessage = Callable[[ChildId, Any, Sequence[bytes]], None]
OnCommand = Callable[[bytes, Command], None]

NOT_A_CHILD = "a child of the farm may not command it"


class KnownProcesses(Protocol):
    """The processes of the children."""

    def child_of(self, pid: int) -> ChildId | None:
        """Return the child whose running process this is."""

    def pid_of(self, child: ChildId) -> int:
        """Return the child's process, also after its end, until the next; 0: it had none."""

    def may_be(self, hello: Hello) -> bool:
        """Tell if this may be a hello of the process that it names."""


class Control:
    """Sends to the children that are known, and hands on what they send."""

    def __init__(
        self,
        bus: Bus,
        run_dir: Path,
        boot_id: BootId,
        children: KnownProcesses,
        on_hello: Callable[[Hello], None],
        on_message: OnMessage,
        on_command: OnCommand,
    ) -> None:
        self.unreadable = 0
        self.denied = 0  # messages of a process that may not send them
        self._boot_id = boot_id
        self._on_hello = on_hello
        self._on_message = on_message
        self._on_command = on_command
        self._children = children
        self._lines = PeerLines()  # by process: one that says nonsense hides no other
        self._addresses: dict[ChildId, bytes] = {}  # ZeroMQ identities
        self._peers: dict[bytes, ChildId] = {}  # the same the other way round
        self._saying_hello = b""  # whose hello is being handled
        self._asking: ChildId | None = None  # whose command is being handled, if a child's
        self._address = control_address(run_dir)
        self._router: Receiver = bus.router(self._address, self._on_frames)
        self._router.on_flood = self._on_flood

    def add(self, child: ChildId) -> None:
        """Take the incarnation whose hello is being handled for the child from now on.

        Without a hello: the one that is known stays; nothing where it has died meanwhile.
        """
        address = self._saying_hello or self._addresses.get(child)
        if address is None:
            return
        self.remove(child)
        self._addresses[child] = address
        self._peers[address] = child

    def address(self, child: ChildId) -> str:
        """Return the ZeroMQ identity of the present incarnation; "": there is none."""
        return self._addresses.get(child, b"").decode()

    def remove(self, child: ChildId) -> None:
        """Send nothing more to a child, and take nothing more from it."""
        address = self._addresses.pop(child, None)
        if address is not None:
            del self._peers[address]

    def send(self, child: ChildId, message: object, payloads: Sequence[bytes] = ()) -> bool:
        """Send to the present incarnation; False: there is none, or it takes no more."""
        address = self._addresses.get(child)
        if address is None:
            return False
        return self._router.send([address, encode(message), *payloads])

    def welcome(self, hello: Hello, settings: Settings, endpoints: Sequence[Endpoint]) -> None:
        """Answer a hello: the settings that are for it, and who else runs."""
        kind = hello.child.kind
        others = [endpoint for endpoint in endpoints if endpoint.child != hello.child]
        known = known_to(kind, (*others, hello.endpoint))
        self.send(hello.child, Welcome(self._boot_id, settings_for(kind, settings), known))

    def configure(self, settings: Settings) -> None:
        """Send all children the settings that are for them."""
        for child in tuple(self._addresses):
            self.send(child, Configure(settings_for(child.kind, settings)))

    def broadcast(self, message: object) -> None:
        """Send to all children."""
        envelope = encode(message)
        for address in self._addresses.values():
            self._router.send([address, envelope])

    def broadcast_by_kind(self, message_for: Callable[[str], object]) -> None:
        """Send to all children, to each what is meant for its kind."""
        for kind, children in groupby(sorted(self._addresses), key=lambda child: child.kind):
            envelope = encode(message_for(kind))
            for child in children:
                self._router.send([self._addresses[child], envelope])

    def ask_for_hello(self, address: bytes) -> None:
        """Ask an incarnation that an earlier supervisor knew to say hello."""
        self._router.send([address, encode(SupervisorBeat(self._boot_id))])

    def answer(self, peer: bytes, message: object) -> None:
        """Send to the CLI."""
        self._router.send([peer, encode(message)])

    def listen_again(self) -> None:
        """Bind the socket once more, whose file was removed. Raises OSError."""
        self._router.listen_again(self._address)

    def asked_by(self) -> str:
        """Who sent the message that is being handled, as the kernel has it: `uid 1000`.

        A child that asks for an operator is named instead: it knows whom it asks for.
        """
        if self._asking is not None:
            return str(self._asking)
        uid = self._router.peer_uid
        return f"uid {uid}" if uid is not None else "unknown"

    def close(self) -> None:
        self._router.close()

    def _on_flood(self, pid: int, what: str) -> None:
        """Have a child ended that floods this socket."""
        child = self._children.child_of(pid)
        if child is not None:
            self._on_message(child, ChildFloods(child, what), ())

    def _on_frames(self, frames: list[bytes]) -> None:
        peer, pid = frames[0], self._router.peer_pid
        try:
            message, payloads = decode_frames(frames[1:])
        except EnvelopeError as error:
            self.unreadable += 1
            if (held := self._lines.allow(pid, time.monotonic())) is not None:
                log.warning("unreadable control message pid=%d error=%s%s", pid, error, more(held))
            return
        uid = self._router.peer_uid
        if uid is None or not is_trusted(uid):  # whoever let him into the directory
            of_whom = "nobody that the kernel names" if uid is None else f"user {uid}"
            self._deny(pid, f"{type(message).__name__} of {of_whom}")
            return
        owner = self._children.child_of(pid)
        if isinstance(message, Command):
            if owner is not None and message.name not in KINDS[owner.kind].commands:
                self._deny(pid, f"command {message.name[:40]!r}")
                self.answer(peer, Answer(message.request_id, False, NOT_A_CHILD))
                return
            self._asking = owner
            self._on_command(peer, message)
        elif isinstance(message, Hello):
            is_its_own = message.pid == pid and message.child.kind in KINDS
            is_its_own = is_its_own and self._children.may_be(message)
            if not is_its_own or not peer.startswith(_beginning(message)):
                self._deny(pid, f"hello of {message.child}")
                return
            self._saying_hello = peer
            try:
                self._on_hello(message)
            finally:
                self._saying_hello = b""
        elif isinstance(message, Fatal):  # of one that has said no hello, too
            if self._children.pid_of(message.child) != pid:
                self._deny(pid, f"fatal of {message.child}")
                return
            self._on_message(message.child, message, payloads)
        elif (child := self._peers.get(peer)) is None:
            self._router.send([peer, encode(SupervisorBeat(self._boot_id))])
        elif self._children.pid_of(child) != pid or not may_say(child.kind, message):
            self._deny(pid, f"{type(message).__name__} of {child}")
        else:
            self._on_message(child, message, payloads)

    def _deny(self, pid: int, what: str) -> None:
        self.denied += 1
        if (held := self._lines.allow(pid, time.monotonic())) is not None:
            log.error("denied pid=%d what=%s%s", pid, what, more(held))


def _beginning(hello: Hello) -> bytes:
    """How the identity of who says this hello begins; a secret follows."""
    return f"{hello.child}/{hello.boot_id}/".encode()
