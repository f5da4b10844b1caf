"""The server's side of one RTMP connection, without IO (RTMP 1.0 section 7.2).

Bytes and the time go in, events and bytes come out; the shell owns the socket, the clock and every
decision: it answers requests by `accept` or `reject`. Publishers and players both start here; one
connection publishes at most once at a time. A connection that asks to play can be carried into
another process: `snapshot` here, `restore` there. Input and media are read here; what commands do
is in `peer_commands.py`, what data messages hold in `data_events.py`.

The session's own output is on chunk streams 2, 3 and 5, always with type 0 headers, so it needs no
state for sending: a shell may write media on other chunk streams between whole messages.
"""

from typing import Final

from common.errors import ChunkError, ProtocolError, UsageError
from common.rtmp import replies
from common.rtmp.acknowledgements import Acknowledgements
from common.rtmp.chunks import ChunkReader, Message
from common.rtmp.config import DEFAULT_CONFIG, SessionConfig
from common.rtmp.data_events import data_events
from common.rtmp.events import (
    AudioReceived,
    Event,
    PlayRequested,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.handshake import ServerHandshake
from common.rtmp.message_streams import MessageStreams, StreamUse
from common.rtmp.messages import (
    MessageType,
    UserControl,
    parse_command,
    parse_user_control,
    user_control,
)
from common.rtmp.minute_limits import MINUTE_S, SMALL_BYTES, MinuteLimits
from common.rtmp.peer_commands import COMMAND_VALUES, PeerCommands
from common.rtmp.requests import PendingConnect, Request
from common.rtmp.server_state import ServerState, Stage
from common.rtmp.snapshot import SessionSnapshot

__all__ = ["ServerSession", "SessionConfig"]

_AUDIO: Final = int(MessageType.AUDIO)
_VIDEO: Final = int(MessageType.VIDEO)
_MEDIA: Final = frozenset(
    (_AUDIO, _VIDEO, MessageType.DATA, MessageType.DATA_AMF3, MessageType.AGGREGATE)
)


class ServerSession:
    """One connection. Call `receive_data`, then write `data_to_send`, then handle the events.

    After a ProtocolError the session is dead: its last events and output may still be taken, and
    nothing else done.
    """

    def __init__(
        self, config: SessionConfig = DEFAULT_CONFIG, state: ServerState | None = None
    ) -> None:
        """`state` is given by `restore` alone."""
        self._config = config
        self._handshake = ServerHandshake(config.random)
        self._reader = ChunkReader(config.command_limits())
        self._state = state or ServerState(MessageStreams(config.max_message_streams))
        self._commands = PeerCommands(self._state, config)
        self._minute = MinuteLimits(config)
        self._held: Message | None = None  # the first media behind a publish request
        self._dead = False
        self._received = Acknowledgements(config.ack_every)
        self._bytes_sent = 0

    @property
    def is_connected(self) -> bool:
        """True once `connect` is granted."""
        return self._state.stage is Stage.CONNECTED

    @property
    def is_publishing(self) -> bool:
        """True between `accept` of a publish and its end."""
        return self._state.publishing is not None

    @property
    def publishing_stream_id(self) -> int | None:
        """The message stream that is published on."""
        return self._state.publishing

    @property
    def out_chunk_size(self) -> int:
        """The chunk size that everything sent from now on must have."""
        return self._state.out_chunk_size

    @property
    def has_pending_play(self) -> bool:
        """True while a play request waits for its answer, and parsing with it."""
        return self._state.requests.play is not None

    @property
    def holds_media(self) -> bool:
        """True while media that came behind a publish request waits, and parsing with it.

        More input may be given, up to `max_unread_bytes`; a shell that reads no more meanwhile
        loses nothing.
        """
        return self._held is not None

    @property
    def unread_bytes(self) -> int:
        """Input that is not parsed yet: what waits behind a request, or for its rest."""
        return self._reader.unread_bytes

    @property
    def bytes_received(self) -> int:
        """Everything received, the handshake included."""
        return self._received.received

    def receive_data(self, data: bytes | memoryview, now: float) -> None:
        """Takes input; call it with b"" after answering a request, for what waited behind it.

        Raises:
            ProtocolError: the peer broke the protocol; close the connection.
            UsageError: called after that.
        """
        if self._dead:
            raise UsageError("input for a session that is dead")
        self._received.received += len(data)
        if now - self._minute.began_s >= MINUTE_S:
            self._minute.begin(now)
        try:
            if self._state.stage is Stage.HANDSHAKE:
                self._state.out.append(self._handshake.receive_data(data))
                if not self._handshake.done:
                    return
                self._state.stage = Stage.UNCONNECTED
                data = self._handshake.trailing
            self._reader.feed(data)
            self._read_messages()
        except ProtocolError:
            self._dead = True
            raise
        if self._received.is_due:
            self._state.out.append(self._received.take())

    def events_received(self) -> list[Event]:
        """The events since the last call."""
        events, self._state.events = self._state.events, []
        return events

    def data_to_send(self) -> bytes:
        """The output since the last call."""
        out = self._state.out
        data = b"".join(out)
        out.clear()
        self._bytes_sent += len(data)
        return data

    def accept(self, request_id: int) -> None:
        """Grants a request. Does nothing if the peer has withdrawn it meanwhile.

        Raises:
            UsageError: there never was such a request, or it has been answered.
        """
        state = self._state
        request = self._answer(request_id)
        match request:
            case PendingConnect():
                state.stage = Stage.CONNECTED
                state.out_chunk_size = self._config.chunk_size
                state.out.append(
                    replies.connect_accepted(
                        request.transaction_id,
                        self._config.window_ack_size,
                        self._config.peer_bandwidth,
                        state.out_chunk_size,
                        request.is_enhanced,
                    )
                )
            case PublishRequested(message_stream_id=stream_id):
                state.streams.known(stream_id).use = StreamUse.PUBLISHING
                state.publishing = stream_id
                self._reader.limits = self._config.media_limits()
                state.out.append(replies.publish_started(state.out_chunk_size, stream_id))
            case PlayRequested(message_stream_id=stream_id, reset=reset):
                stream = state.streams.known(stream_id)
                stream.use, stream.audio, stream.video = StreamUse.PLAYING, True, True
                state.out.append(replies.play_started(state.out_chunk_size, stream_id, reset))

    def reject(self, request_id: int, code: str, description: str) -> None:
        """Refuses a request. The peer may try again on the same connection, but for `connect`.

        Does nothing if the peer has withdrawn the request meanwhile.

        Raises:
            UsageError: there never was such a request, or it has been answered.
        """
        state = self._state
        request = self._answer(request_id)
        match request:
            case PendingConnect(transaction_id=transaction_id):
                state.stage = Stage.REFUSED
                state.out.append(
                    replies.error(state.out_chunk_size, transaction_id, code, description)
                )
            case (
                PublishRequested(message_stream_id=stream_id)
                | PlayRequested(message_stream_id=stream_id)
            ):
                state.streams.known(stream_id).use = StreamUse.IDLE
                self.send_status(stream_id, "error", code, description)

    def send_status(self, message_stream_id: int, level: str, code: str, description: str) -> None:
        """Sends an onStatus; `level` is "status", "warning" or "error"."""
        self._state.send_status(message_stream_id, level, code, description)

    def end_play(self, message_stream_id: int, description: str) -> None:
        """Tells a player that its stream is over, so that every kind of client ends.

        Raises:
            UsageError: nothing is played on that message stream.
        """
        stream = self._state.streams.get(message_stream_id)
        if stream is None or stream.use is not StreamUse.PLAYING:
            raise UsageError(f"nothing is played on message stream {message_stream_id}")
        stream.use = StreamUse.IDLE
        self._state.out.append(
            replies.play_ended(self._state.out_chunk_size, message_stream_id, description)
        )

    def show_life(self, now: float) -> None:
        """Sends something to a peer that has heard nothing for long.

        An acknowledgement, if anything came since the last one, else a PingRequest. No answer to
        that proves nothing: OBS gives none while it streams. Before `connect` is granted, nothing.
        """
        state = self._state
        if state.stage is not Stage.CONNECTED or self._dead:
            return
        if self._received.has_news:
            state.out.append(self._received.take())
        else:
            state.out.append(user_control(UserControl.PING_REQUEST, int(now * 1000)))

    def snapshot(self) -> SessionSnapshot:
        """The session as a value, for `restore`. This one may go on, if the handover fails.

        Raises:
            UsageError: no play request is pending, output is waiting, or media is under way.
        """
        state = self._state
        play = state.requests.play
        if play is None or self._dead:
            raise UsageError("a snapshot needs a pending play request")
        if any(state.out):
            raise UsageError("a snapshot needs all output taken")
        if state.streams.playing() is not None:
            raise UsageError("no snapshot of a session that plays already")
        return SessionSnapshot(
            reader=self._reader.state(),
            play=play,
            message_stream_ids=state.streams.ids(),
            out_chunk_size=state.out_chunk_size,
            bytes_received=self._received.received,
            bytes_acknowledged=self._received.acknowledged,
            bytes_sent=self._bytes_sent,
            peer_window=self._received.peer_window,
            object_encoding=state.object_encoding,
            flash_version=state.flash_version,
            app=state.app,
            tc_url=state.tc_url,
            fourccs=state.fourccs,
        )

    @classmethod
    def restore(
        cls, snapshot: SessionSnapshot, config: SessionConfig = DEFAULT_CONFIG
    ) -> "ServerSession":
        """A session that goes on where `snapshot` was taken, its play request raised anew.

        It refuses to publish. `config` decides on limits; the chunk size stays as announced.
        """
        session = cls(config, ServerState.restore(snapshot, config.max_message_streams))
        session._reader = ChunkReader.restore(snapshot.reader, config.command_limits())
        session._received.received = snapshot.bytes_received
        session._received.acknowledged = snapshot.bytes_acknowledged
        session._bytes_sent = snapshot.bytes_sent
        if snapshot.peer_window is not None:
            session._received.set_peer_window(snapshot.peer_window)
        return session

    def _read_messages(self) -> None:
        """Handles whole messages until there is none, or a request wants its answer first.

        Behind `connect` and a play request all waits: some clients send `createStream` and `play`
        with `connect`. Behind a publish request media does, and what follows it: clients of the
        kind of joy4 send their metadata and headers with the request, once.
        """
        next_message = self._reader.next_message
        state = self._state
        requests = state.requests
        message, self._held = self._held, None
        while requests.play is None and requests.connect is None:
            message = message or next_message()
            if message is None:
                return
            type_id = message.type_id
            is_publishing = state.publishing is not None
            if not is_publishing and type_id in _MEDIA and state.streams.publishing() is not None:
                self._held = message
                break
            if len(message.payload) < SMALL_BYTES:
                self._minute.count_small_message()
            if type_id == _VIDEO:
                if is_publishing:
                    state.events.append(VideoReceived(message.timestamp, message.payload))
            elif type_id == _AUDIO:
                if is_publishing:
                    state.events.append(AudioReceived(message.timestamp, message.payload))
            else:
                self._handle(message)
            message = None
        if self._reader.unread_bytes > self._config.max_unread_bytes:
            raise ChunkError(
                f"more than {self._config.max_unread_bytes} bytes sent behind a request"
            )

    def _handle(self, message: Message) -> None:
        match message.type_id:
            case MessageType.COMMAND | MessageType.COMMAND_AMF3:
                self._minute.count_call()
                self._commands.handle(parse_command(message, COMMAND_VALUES))
            case MessageType.DATA | MessageType.DATA_AMF3 | MessageType.AGGREGATE:
                if self._state.publishing is not None:
                    self._state.events.extend(data_events(message, self._minute.allows_metadata))
            case MessageType.USER_CONTROL:
                event = parse_user_control(message.payload)
                if event is not None and event[0] == UserControl.PING_REQUEST:
                    self._minute.count_call()
                    self._state.out.append(user_control(UserControl.PING_RESPONSE, event[1] or 0))
            case MessageType.WINDOW_ACK_SIZE if len(message.payload) >= 4:
                self._received.set_peer_window(int.from_bytes(message.payload[:4], "big"))
            case _:
                pass  # acknowledgements, peer bandwidth, shared objects: nothing to do

    def _answer(self, request_id: int) -> Request | None:
        """The pending request, which is pending no more; None if nobody waits for an answer."""
        if self._dead:
            self._state.requests.forget(request_id)
            return None
        return self._state.requests.answer(request_id)
