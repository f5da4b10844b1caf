"""The ways of media and tags between processes: ZeroMQ sockets on the running loop (IO).

A `MediaListener` is bound by one incarnation of a worker or an egress, at an address that is never
bound again; a `MediaSender` is connected once the supervisor has announced that address. Sends
never block. What nobody waits for is sent `batched`: with the next message that is not, or some
time later; all that leaves in one turn is one ZeroMQ message (`common.ipc.batch`).

The limit for memory counts bytes, as ZeroMQ's own does not: a sender keeps at most `KEPT_BYTES`
that its listener has not acknowledged, wherever they lie by now, in a queue here or there or on
the way between; then `send` gives False and the caller drops by stream. A listener acknowledges
what its process has taken, every MiB and every second. In ZeroMQ's queues are `WINDOW` messages at
most, which is below the high-water mark: a socket that takes no message has no peer.

A listener hears the children that may send there, by the process that connected. One that is not
known yet, because the topology that names it is still on its way, is kept waiting; what others say
is dropped unread.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from errno import EHOSTUNREACH
from typing import Any, Final

from common.errors import EnvelopeError
from common.ipc.batch import MAX_MESSAGES, Frames, pack, unpack
from common.ipc.bus import HIGH_WATER_MARK, TAKEN, Bus, Receiver
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import socket_path
from common.ipc.envelope import MAX_PAYLOAD_BYTES, decode_frames, encode
from common.ipc.identity import ChildId
from common.ipc.media_messages import Acknowledgement
from common.ipc.socket_peers import PeerState, SocketPeers
from common.process.log import PeerLines, RateLimit, more

log = logging.getLogger("tfarm.common.ipc.media_link")

OnFrames = Callable[[list[bytes], "Sender"], None]
OnAnswer = Callable[[Any], None]

KEPT_BYTES: Final = 32 * 1024 * 1024  # for a peer that does not read; queues in time are its own
WINDOW: Final = HIGH_WATER_MARK // 4  # ZeroMQ messages on the way: it counts what left by halves
TURN_BYTES: Final = 256 * 1024  # in one ZeroMQ message, but for a single larger one
ACKNOWLEDGED_BYTES: Final = 1024 * 1024  # taken, and not acknowledged yet
LOOK_S: Final = 1.0  # until the rest is acknowledged, and who has gone is seen
QUIET_LOOK_S: Final = 10.0  # the same where nothing comes
CONNECT_S: Final = 1.0  # that an announced peer is waited for
RETRY_S: Final = 0.2  # until a link that broke is tried again; meanwhile every stream hears of it
BATCH_S: Final = 0.2  # that a message sent batched waits at most
UNKNOWN_S: Final = 1.0  # that a process is waited for which no topology has named yet
UNKNOWN_BYTES: Final = 8 * 1024 * 1024  # kept of all such processes together


class Sender:
    """One who has connected to a listener."""

    def __init__(self, receiver: Receiver, identity: bytes, pid: int, now: float) -> None:
        self.pid = pid
        self.since_s = now  # on the loop's clock
        self.child: ChildId | None = None  # None: it is not known which
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
    ) -> None:
        """`on_read` is called behind the messages of each turn. `peers`: who may send; None: all.

        Raises:
            OSError: the address is taken, or cannot be bound.
        """
        self.address = address
        self.unreadable = 0  # ZeroMQ messages that were none of ours
        self.denied = 0  # … of processes that may not send here
        self._on_frames = on_frames
        self._on_read = on_read
        self._peers = peers
        self._lines = RateLimit()
        self._denials = PeerLines()
        self._waiting_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._path = socket_path(address)
        self._senders: dict[bytes, Sender] = {}
        self._has_read = False
        self._receiver = bus.listener(address, self._take, self._on_turn)
        self._is_quiet = True  # nothing has come since the last look
        self._timer = self._loop.call_later(QUIET_LOOK_S, self._look)

    def listen_again(self) -> None:
        """Bind the socket once more if its file was removed. Raises OSError."""
        if not self._receiver.closed and not os.path.lexists(self._path):
            self._receiver.listen_again(self.address)

    def close(self) -> None:
        """Close all, and remove the socket's file."""
        if self._receiver.closed:
            return
        self._timer.cancel()
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
        for sender in tuple(self._senders.values()):
            if sender.state is not PeerState.ADMITTED:
                self._judge(sender)
        self._on_turn()

    def _take(self, frames: list[bytes]) -> None:
        """One ZeroMQ message: who sends it, and its messages."""
        if self._is_quiet:
            self._is_quiet = False
            self._timer.cancel()
            self._timer = self._loop.call_later(LOOK_S, self._look)
        identity, pid = frames.pop(0), self._receiver.peer_pid
        sender = self._senders.get(identity)
        if sender is None or sender.pid != pid:  # a name is free again when its holder is gone
            sender = Sender(self._receiver, identity, pid, self._loop.time())
            self._senders[identity] = sender
            self._judge(sender)
        if sender.state is PeerState.ADMITTED:
            self._handle(frames, sender)
        else:
            self._keep(frames, sender)

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
                self._handle(frames, sender)
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
        self.denied += 1
        sender.took(sum(map(len, frames)))
        if (held := self._denials.allow(sender.pid, self._loop.time())) is not None:
            name = os.path.basename(self._path)
            log.error("denied pid=%d socket=%s%s", sender.pid, name, more(held))

    def _handle(self, frames: list[bytes], sender: Sender) -> None:
        size = sum(map(len, frames))
        self._has_read = True
        try:
            messages = unpack(frames)
        except EnvelopeError as error:
            self.unreadable += 1
            if (held := self._lines.allow(self._loop.time())) is not None:
                log.warning("unreadable message on a media link error=%s%s", error, more(held))
            messages = ()
        for message in messages:
            try:
                self._on_frames(message, sender)
            except Exception:
                # The others of the same turn are another stream's.
                log.exception("handling a media message failed")
        sender.took(size)

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
                del self._senders[identity]

    def _end_waiting(self, sender: Sender) -> None:
        """Drop what a process said that nobody has named."""
        waiting, sender.waiting = sender.waiting, []
        for frames in waiting:
            self._waiting_bytes -= sum(map(len, frames))
            self._deny(frames, sender)


