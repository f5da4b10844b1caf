"""One player's TCP connection after its handover (IO): its session, its bytes in and out, its end.

Raw non-blocking socket, watched by the loop: readable always, writable only while something is
queued. Media goes out by `send` from the fan-out while the player is in step, and from its queue
otherwise. The session's bytes go between whole messages. Every way out ends in `close`, once.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from enum import Enum
from typing import Protocol, assert_never

from common.access.peer_address import host_of
from common.access.refusal import Refusal, RefusalReason
from common.errors import ProtocolError
from common.media.units import VideoCodec
from common.process.fair_reading import FairReading
from common.process.socket_end import close_now, taken_bytes, unsent_bytes
from common.rtmp.enhanced import takes, takes_opus
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
from common.rtmp.status_codes import TOO_LATE, play_code
from egress.access import PlayWanted, Wish
from egress.entrance import Asker
from egress.fanout.channel import Channel, Channels
from egress.fanout.player_queue import Player
from egress.rtmp.from_units import RtmpForm
from egress.rtmp.quiet import SilenceTimer
from egress.rtmp.untaken import Untaken
from egress.sockets.queue_writer import QueueWriter, Timer
from egress.sockets.socket_reader import SocketReader, lost
from egress.sound.carried import CLASSIC, WITH_OPUS
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start

log = logging.getLogger("tfarm.egress.rtmp.connection")

LINGER_S = 0.5  # from our half-close to the close: the last text must arrive
FLUSH_S = 2.0  # for what is queued when the play ends
AFTER_S = 0.8  # from the end of a play to our half-close: one who asks for another gets an answer
IDLE_S = 30.0  # without a play


class ConnectionState(Enum):
    """The states of a connection."""

    IDLE = "idle"  # plays nothing: after closeStream
    ASKING = "asking"  # a play request waits for its stream
    PLAYING = "playing"
    ENDING = "ending"  # the last bytes go out
    LINGERING = "lingering"  # half-closed
    CLOSED = "closed"


class Host(Protocol):
    """The server, as a connection calls it."""

    @property
    def reading(self) -> FairReading:
        """What reads all players, in turn."""
        ...

    @property
    def channels(self) -> Channels: ...

    def now(self) -> float: ...

    def on_play(self, connection: "Connection", request: PlayRequested) -> None: ...

    def on_play_ended(self, connection: "Connection", reason: str) -> None:
        """It plays or asks for nothing any more."""

    def on_closed(self, connection: "Connection", reason: str) -> None: ...


# long: one socket with all its ways in, out and away
class Connection:
    """A player's connection: a `Sink` of its channel, and an `Asker`."""

    __slots__ = (
        "_fourccs",
        "_hears_until_s",
        "_host",
        "_idle_s",
        "_loop",
        "_message_stream_id",
        "_quiet",
        "_reader",
        "_reason",
        "_request_id",
        "_session",
        "_timer",
        "_untaken",
        "_writer",
        "address",
        "channel",
        "host",
        "number",
        "opened_s",
        "peer",
        "place",
        "player",
        "state",
        "wanted",
        "wish",
    )

    def __init__(
        self,
        tcp: socket.socket,
        session: ServerSession,
        host: Host,
        queue_ms: int,
        loop: asyncio.AbstractEventLoop,
        peer: str = "",
        fourccs: frozenset[str] = frozenset(),
    ) -> None:
        """`peer` is whose connection it is, HOST:PORT, where the socket may not know that.

        `fourccs` are the codecs that it said it takes (`common.rtmp.enhanced`).
        """
        self.state = ConnectionState.IDLE
        self.player = Player(queue_ms)
        self.place = 0
        self.channel: Channel | None = None
        self.wish: Wish | Refusal | None = None  # its last request
        self.wanted: PlayWanted | None = None  # kept for the entrance while it plays or asks
        self.peer = tcp
        self.number = 0  # among all that there ever were here
        self.opened_s = host.now()
        self.address = peer or _peer_name(tcp)
        self.host = host_of(self.address)
        self._session = session
        self._fourccs = fourccs
        self._host = host
        self._loop = loop
        self._reader = SocketReader(tcp, host.reading)
        self._writer = QueueWriter(tcp, self.player, loop, host.now)
        self._timer = Timer(loop)
        self._request_id = self._message_stream_id = 0
        self._untaken = Untaken(0.0)
        self._reason = ""
        self._hears_until_s = 0.0  # its play has ended, and one that it asks for is answered
        self._idle_s = self.opened_s  # since when it plays nothing, if it plays nothing
        self._quiet = SilenceTimer(self.opened_s)

    def start(self) -> None:
        """Watch the socket, and handle what the session holds already."""
        self._reader.watch(self.host, self._receive, self.close)
        self._handle_events()
        self._send_control()

    @property
    def protocol(self) -> str:
        return "rtmp"

    @property
    def is_asking(self) -> bool:
        return self.state is ConnectionState.ASKING

    @property
    def taken_bytes(self) -> int:
        return taken_bytes(self.peer)

    def takes_video(self, codec: str, /) -> bool:
        # H.264 needs no word of a player's, and nothing is sent before the codec is known
        return codec in ("", VideoCodec.H264) or takes(self._fourccs, VideoCodec(codec))

    # ---- what the host decides ----------------------------------------------------------------

    def accept(self, rendition: Rendition, start: Start, /) -> None:
        """Grant the play request that was raised last."""
        self._timer.cancel()
        self.state = ConnectionState.PLAYING
        carries = WITH_OPUS if takes_opus(self._fourccs) else CLASSIC
        channel = self.channel = self._host.channels.get(rendition, carries)
        self._session.accept(self._request_id)
        # Play.Start is queued first: nothing of the media may come before it.
        self.player.control(self._session.data_to_send())
        channel.join(self, start, RtmpForm(self._message_stream_id))
        self.pump()
        if self._session.unread_bytes:
            # What waited behind the request; not from here: it may hold the next one, and so on.
            self._reader.go_on()

    def wait(self, seconds: float, on_timeout: Callable[[Asker], None], /) -> None:
        """Leave the play request unanswered for now."""
        self.state = ConnectionState.ASKING
        self._timer.set(seconds, on_timeout, self)

    def refuse(self, refusal: Refusal, /) -> None:
        """Refuse the play request that was raised last, and close once the text has arrived."""
        self._timer.cancel()
        self._session.reject(self._request_id, play_code(refusal.reason), refusal.words)
        self._leave_channel(refusal.words, discard=True)
        self._end(f"refused: {refusal.reason}: {refusal.words}")
        self.player.control(self._session.data_to_send())
        self.pump()

    def finish(self, reason: str, /) -> None:
        """Tell the player that it is over, and close once that has arrived."""
        match self.state:
            case ConnectionState.PLAYING:
                self._session.end_play(self._message_stream_id, reason)
                self._leave_channel(reason, discard=False)
                self._hears_until_s = self._host.now() + AFTER_S
                self._end(reason)
                self.player.finish(self._session.data_to_send())
                self.pump()
            case ConnectionState.ASKING:
                self.refuse(Refusal(RefusalReason.NOT_FOUND, reason))
            case ConnectionState.IDLE:
                self._end(reason)
                self.pump()
            case ConnectionState.ENDING | ConnectionState.LINGERING | ConnectionState.CLOSED:
                pass
            case _:
                assert_never(self.state)

    def check(self, now: float, stall_timeout_s: float) -> None:
        """Close one that takes or plays nothing; be heard by one that was sent nothing.

        So is one whose publisher went over to a codec that it does not say that it takes.
        """
        if self.channel is not None:
            codec = self.channel.rendition.gop_buffer.config.video_codec
            if not self.takes_video(codec):
                label = VideoCodec(codec).label
                self.finish(f"its video is {label} now, which the player does not say it takes")
                return
        if self.player.has_queue:
            if self._writer.is_stalled(stall_timeout_s, self.pump):
                self.close("took no byte for too long")
        elif self.state is ConnectionState.IDLE and now - self._idle_s > IDLE_S:
            words = f"nothing was played for {IDLE_S:g} s"
            self._session.send_status(self._message_stream_id, "error", TOO_LATE, words)
            self._end("plays nothing")
            self.player.control(self._session.data_to_send())
            self.pump()
        else:
            sends = self.channel.sends_to(self) if self.channel is not None else 0
            if self._quiet.is_quiet(now, self._writer.progress_s, sends):
                self._session.show_life(now)
                self._send_control()

    def close(self, reason: str, *, resets: bool = True) -> None:
        """Close at once. Does nothing the second time.

        `resets`: what the peer has not taken is forgotten; else the kernel sends it, for as long as
        the peer likes.
        """
        if self.state is ConnectionState.CLOSED:
            return
        self._leave_channel(self._reason or reason, discard=True)
        self.state = ConnectionState.CLOSED
        self._timer.cancel()
        self._reader.stop()
        self._writer.stop_waiting()
        (close_now if resets else socket.socket.close)(self.peer)
        self._host.on_closed(self, self._reason or reason)

    # ---- bytes out ----------------------------------------------------------------------------

    def on_queued(self) -> None:
        """Send what the fan-out has begun to queue."""
        if not self._writer.is_waiting and self.state is not ConnectionState.CLOSED:
            self._writer.note_progress()
            self.pump()

    def on_broken(self, error: OSError) -> None:
        """Close the connection, but not in the middle of the fan-out's loop."""
        self._loop.call_soon(self.close, lost(error))

    def pump(self) -> None:
        """Send what is queued, as far as the socket takes it."""
        if self.state is ConnectionState.CLOSED:
            return
        try:
            if not self._writer.write(self.pump):
                return
        except OSError as error:
            self.close(lost(error))
            return
        if self.channel is not None:
            self.channel.caught_up(self)
        elif self.state is ConnectionState.ENDING:
            left_s = self._hears_until_s - self._host.now()
            if left_s > 0:
                self._timer.set(left_s, self._half_close)
            else:
                self._half_close()

    def _send_control(self) -> None:
        data = self._session.data_to_send()
        if not data or self.state in (ConnectionState.LINGERING, ConnectionState.CLOSED):
            return
        if self.channel is not None:
            self.channel.step_out(self)
        had_queue = self.player.has_queue
        self.player.control(data)
        if self.player.is_flooding:
            self.close("asks for answers and does not take them")
            return
        if not had_queue:
            self._writer.note_progress()
        if not self._writer.is_waiting:
            self.pump()

    # ---- the end ------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        """Send nothing more but what is queued."""
        self.state = ConnectionState.ENDING
        self._reader.is_ignoring = not self._hears_until_s  # else nobody listens any more
        self._reason = reason
        self._timer.set(FLUSH_S, self._half_close)

    def _refuse_late(self, request: PlayRequested) -> None:
        """Answer one that asks for another play when its play has ended."""
        self._hears_until_s = 0.0
        self._reader.is_ignoring = True
        words = f"{self._reason}: connect anew to play"
        self._session.reject(request.request_id, play_code(RefusalReason.NOT_FOUND), words)

    def _half_close(self) -> None:
        # A close now would, with input unread, make the kernel throw away what is still on its way.
        self._writer.stop_waiting()
        try:
            self.peer.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.close(lost(error))
            return
        self.state = ConnectionState.LINGERING
        self._reader.is_ignoring = True
        self._untaken = Untaken(self._host.now())
        self._timer.set(LINGER_S, self._on_lingered)

    def _on_lingered(self) -> None:
        """Close once the kernel has let go of what was sent, or the peer takes no more of it."""
        if self._untaken.may_go_on(unsent_bytes(self.peer), self._host.now()):
            self._timer.set(LINGER_S, self._on_lingered)
        else:
            self.close(self._reason)

    def _leave_channel(self, reason: str, *, discard: bool) -> None:
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.remove(self)
        self.player.leave(discard=discard)
        self._host.on_play_ended(self, reason)

    # ---- bytes in -----------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        try:
            self._session.receive_data(data, self._host.now())
        except ProtocolError as error:
            self.close(f"broke the protocol: {error}")
            return
        self._handle_events()
        self._send_control()

    def _handle_events(self) -> None:
        for event in self._session.events_received():
            if self._hears_until_s and isinstance(event, PlayRequested):
                self._refuse_late(event)
            if self.state in (
                ConnectionState.ENDING,
                ConnectionState.LINGERING,
                ConnectionState.CLOSED,
            ):
                return
            self._handle(event)

    def _handle(self, event: Event) -> None:
        match event:
            case PlayRequested():
                self._on_play(event)
            case PlayEnded(stream_id):
                if stream_id == self._message_stream_id and self.channel is not None:
                    self._leave_channel("the player stopped", discard=True)
                    self.state = ConnectionState.IDLE
                    self._idle_s = self._host.now()
            case PlayPauseRequested(stream_id, paused):
                self._on_pause(stream_id, paused)
            case PlayReceiveChanged(stream_id, audio, video):
                if stream_id == self._message_stream_id and self.channel is not None:
                    self.channel.step_out(self)
                    self.player.receive(audio=audio, video=video)
                    self.channel.caught_up(self)
            case (
                ConnectRequested()
                | PublishRequested()
                | PublishEnded()
                | MetadataReceived()
                | DataReceived()
                | AudioReceived()
                | VideoReceived()
            ):
                pass  # the session itself refuses all of these after a handover
            case _:
                assert_never(event)

    def _on_play(self, request: PlayRequested) -> None:
        if self.channel is not None:
            # One stream a connection: a play on another message stream replaces this one.
            reason = "another play on this connection"
            self._session.end_play(self._message_stream_id, reason)
            self._leave_channel(reason, discard=True)
        self.state = ConnectionState.IDLE
        self._request_id = request.request_id
        self._message_stream_id = request.message_stream_id
        self._host.on_play(self, request)

    def _on_pause(self, stream_id: int, paused: bool) -> None:
        channel = self.channel
        if stream_id != self._message_stream_id or channel is None:
            return
        (channel.pause if paused else channel.resume)(self)
        if not self._writer.is_waiting:
            self.pump()


def _peer_name(tcp: socket.socket) -> str:
    try:
        peer = tcp.getpeername()
    except OSError:
        return "gone"
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) and len(peer) >= 2 else "local"
