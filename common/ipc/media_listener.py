"""The bound end of media and tags: who has connected, and what of it is heard (IO).

Which process sends is told by the kernel, which child that is by the topology. Who has no business
here is refused at the handshake; one that is not known yet waits, a second and some MiB. What a
process has taken is acknowledged, every MiB and every second, as its sender counts
(`common/ipc/media_link.py`).
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from errno import EHOSTUNREACH
from typing import Final

from common.errors import EnvelopeError
from common.ipc.batch import Frames, unpack
from common.ipc.bus import TAKEN, Bus, Received, Receiver
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import plain_path, socket_path
from common.ipc.envelope import encode
from common.ipc.identity import ChildId
from common.ipc.media_link import WINDOW
from common.ipc.media_messages import Acknowledgement
from common.ipc.peer_credentials import is_trusted
from common.ipc.plain.listener import PlainListener, PlainPeer
from common.ipc.socket_peers import PeerState, SocketPeers
from common.process.log import PeerLines, RateLimit, more

log = logging.getLogger("tfarm.common.ipc.media_listener")

OnFrames = Callable[[list[bytes], "Sender"], None]

ACKNOWLEDGED_BYTES: Final = 1024 * 1024  # taken, and not acknowledged yet
LOOK_S: Final = 1.0  # until the rest is acknowledged, and who has gone is seen
QUIET_LOOK_S: Final = 10.0  # the same where nothing comes
UNKNOWN_S: Final = 1.0  # that a process is waited for which no topology has named yet
UNKNOWN_BYTES: Final = 8 * 1024 * 1024  # kept of all such processes together
MAX_ENVELOPE_BYTES: Final = 512 * 1024  # of one message, which says little beside its payloads
STEP_FRAMES: Final = 32  # of messages that are handled before another process may have its turn …
STEP_BYTES: Final = 1024  # … and so many bytes of an envelope count as one
MAX_SENDERS: Final = 16  # of one process, which has one link, or one for each worker it serves


class Sender:
    """One who has connected to a listener."""

    def __init__(
        self, receiver: Receiver | PlainPeer, identity: bytes, pid: int, now: float
    ) -> None:
        self.pid = pid
        self.since_s = now  # on the loop's clock
        self.child: ChildId | None = None  # None: it is not known which
        self.worker: ChildId | None = None  # whom an encoder process sends for, once it has said
        self.state = PeerState.UNKNOWN
        self.waiting: list[list[bytes]] = []  # ZeroMQ messages, until it is known
        self._receiver = receiver
        self._identity = identity
        self._messages = 0  # taken since the last acknowledgement
        self._bytes = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def is_acknowledged(self) -> bool:
        """True if all that was taken has been acknowledged, and nothing waits."""
        return not (self._messages or self.waiting)

    def answer(self, frames: Frames) -> bool:
        """Send it a small message; False: it takes none, now or any more. Answers are seldom."""
        if self._closed:
            return False
        errno = self._receiver.push((self._identity, *frames))
        self._closed = errno == EHOSTUNREACH
        return errno == TAKEN

    def took(self, size: int) -> None:
        """Count a ZeroMQ message of that many bytes that was taken, and acknowledge in time."""
        self._messages += 1
        self._bytes += size
        if self._bytes >= ACKNOWLEDGED_BYTES or self._messages >= WINDOW // 4:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Tell it what was handled since the last time, even if that is nothing."""
        if self.answer([encode(Acknowledgement(self._messages, self._bytes))]):
            self._messages = self._bytes = 0

    def close(self) -> None:
        """Take no answers any more."""
        self._closed = True