class MediaSender:
    """A connection to the listener of one incarnation of a child."""

    def __init__(self, bus: Bus, address: str, on_answer: OnAnswer | None = None) -> None:
        """`on_answer` gets the messages that the listener's process answers with."""
        self._bus = bus
        self._address = address
        self._on_answer = on_answer
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = None
        self._is_up = False
        self._posted: deque[Frames] = deque()  # waits for its turn, for room, or for the peer
        self._posted_bytes = 0
        self._sent_messages = 0  # and not acknowledged
        self._sent_bytes = 0
        self._is_gathering = False
        self._is_due = False  # to be written as soon as the peer is there
        self._written_s = -1.0  # the loop's time at the last write
        self._soon: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None  # for what was sent batched
        self._again: asyncio.TimerHandle | None = None
        self._closed = False
        # Who has been announced is there, and gets all that is sent from now on.
        self._is_expected = os.path.lexists(socket_path(address))
        self._connect()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def is_there(self) -> bool:
        """True while the listener is there, or expected: what is sent may get there."""
        return self._is_up or self._is_expected

    def on_up(self) -> None:
        """Called when the listener is there; for who wants to know."""

    def on_down(self) -> None:
        """Called when the listener is gone, or was expected in vain."""

    def send(self, frames: Frames, batched: bool = False) -> bool:
        """Send now, or what follows in the same millisecond together; False: full, or not there.

        `batched`: with what is sent next, within `BATCH_S`.
        """
        size = sum(map(len, frames))
        if (
            not self.is_there
            or self._posted_bytes + self._sent_bytes > KEPT_BYTES
            or size > MAX_PAYLOAD_BYTES
        ):
            return False
        self._posted.append(tuple(frames))
        self._posted_bytes += size
        if self._posted_bytes >= TURN_BYTES:
            self._write()
        elif self._is_gathering:
            pass
        elif batched:
            if self._late is None:
                self._late = self._loop.call_later(BATCH_S, self._on_late)
        elif self._soon is None:
            # uvloop's time goes by milliseconds: a link that is busy gets one write a turn
            now = self._loop.time()
            if now != self._written_s:
                self._written_s = now
                self._write()
            else:
                self._soon = self._loop.call_soon(self._on_turn_ends)
        return True

    def gather(self) -> None:
        """Write nothing before `flush`, but for what is too much."""
        self._is_gathering = True

    def flush(self) -> None:
        """Send now what was sent batched, or has been gathered."""
        self._is_gathering = False
        self._write()

    def close(self) -> None:
        """Drop what has not left: stale media is of no use to a successor."""
        self._closed = True
        self._disconnect()

    def _connect(self) -> None:
        """Try to reach the peer, for as long as it is expected or the next try is away."""
        self._receiver = self._bus.sender(self._address, self._read, self._on_turn)
        patience_s = CONNECT_S if self._is_expected else RETRY_S
        self._again = self._loop.call_later(patience_s, self._retry)

    def _retry(self) -> None:
        was_expected = self._is_expected
        self._disconnect()
        self._connect()
        if was_expected:
            log.info("media link not up address=%s", self._address)
            self._loop.call_soon(self.on_down)

    def _disconnect(self) -> None:
        self._is_up = self._is_expected = False
        self._posted.clear()
        self._posted_bytes = self._sent_bytes = self._sent_messages = 0
        for handle in (self._soon, self._late, self._again):
            if handle is not None:
                handle.cancel()
        self._soon = self._late = self._again = None
        if self._receiver is not None:
            self._receiver.close()
            self._receiver = None

    def _break(self) -> None:
        """The peer is gone, or has ended the link."""
        log.info("media link broken address=%s", self._address)
        self._disconnect()
        self._again = self._loop.call_later(RETRY_S, self._connect)
        self._loop.call_soon(self.on_down)

    def _on_turn(self) -> None:
        """Something has happened to the socket: look whether its peer came or went."""
        if self._receiver is None or self._receiver.has_peer == self._is_up:
            return
        if self._is_up:
            self._break()
            return
        self._is_up, self._is_expected = True, False
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._is_due:
            self._write()
        self.on_up()

    def _read(self, frames: list[bytes]) -> None:
        try:
            message, _ = decode_frames(frames)
        except EnvelopeError as error:
            log.warning("unreadable answer on a media link error=%s", error)
            return
        if not isinstance(message, Acknowledgement):
            if self._on_answer is not None:
                self._on_answer(message)
            return
        was_full = self._sent_messages >= WINDOW
        self._sent_messages = max(0, self._sent_messages - message.messages)
        self._sent_bytes = max(0, self._sent_bytes - message.size)
        if was_full and not self._is_gathering:
            self._write()

    def _on_turn_ends(self) -> None:
        self._soon = None
        self.flush()

    def _on_late(self) -> None:
        self._late = None
        self.flush()

    def _write(self) -> None:
        """Send all there is, up to what may be on the way."""
        self._is_due = not self._is_up
        while self._posted and self._is_up and self._sent_messages < WINDOW:
            messages, size = self._gather()
            packed = pack(messages)
            if self._receiver is None or self._receiver.push(packed) != TAKEN:
                self._break()
                return
            self._sent_messages += 1
            self._sent_bytes += size if len(messages) == 1 else size + len(packed[1])

    def _gather(self) -> tuple[Sequence[Frames], int]:
        """Take messages for one ZeroMQ message; and their bytes."""
        posted = self._posted
        if self._posted_bytes <= TURN_BYTES and len(posted) <= MAX_MESSAGES:
            messages, size = tuple(posted), self._posted_bytes
            posted.clear()
            self._posted_bytes = 0
            return messages, size
        taken: list[Frames] = []
        size = 0
        while posted and len(taken) < MAX_MESSAGES:
            more = sum(map(len, posted[0]))
            if taken and size + more > TURN_BYTES:
                break
            size += more
            taken.append(posted.popleft())
        self._posted_bytes -= size
        return taken, size
