"""One TCP connection (IO): until it is a publisher, a player handed to egress, or closed.

Raw non-blocking sockets with readers on the loop rather than transports: to hand a connection over
is then to stop reading and to send its descriptor. When it is read is `SocketReader`'s, how it is
answered `BoundedOutput`'s. What a connection may do is decided elsewhere (`Host`); the protocol is
`ServerSession`'s.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Protocol, assert_never

from common.access.refusal import Refusal
from common.errors import ProtocolError
from common.media.units import AudioConfig
from common.process.fair_reading import FairReading
from common.process.socket_end import close_now, unsent_bytes
from common.rtmp.events import (
    AudioReceived,
    ConnectRequested,
    DataReceived,
    Event,
    MetadataReceived,
    PlayEnded,
    PlayPauseRequested,
    PlayReceiveChanged,
    PlayRequested,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.session import ServerSession
from common.rtmp.status_codes import PUBLISH_DONE, TOO_LATE, play_code, publish_code
from ingest.rtmp.bounded_output import BoundedOutput
from ingest.rtmp.deadline import Deadline
from ingest.rtmp.socket_reader import SocketReader
from ingest.rtmp.to_units import Demuxer
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import MediaEvent

log = logging.getLogger("tfarm.ingest.rtmp.connection")

# A refused client gets this long to read why: a close at once, with its input unread, would be a
# reset that takes the message with it (docs/rtmp.md, Refusals).
LINGER_S = 0.3
MAX_LINGER_S = 5.0  # while the kernel still has some of it
MAX_BEHIND_PLAY = 8 * 1024  # bytes; what comes later is read by egress


class Phase(Enum):
    """What a connection is."""

    OPEN = auto()  # has requested nothing yet
    ASKING = auto()  # wants to publish and waits for the answer
    PUBLISHING = auto()
    LEAVING = auto()  # wants to play and waits for egress
    CLOSING = auto()  # the reason is on its way to the peer
    CLOSED = auto()


class Host(Protocol):
    """Who decides what a connection may do."""

    @property
    def buffer(self) -> memoryview:
        """What all connections read into, in turn."""
        ...

    @property
    def newcomers(self) -> FairReading:
        """What reads all that do not publish, in turn."""
        ...

    @property
    def open_timeout_s(self) -> float:
        """From accept to publish or play."""
        ...

    def now(self) -> float: ...

    def connect(self, connection: "Connection", request: ConnectRequested) -> None: ...

    def publish(self, connection: "Connection", request: PublishRequested, now: float) -> None: ...

    def media(self, connection: "Connection", events: Sequence[Event], now: float) -> None: ...

    def unread(self, connection: "Connection", count: int) -> int:
        """Note how many bytes have come and are not read; returns them."""
        ...

    def publish_ended(self, connection: "Connection", how: str) -> None: ...

    def play(self, connection: "Connection", request: PlayRequested) -> None: ...

    def closed(self, connection: "Connection", reason: str, is_fault: bool) -> None:
        """The connection is closed, or was given away; `is_fault`: the peer broke the protocol."""
        ...


# long: one socket with all its ways in, out and away
class Connection:
    """One accepted socket, owned from here on."""

    def __init__(
        self,
        sock: socket.socket,
        host: str,
        peer: str,
        session: ServerSession,
        owner: Host,
    ) -> None:
        self.host = host
        self.peer = peer
        self.session = session
        self.phase = Phase.OPEN
        self.publishes = 0  # that were asked for
        self.demuxer: Demuxer | None = None  # of what it publishes
        self._socket = sock
        self._fd = sock.fileno()
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._message_stream_id = 0  # that of the last publish or play request
        self._play: PlayRequested | None = None  # waits until all output has gone
        self._lingers_until_s = 0.0
        self._close_reason, self._is_fault = "", False  # that for which it is closed
        self._is_answered = False  # `connect` is, and what waited behind it is to be read
        self._deadline = Deadline(self._loop)
        self._reader = SocketReader(
            sock,
            self._loop,
            owner.buffer,
            owner.now,
            owner.newcomers,
            host,
            self._receive,
            self._on_end,
        )
        self._output = BoundedOutput(
            sock, self._loop, owner.now, self._on_all_sent, self._close_socket
        )
        self._deadline.set(owner.open_timeout_s, self._on_overdue)

    # ---- what the owner does with it ----------------------------------------------------------

    def accept_connect(self, request_id: int) -> None:
        self.session.accept(request_id)
        self._is_answered = True

    def refuse_connect(self, request_id: int, code: str, description: str) -> None:
        """Say no, and close once that has gone out."""
        self.session.reject(request_id, code, description)
        self.close_gently(code)  # the description names what may be a key

    @property
    def last_media_s(self) -> float:
        return self.demuxer.last_media_s if self.demuxer is not None else 0.0

    @property
    def received_bytes(self) -> int:
        return self.session.bytes_received

    def accept_publish(
        self, request_id: int, timeline: Timeline, now: float, before: AudioConfig | None = None
    ) -> None:
        self.demuxer = Demuxer(timeline, now, before)
        self.session.accept(request_id)
        if self.phase is Phase.ASKING and self.session.is_publishing:
            self.phase = Phase.PUBLISHING
            self._reader.begin_publishing()
            if self.session.holds_media:
                self._loop.call_soon(self._take_held)  # when its owner has it in the books
        self._send_output()

    def refuse_publish(self, request_id: int, refusal: Refusal, after_s: float = 0.0) -> None:
        if after_s > 0:
            return self._deadline.set(after_s, lambda: self.refuse_publish(request_id, refusal))
        self.session.reject(request_id, publish_code(refusal.reason), refusal.words)
        self.close_gently(refusal.words)

    def end_publish(self, refusal: Refusal) -> None:
        self._end_with_status("error", publish_code(refusal.reason), refusal.words)

    def finish_publish(self, words: str) -> None:
        self._end_with_status("status", PUBLISH_DONE, words)

    def refuse_play(self, request_id: int, refusal: Refusal) -> None:
        if self.phase is Phase.LEAVING:
            self.session.reject(request_id, play_code(refusal.reason), refusal.words)
            self.close_gently(refusal.words)

    def hold_back(self, seconds: float) -> None:
        """Read nothing for so long, or for less."""
        if self.phase is Phase.PUBLISHING:
            self._reader.hold_back(seconds, self._send_output)  # perhaps it waits for this

    def unread_bytes(self) -> int:
        """How much has come and is not read."""
        return self._owner.unread(self, self._reader.unread_bytes())

    def read_batched(self) -> None:
        """Read what has come; from now on nothing is read but by this."""
        if self.phase is Phase.PUBLISHING:
            self._reader.read_batched()

    def read_immediately(self) -> None:
        """Read as soon as something comes."""
        self._reader.read_immediately()

    def flush(self, before_s: float) -> Sequence[MediaEvent]:
        """What waits for more of its picture, if the last of it came before then."""
        return self.demuxer.flush(before_s) if self.demuxer is not None else ()

    def look_again(self) -> None:
        """Read all that has come, up to its end; to be called once a second."""
        self._reader.look_again()

    def show_life(self, now: float) -> None:
        """Send something if nothing was sent for long; to be called once a second.

        Not to one that is held back: see `_receive`; nor while egress may have the socket.
        """
        is_here = self.phase in (Phase.OPEN, Phase.ASKING, Phase.PUBLISHING)
        if is_here and self._output.is_quiet(now) and not self._reader.is_held:
            self.session.show_life(now)
            self._send_output()

    @property
    def is_batched(self) -> bool:
        return self._reader.is_batched

    @property
    def fd(self) -> int:
        return self._fd

    def snapshot(self) -> bytes:
        """The session of a connection that waits for egress. Raises EnvelopeError if too large."""
        return replace(self.session.snapshot(), peer=self.peer).to_bytes()

    def given_away(self) -> None:
        """Another process has the socket: let go of it without a word to the peer."""
        self._close_socket("handed over", is_fault=False, is_elsewhere=True)

    def close_gently(self, reason: str, *, is_fault: bool = False) -> None:
        """Send what is due, then close; what still comes in is read and thrown away."""
        if self.phase in (Phase.CLOSING, Phase.CLOSED):
            return
        self.phase = Phase.CLOSING
        self._close_reason, self._is_fault = reason, is_fault
        self._reader.discard()
        self._lingers_until_s = self._owner.now() + MAX_LINGER_S
        self._deadline.set(LINGER_S, self._on_lingered)
        self._send_output()
        if self.phase is Phase.CLOSING and not self._output.is_waiting:
            self._output.shut_down()

    def _end_with_status(self, level: str, code: str, words: str) -> None:
        if self.phase is not Phase.CLOSED:
            self.session.send_status(self._message_stream_id, level, code, words)
            self.close_gently(words)

    def close(self, reason: str, is_fault: bool = False) -> None:
        """Close at once."""
        if self.phase is not Phase.CLOSED:
            self._close_socket(reason, is_fault)

    # ---- reading ------------------------------------------------------------------------------

    @property
    def _is_stopped(self) -> bool:
        """Nothing is read before the answer to its request.

        A publisher that sends media already gets no answer yet: TCP holds it back.
        """
        if self.phase is Phase.ASKING:
            return self.session.holds_media
        return self.phase is Phase.LEAVING

    def _on_end(self, reason: str) -> None:
        """The peer has closed, or what broke is the reason."""
        reason = reason or self._close_reason or "the peer closed the connection"
        self._close_socket(reason, self._is_fault)

    def _take_held(self) -> None:
        """Handle what waited for the answer to its publish request, and read on."""
        if self.phase is Phase.PUBLISHING:
            self._reader.resume()
            self._receive(memoryview(b""))

    def _receive(self, data: memoryview) -> None:
        now = self._owner.now()
        fault = ""
        try:
            fault = self._take(data, now)
            if self._is_answered and not fault:
                self._is_answered = False
                fault = self._take(b"", now)
            if not self._reader.is_held:
                # One that is held back may have ended long ago: an answer to its closed socket
                # would reset it, and what it has sent, and is still on its way, would be lost.
                self._send_output()
        except Exception:
            # A bug met by this peer's bytes must not stay with the others.
            log.exception("handling input failed peer=%s", self.peer)
            fault = "internal error"
        if fault:
            self.close(fault, is_fault=True)
        elif self._is_stopped:
            self._reader.stop()

    def _take(self, data: bytes | memoryview, now: float) -> str:
        """Give input to the session, and handle what it holds; returns what is wrong with it."""
        fault = ""
        try:
            self.session.receive_data(data, now)
        except ProtocolError as error:
            fault = f"{type(error).__name__}: {error}"
        events = self.session.events_received()
        if events:
            self._handle(events, now)
        return fault

    def _handle(self, events: list[Event], now: float) -> None:
        """Media goes on in runs, all else one by one."""
        first = events[0]
        if isinstance(first, VideoReceived | AudioReceived) and len(events) == 1:
            self._owner.media(self, events, now)
            return
        run: list[Event] = []
        for event in events:
            match event:
                case VideoReceived() | AudioReceived() | DataReceived() | MetadataReceived():
                    run.append(event)
                    continue
            if run:
                self._owner.media(self, run, now)
                run = []
            if self.phase in (Phase.CLOSING, Phase.CLOSED):
                return
            match event:
                case ConnectRequested():
                    self._owner.connect(self, event)
                case PublishRequested():
                    self._message_stream_id = event.message_stream_id
                    self.phase = Phase.ASKING
                    self.publishes += 1
                    self._deadline.clear()
                    self._owner.publish(self, event, now)
                case PublishEnded(how=how):
                    self.phase = Phase.OPEN
                    self._reader.end_publishing()
                    self._deadline.set(self._owner.open_timeout_s, self._on_overdue)
                    self._owner.publish_ended(self, how)
                case PlayRequested():
                    if self.session.unread_bytes > MAX_BEHIND_PLAY:
                        reason = f"more than {MAX_BEHIND_PLAY} bytes sent behind a play request"
                        self._close_socket(reason, is_fault=True)
                        return
                    self.phase = Phase.LEAVING
                    self._play = event
                    self._send_output()
                    if not self._output.is_waiting:
                        self._leave()
                case PlayEnded() | PlayPauseRequested() | PlayReceiveChanged():
                    pass  # nothing is played before egress has the connection
                case _:
                    assert_never(event)
        if run:
            self._owner.media(self, run, now)

    def _leave(self) -> None:
        """All output has gone: egress may have the connection."""
        play, self._play = self._play, None
        if play is not None and self.phase is Phase.LEAVING:
            self._deadline.clear()
            self._owner.play(self, play)

    # ---- writing ------------------------------------------------------------------------------

    def _send_output(self) -> None:
        """Send what the session has for the peer, now or when the peer takes it."""
        if self.phase is Phase.CLOSED:
            return
        data = self.session.data_to_send()
        if data:
            self._output.send(data)

    def _on_all_sent(self) -> None:
        if self.phase is Phase.CLOSING:
            self._output.shut_down()
        elif self._play is not None:
            self._leave()

    # ---- closing ------------------------------------------------------------------------------

    def _on_overdue(self) -> None:
        reason = f"neither publish nor play within {self._owner.open_timeout_s:g} s"
        if self.session.is_connected:
            self.session.send_status(self._message_stream_id, "error", TOO_LATE, reason)
            self.close_gently(reason, is_fault=True)
        else:
            self._close_socket(reason, is_fault=True)

    def _on_lingered(self) -> None:
        if unsent_bytes(self._socket) and self._owner.now() < self._lingers_until_s:
            self._deadline.set(LINGER_S, self._on_lingered)
            return
        self._close_socket(self._close_reason, self._is_fault)

    def _close_socket(self, reason: str, is_fault: bool, is_elsewhere: bool = False) -> None:
        if self.phase is Phase.CLOSED:
            return
        self._deadline.clear()
        self._reader.close()
        self._output.close()
        self.phase = Phase.CLOSED
        if is_elsewhere:
            self._socket.close()
        else:
            close_now(self._socket)
        self._owner.closed(self, reason, is_fault)