class MediaListener:
    """A bound socket, and all who have connected to it: hands each message to `on_frames`."""

    def __init__(
        self,
        bus: Bus,
        address: str,
        on_frames: OnFrames,
        on_read: Callable[[], None] | None = None,
        *,
        peers: SocketPeers | None = None,
        on_flood: Callable[[ChildId, str], None] = lambda child, what: None,
        is_plain: bool = False,
    ) -> None:
        """`on_read` is called behind the messages of each turn. `peers`: who may send; None: all.

        `on_flood`: with a child that has sent what no child sends that is well, and what it was.
        `is_plain`: listen at a plain socket, too (`plain/`); for `peers` alone.

        Raises:
            OSError: the address is taken, or cannot be bound.
        """
        self.address = address
        self.unreadable = 0  # ZeroMQ messages that were none of ours
        self.denied = 0  # … of processes that may not send here
        self._on_frames = on_frames
        self._on_read = on_read
        self._on_flood = on_flood
        self._peers = peers
        self._lines = RateLimit()
        self._denials = PeerLines()
        self._waiting_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._path = socket_path(address)
        self._senders: dict[bytes, Sender] = {}
        self._has_read = False
        self._receiver = bus.listener(address, self._take, self._on_turn, self._admits)
        self._receiver.on_flood = self._flood
        self._links: Counter[int] = Counter()  # senders of each process
        self._is_quiet = True  # nothing has come since the last look
        self._plain: PlainListener | None = None
        if is_plain and peers is not None:
            self._plain = PlainListener(
                plain_path(address), peers, self._receiver, self._count_denied
            )
        self._timer = self._loop.call_later(QUIET_LOOK_S, self._look)

    def listen_again(self) -> None:
        """Bind the socket once more if its file was removed. Raises OSError."""
        if not self._receiver.closed and not os.path.lexists(self._path):
            self._receiver.listen_again(self.address)
        if self._plain is not None:
            self._plain.listen_again()

    def close(self) -> None:
        """Close all, and remove the socket's file."""
        if self._receiver.closed:
            return
        self._timer.cancel()
        if self._plain is not None:
            self._plain.close()
        self._receiver.close()
        for sender in self._senders.values():
            sender.close()
        self._senders.clear()
        # a sandbox leaves no right to remove it; the supervisor removes what a dead child leaves
        with suppress(FileNotFoundError, PermissionError):
            os.unlink(self._path)

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """Take over which children run now: whoever waited to be known is heard, if it may be."""
        if self._peers is None:
            return
        self._peers.follow(endpoints)
        if self._plain is not None:
            self._plain.follow(endpoints)
        for sender in tuple(self._senders.values()):
            if sender.state is not PeerState.ADMITTED:
                self._judge(sender)
        self._on_turn()

    @property
    def flooded(self) -> int:
        """Count of ZeroMQ messages that were dropped unread: more than may wait of one process."""
        return self._receiver.flooded

    def _admits(self, uid: int, pid: int) -> bool:
        """Tell if a process may connect; one that is not known yet may, and waits to be heard."""
        is_foreign = self._peers is not None and self._peers.state(pid) is PeerState.FOREIGN
        if is_foreign or not is_trusted(uid):
            self._count_denied(pid)
            return False
        return True

    def _flood(self, pid: int, what: str) -> None:
        child = self._peers.child(pid) if self._peers is not None else None
        if child is not None:
            self._on_flood(child, what)

    def _take(self, received: Received) -> bool:
        """Take a ZeroMQ message: who sends it, then its messages some at a time."""
        if self._is_quiet:
            self._is_quiet = False
            self._timer.cancel()
            self._timer = self._loop.call_later(LOOK_S, self._look)
        if received.rest is None:
            frames = received.frames
            identity = frames.pop(0)
            sender = self._sender(identity, received.pid)
            if sender is None:
                self._count_denied(received.pid)
                return True
            if sender.state is not PeerState.ADMITTED:
                self._keep(frames, sender)
                return True
            received.rest = self._messages_of(frames, received.size - len(identity), sender)
        return next(received.rest, True)

    def _sender(self, identity: bytes, pid: int) -> Sender | None:
        """Return who this is; None: its process has more connections than it has a use for."""
        sender = self._senders.get(identity)
        if sender is None or sender.pid != pid:  # a name is free again when its holder is gone
            if self._links[pid] >= MAX_SENDERS:
                self._flood(pid, f"more than {MAX_SENDERS} connections")
                return None
            if sender is not None:
                self._forget(identity, sender)
            plain = self._plain.peer(identity) if self._plain is not None else None
            sender = Sender(plain or self._receiver, identity, pid, self._loop.time())
            self._senders[identity] = sender
            self._links[pid] += 1
            self._judge(sender)
        return sender

    def _forget(self, identity: bytes, sender: Sender) -> None:
        del self._senders[identity]
        self._links[sender.pid] -= 1
        if not self._links[sender.pid]:
            del self._links[sender.pid]

    def _judge(self, sender: Sender) -> None:
        """See what a sender is by now. Who was admitted stays so, until its last word is read."""
        peers = self._peers
        sender.state = PeerState.ADMITTED if peers is None else peers.state(sender.pid)
        waiting, sender.waiting = sender.waiting, []
        if sender.state is PeerState.UNKNOWN:
            sender.waiting = waiting
            return
        if peers is not None and sender.state is PeerState.ADMITTED:
            sender.child = peers.child(sender.pid)
        for frames in waiting:
            self._waiting_bytes -= sum(map(len, frames))
            if sender.state is PeerState.ADMITTED:
                for _ in self._messages_of(frames, sum(map(len, frames)), sender):
                    pass
            else:
                self._deny(frames, sender)

    def _keep(self, frames: list[bytes], sender: Sender) -> None:
        """Keep a message of a sender that is not known yet, for a while, if there is room."""
        size = sum(map(len, frames))
        is_late = self._loop.time() - sender.since_s > UNKNOWN_S
        has_room = self._waiting_bytes + size <= UNKNOWN_BYTES
        if sender.state is PeerState.UNKNOWN and has_room and not is_late:
            sender.waiting.append(frames)
            self._waiting_bytes += size
        else:
            self._deny(frames, sender)

    def _deny(self, frames: list[bytes], sender: Sender) -> None:
        """Drop a message unread."""
        sender.took(sum(map(len, frames)))
        self._count_denied(sender.pid)

    def _count_denied(self, pid: int) -> None:
        self.denied += 1
        if (held := self._denials.allow(pid, self._loop.time())) is not None:
            name = os.path.basename(self._path)
            log.error("denied pid=%d socket=%s%s", pid, name, more(held))

    def _messages_of(self, frames: list[bytes], size: int, sender: Sender) -> Iterator[bool]:
        """Handle the messages of a ZeroMQ message, some a step; True is given with the last."""
        self._has_read = True
        try:
            messages = unpack(frames)
        except EnvelopeError as error:
            self.unreadable += 1
            if (held := self._lines.allow(self._loop.time())) is not None:
                log.warning("unreadable message on a media link error=%s%s", error, more(held))
            messages = ()
        left, work = len(messages), 0
        for message in messages:
            left -= 1
            envelope = len(message[0])
            try:
                if envelope > MAX_ENVELOPE_BYTES:
                    self.unreadable += 1
                else:
                    self._on_frames(message, sender)
            except Exception:
                # The others of the same turn are another stream's.
                log.exception("handling a media message failed")
            work += len(message) + envelope // STEP_BYTES
            if work >= STEP_FRAMES and left:
                work = 0
                yield False
        sender.took(size)
        yield True

    def _on_turn(self) -> None:
        if self._has_read:
            self._has_read = False
            if self._on_read is not None:
                self._on_read()

    def _look(self) -> None:
        """Acknowledge what there is; who takes no acknowledgement is gone.

        Where nothing has come, nobody is woken to be told so, but now and then.
        """
        senders = self._senders.values()
        self._is_quiet = all(sender.is_acknowledged for sender in senders)
        look_s = QUIET_LOOK_S if self._is_quiet else LOOK_S
        self._timer = self._loop.call_later(look_s, self._look)
        until_s = self._loop.time() - UNKNOWN_S
        for identity, sender in tuple(self._senders.items()):
            if sender.waiting and sender.since_s < until_s:
                self._end_waiting(sender)
            sender.acknowledge()
            if sender.closed:
                self._end_waiting(sender)
                self._forget(identity, sender)

    def _end_waiting(self, sender: Sender) -> None:
        """Drop what a process said that nobody has named."""
        waiting, sender.waiting = sender.waiting, []
        for frames in waiting:
            self._waiting_bytes -= sum(map(len, frames))
            self._deny(frames, sender)
