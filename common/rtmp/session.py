"""The server's side of one RTMP connection, without IO (RTMP 1.0 section 7.2).

Bytes and the time go in, events and bytes come out; the shell owns the socket, the clock and every
decision: it answers requests by `accept` or `reject`. Publishers and players both start here; one
connection publishes at most once at a time. A connection that asks to play can be carried into
another process: `snapshot` here, `restore` there.

The session's own output is on chunk streams 2, 3 and 5, always with type 0 headers, so it needs no
state for sending: a shell may write media on other chunk streams between whole messages.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from common.errors import Amf0Error, ChunkError, ProtocolError, UsageError
from common.rtmp import amf0, replies
from common.rtmp.chunks import DEFAULT_CHUNK_SIZE, ChunkReader, Message
from common.rtmp.config import DEFAULT_CONFIG, SessionConfig
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
from common.rtmp.handshake import ServerHandshake
from common.rtmp.message_streams import MessageStream, MessageStreams, StreamUse
from common.rtmp.messages import (
    Command,
    MessageType,
    UserControl,
    acknowledgement,
    parse_command,
    parse_user_control,
    split_aggregate,
    user_control,
)
from common.rtmp.snapshot import SessionSnapshot

__all__ = ["ServerSession", "SessionConfig"]

_MINUTE_S: Final = 60.0
_SMALL_BYTES: Final = 16
_AUDIO: Final = int(MessageType.AUDIO)
_VIDEO: Final = int(MessageType.VIDEO)


class _Connection(Enum):
    """How far `connect` has come."""

    HANDSHAKE = auto()
    UNCONNECTED = auto()
    CONNECT_PENDING = auto()
    CONNECTED = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class _PendingConnect:
    transaction_id: float


_Pending = _PendingConnect | PublishRequested | PlayRequested


class ServerSession:
    """One connection. Call `receive_data`, then write `data_to_send`, then handle the events.

    After a ProtocolError the session is dead: its last events and output may still be taken, and
    nothing else done.
    """

    def __init__(self, config: SessionConfig = DEFAULT_CONFIG) -> None:
        self._config = config
        self._handshake = ServerHandshake(config.random)
        self._reader = ChunkReader(config.command_limits())
        self._connection = _Connection.HANDSHAKE
        self._dead = False
        self._handed_over = False
        self._events: list[Event] = []
        self._out: list[bytes] = []
        self._out_chunk_size = DEFAULT_CHUNK_SIZE
        self._bytes_received = 0
        self._bytes_acknowledged = 0
        self._bytes_sent = 0
        self._ack_every = config.ack_every
        self._peer_window: int | None = None
        self._app = ""
        self._tc_url = ""
        self._flash_version = ""
        self._object_encoding = 0.0
        self._streams = MessageStreams(config.max_message_streams)
        self._publishing: int | None = None
        self._pending: dict[int, _Pending] = {}
        self._pending_play: PlayRequested | None = None
        self._withdrawn: set[int] = set()  # requests that the peer ended before their answer
        self._last_request_id = 0
        self._calls = 0  # since `_minute_began`
        self._small_messages = 0  # likewise
        self._minute_began = -math.inf

    @property
    def is_publishing(self) -> bool:
        """True between `accept` of a publish and its end."""
        return self._publishing is not None

    @property
    def publishing_stream_id(self) -> int | None:
        """The message stream that is published on."""
        return self._publishing

    @property
    def out_chunk_size(self) -> int:
        """The chunk size that everything sent from now on must have."""
        return self._out_chunk_size

    @property
    def has_pending_play(self) -> bool:
        """True while a play request waits for its answer, and parsing with it."""
        return self._pending_play is not None

    @property
    def bytes_received(self) -> int:
        """Everything received, the handshake included."""
        return self._bytes_received

    def receive_data(self, data: bytes | memoryview, now: float) -> None:
        """Takes input; call it with b"" after answering a play request, for what waited behind it.

        Raises:
            ProtocolError: the peer broke the protocol; close the connection.
            UsageError: called after that.
        """
        if self._dead:
            raise UsageError("input for a session that is dead")
        self._bytes_received += len(data)
        if now - self._minute_began >= _MINUTE_S:
            self._calls, self._small_messages, self._minute_began = 0, 0, now
        try:
            if self._connection is _Connection.HANDSHAKE:
                self._out.append(self._handshake.receive_data(data))
                if not self._handshake.done:
                    return
                self._connection = _Connection.UNCONNECTED
                data = self._handshake.trailing
            self._reader.feed(data)
            self._read_messages()
        except ProtocolError:
            self._dead = True
            raise
        if self._bytes_received - self._bytes_acknowledged >= self._ack_every:
            self._bytes_acknowledged = self._bytes_received
            self._out.append(acknowledgement(self._bytes_received))

    def events_received(self) -> list[Event]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """The output since the last call."""
        data = b"".join(self._out)
        self._out.clear()
        self._bytes_sent += len(data)
        return data

    def accept(self, request_id: int) -> None:
        """Grants a request. Does nothing if the peer has withdrawn it meanwhile.

        Raises:
            UsageError: there never was such a request, or it has been answered.
        """
        request = self._answer(request_id)
        match request:
            case _PendingConnect():
                self._connection = _Connection.CONNECTED
                self._out_chunk_size = self._config.chunk_size
                self._out.append(
                    replies.connect_accepted(
                        request.transaction_id,
                        self._config.window_ack_size,
                        self._config.peer_bandwidth,
                        self._out_chunk_size,
                    )
                )
            case PublishRequested(message_stream_id=stream_id):
                self._stream(stream_id).use = StreamUse.PUBLISHING
                self._publishing = stream_id
                self._reader.limits = self._config.media_limits()
                self._out.append(replies.publish_started(self._out_chunk_size, stream_id))
            case PlayRequested(message_stream_id=stream_id, reset=reset):
                stream = self._stream(stream_id)
                stream.use, stream.audio, stream.video = StreamUse.PLAYING, True, True
                self._pending_play = None
                self._out.append(replies.play_started(self._out_chunk_size, stream_id, reset))

    def reject(self, request_id: int, code: str, description: str) -> None:
        """Refuses a request. The peer may try again on the same connection, but for `connect`.

        Does nothing if the peer has withdrawn the request meanwhile.

        Raises:
            UsageError: there never was such a request, or it has been answered.
        """
        request = self._answer(request_id)
        match request:
            case _PendingConnect(transaction_id=transaction_id):
                self._connection = _Connection.REFUSED
                self._out.append(
                    replies.error(self._out_chunk_size, transaction_id, code, description)
                )
            case PublishRequested(message_stream_id=stream_id):
                self._stream(stream_id).use = StreamUse.IDLE
                self.send_status(stream_id, "error", code, description)
            case PlayRequested(message_stream_id=stream_id):
                self._stream(stream_id).use = StreamUse.IDLE
                self._pending_play = None
                self.send_status(stream_id, "error", code, description)

    def send_status(self, message_stream_id: int, level: str, code: str, description: str) -> None:
        """Sends an onStatus; `level` is "status", "warning" or "error"."""
        self._out.append(
            replies.status(self._out_chunk_size, message_stream_id, level, code, description)
        )

    def end_play(self, message_stream_id: int, description: str) -> None:
        """Tells a player that its stream is over, so that every kind of client ends.

        Raises:
            UsageError: nothing is played on that message stream.
        """
        stream = self._streams.get(message_stream_id)
        if stream is None or stream.use is not StreamUse.PLAYING:
            raise UsageError(f"nothing is played on message stream {message_stream_id}")
        stream.use = StreamUse.IDLE
        self._out.append(replies.play_ended(self._out_chunk_size, message_stream_id, description))

    def ping(self, now: float) -> None:
        """Sends a PingRequest. No answer proves nothing: OBS gives none while it streams."""
        self._out.append(user_control(UserControl.PING_REQUEST, int(now * 1000)))

    def snapshot(self) -> SessionSnapshot:
        """The session as a value, for `restore`. This one may go on, if the handover fails.

        Raises:
            UsageError: no play request is pending, output is waiting, or media is under way.
        """
        play = self._pending_play
        if play is None or self._dead:
            raise UsageError("a snapshot needs a pending play request")
        if any(self._out):
            raise UsageError("a snapshot needs all output taken")
        if self._streams.playing() is not None:
            raise UsageError("no snapshot of a session that plays already")
        return SessionSnapshot(
            reader=self._reader.state(),
            play=play,
            message_stream_ids=self._streams.ids(),
            out_chunk_size=self._out_chunk_size,
            bytes_received=self._bytes_received,
            bytes_acknowledged=self._bytes_acknowledged,
            bytes_sent=self._bytes_sent,
            peer_window=self._peer_window,
            object_encoding=self._object_encoding,
            flash_version=self._flash_version,
            app=self._app,
            tc_url=self._tc_url,
        )

    @classmethod
    def restore(
        cls, snapshot: SessionSnapshot, config: SessionConfig = DEFAULT_CONFIG
    ) -> "ServerSession":
        """A session that goes on where `snapshot` was taken, its play request raised anew.

        It refuses to publish. `config` decides on limits; the chunk size stays as announced.
        """
        session = cls(config)
        session._connection = _Connection.CONNECTED
        session._handed_over = True
        session._reader = ChunkReader.restore(snapshot.reader, config.command_limits())
        session._out_chunk_size = snapshot.out_chunk_size
        session._bytes_received = snapshot.bytes_received
        session._bytes_acknowledged = snapshot.bytes_acknowledged
        session._bytes_sent = snapshot.bytes_sent
        if snapshot.peer_window is not None:
            session._set_peer_window(snapshot.peer_window)
        session._app = snapshot.app
        session._tc_url = snapshot.tc_url
        session._flash_version = snapshot.flash_version
        session._object_encoding = snapshot.object_encoding
        stream_ids = snapshot.message_stream_ids
        session._streams = MessageStreams(max(config.max_message_streams, len(stream_ids)))
        for stream_id in stream_ids:
            session._streams.open(stream_id)
        play = snapshot.play
        session._stream(play.message_stream_id).use = StreamUse.PLAY_PENDING
        session._pending = {play.request_id: play}
        session._pending_play = play
        session._last_request_id = play.request_id
        session._events.append(play)
        return session

    def _read_messages(self) -> None:
        """Handles whole messages until there is none, or a play request wants its answer."""
        next_message = self._reader.next_message
        while self._pending_play is None:
            message = next_message()
            if message is None:
                return
            if len(message.payload) < _SMALL_BYTES:
                self._count_small_message()
            type_id = message.type_id
            if type_id == _VIDEO:
                if self._publishing is not None:
                    self._events.append(VideoReceived(message.timestamp, message.payload))
            elif type_id == _AUDIO:
                if self._publishing is not None:
                    self._events.append(AudioReceived(message.timestamp, message.payload))
            else:
                self._handle(message)
        if self._reader.unread_bytes > self._config.max_unread_bytes:
            raise ChunkError(
                f"more than {self._config.max_unread_bytes} bytes sent behind a play request"
            )

    def _handle(self, message: Message) -> None:
        match message.type_id:
            case MessageType.COMMAND | MessageType.COMMAND_AMF3:
                self._handle_command(parse_command(message))
            case MessageType.DATA:
                self._handle_data(message.timestamp, message.payload)
            case MessageType.DATA_AMF3:
                self._handle_data(message.timestamp, message.payload[1:])
            case MessageType.AGGREGATE:
                if self._publishing is not None:
                    self._handle_aggregate(message)
            case MessageType.USER_CONTROL:
                event = parse_user_control(message.payload)
                if event is not None and event[0] == UserControl.PING_REQUEST:
                    self._count_call()
                    self._out.append(user_control(UserControl.PING_RESPONSE, event[1] or 0))
            case MessageType.WINDOW_ACK_SIZE if len(message.payload) >= 4:
                self._set_peer_window(int.from_bytes(message.payload[:4], "big"))
            case _:
                pass  # acknowledgements, peer bandwidth, shared objects: nothing to do

    def _count_call(self) -> None:
        self._calls += 1
        if self._calls > self._config.max_calls_per_minute:
            raise ProtocolError(
                f"more than {self._config.max_calls_per_minute} commands within a minute"
            )

    def _count_small_message(self) -> None:
        self._small_messages += 1
        limit = self._config.max_small_messages_per_minute
        if self._small_messages > limit:
            raise ProtocolError(
                f"more than {limit} messages of less than {_SMALL_BYTES} bytes within a minute"
            )

    def _set_peer_window(self, window: int) -> None:
        """The peer stops after `window` bytes without an acknowledgement: send one at half."""
        if window > 0:
            self._peer_window = window
            self._ack_every = min(self._config.ack_every, max(window // 2, 1))

    def _handle_aggregate(self, message: Message) -> None:
        for part in split_aggregate(message):
            match part.type_id:
                case MessageType.VIDEO:
                    self._events.append(VideoReceived(part.timestamp, part.payload))
                case MessageType.AUDIO:
                    self._events.append(AudioReceived(part.timestamp, part.payload))
                case MessageType.DATA:
                    self._handle_data(part.timestamp, part.payload)
                case _:
                    pass

    def _handle_data(self, timestamp: int, payload: bytes) -> None:
        if self._publishing is None:
            return
        first = amf0.leading_string(payload)
        if first is not None and first[0] == "@setDataFrame":
            payload = payload[first[1] :]
            first = amf0.leading_string(payload)
        if first is not None and first[0] == "onMetaData" and _is_amf0(payload):
            self._events.append(MetadataReceived(timestamp, payload))
        else:
            self._events.append(DataReceived(timestamp, payload))

    def _handle_command(self, command: Command) -> None:
        self._count_call()
        if self._connection is _Connection.REFUSED:
            return
        if command.name == "connect":
            self._handle_connect(command)
            return
        if self._connection is _Connection.UNCONNECTED:
            raise ProtocolError(f"{command.name[:40]!r} before connect")
        match command.name:
            case "createStream":
                self._handle_create_stream(command)
            case "publish":
                self._handle_publish(command)
            case "play":
                self._handle_play(command)
            case "FCPublish":
                if command.transaction_id != 0:
                    self._out.append(
                        replies.fc_publish(self._out_chunk_size, command.transaction_id)
                    )
            case "FCUnpublish":
                self._handle_fc_unpublish(command)
            case "deleteStream":
                self._handle_delete_stream(command)
            case "closeStream":
                self._end_use(command.message_stream_id, command.name)
            case "getStreamLength":
                self._reply_result(command, 0.0)  # 0: unknown, which is what live is
            case "pause" | "pauseraw":
                self._handle_pause(command)
            case "seek":
                self._handle_seek(command)
            case "receiveAudio" | "receiveVideo":
                self._handle_receive(command)
            case _:
                # releaseStream, _checkbw, FCSubscribe and whatever else wants an answer.
                self._reply_result(command, None)

    def _reply_result(self, command: Command, value: amf0.Value) -> None:
        if command.transaction_id != 0:
            self._out.append(
                replies.result(self._out_chunk_size, command.transaction_id, None, value)
            )

    def _handle_connect(self, command: Command) -> None:
        if self._connection is not _Connection.UNCONNECTED:
            raise ProtocolError("connect came twice")
        self._connection = _Connection.CONNECT_PENDING
        members = command.command_object
        if not isinstance(members, dict):
            raise Amf0Error("connect without its object")
        self._app = _text(members.get("app"))
        # Some clients spell it tcurl and put the URL in quotes.
        self._tc_url = _text(members.get("tcUrl", members.get("tcurl"))).strip("'")
        self._flash_version = _text(members.get("flashVer"))
        encoding = members.get("objectEncoding")
        self._object_encoding = encoding if isinstance(encoding, float) else 0.0
        request_id = self._take_request_id()
        self._pending[request_id] = _PendingConnect(command.transaction_id)
        self._events.append(
            ConnectRequested(request_id, self._app, self._tc_url, self._flash_version)
        )

    def _handle_create_stream(self, command: Command) -> None:
        stream_id = self._streams.create()
        if stream_id is not None:
            self._reply_result(command, float(stream_id))
        elif command.transaction_id != 0:
            self._out.append(
                replies.error(
                    self._out_chunk_size,
                    command.transaction_id,
                    "NetConnection.Call.Failed",
                    f"no more than {self._config.max_message_streams} streams on a connection",
                )
            )

    def _handle_publish(self, command: Command) -> None:
        self._require_connected(command)
        stream_id = command.message_stream_id
        if command.arguments[:1] and command.arguments[0] is False:
            self._end_use(stream_id, command.name)  # Flash's way to stop
            return
        # FFmpeg stays on stream 0 if it could not read the id, so streams need not be created.
        if self._handed_over:
            self.send_status(
                stream_id,
                "error",
                "NetStream.Failed",
                "a connection that has played cannot publish; connect anew",
            )
            return
        stream = self._streams.open(stream_id)
        if stream is None:
            self.send_status(stream_id, "error", "NetStream.Failed", "too many streams")
            return
        if stream.use is not StreamUse.IDLE or self._streams.publishing() is not None:
            self.send_status(
                stream_id,
                "error",
                "NetStream.Publish.BadName",
                "this connection publishes or plays already",
            )
            return
        stream.use = StreamUse.PUBLISH_PENDING
        request = PublishRequested(
            request_id=self._take_request_id(),
            message_stream_id=stream_id,
            app=self._app,
            tc_url=self._tc_url,
            name=command.text(0),
            publish_type=command.text(1, "live"),
        )
        self._pending[request.request_id] = request
        self._events.append(request)

    def _handle_play(self, command: Command) -> None:
        self._require_connected(command)
        stream_id = command.message_stream_id
        if command.arguments[:1] and command.arguments[0] is False:
            self._end_use(stream_id, command.name)  # Flash's way to stop
            return
        if self._streams.publishing() is not None:
            self.send_status(
                stream_id,
                "error",
                "NetStream.Play.Failed",
                "a connection that publishes cannot play; connect anew",
            )
            return
        stream = self._streams.open(stream_id)
        if stream is None:
            self.send_status(stream_id, "error", "NetStream.Play.Failed", "too many streams")
            return
        self._end_use(stream_id, command.name)
        stream.use = StreamUse.PLAY_PENDING
        request = PlayRequested(
            request_id=self._take_request_id(),
            message_stream_id=stream_id,
            app=self._app,
            tc_url=self._tc_url,
            name=command.text(0),
            start=command.number(1, -2.0),
            reset=command.flag(3, True),
        )
        self._pending[request.request_id] = request
        self._pending_play = request
        self._events.append(request)

    def _require_connected(self, command: Command) -> None:
        if self._connection is not _Connection.CONNECTED:
            raise ProtocolError(f"{command.name} before connect was answered")

    def _stream(self, stream_id: int) -> MessageStream:
        """A stream that is known to be there: a request waits on it."""
        stream = self._streams.get(stream_id)
        assert stream is not None
        return stream

    def _handle_fc_unpublish(self, command: Command) -> None:
        stream_id = self._streams.publishing()
        if stream_id is not None:
            self._out.append(replies.fc_unpublish(self._out_chunk_size, command.transaction_id))
            self._end_use(stream_id, command.name)
        else:
            self._reply_result(command, None)

    def _handle_delete_stream(self, command: Command) -> None:
        number = command.number(0, -1.0)
        if 0 <= number <= 0xFFFFFFFF:
            stream_id = int(number)
        else:
            # GStreamer sends the stream's name, others nothing: they mean the one in use.
            in_use = self._streams.in_use()
            stream_id = command.message_stream_id if in_use is None else in_use
        self._end_use(stream_id, command.name)
        self._streams.delete(stream_id)

    def _end_use(self, stream_id: int, how: str) -> None:
        """Ends what a message stream is used for and says so, once."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        use, stream.use = stream.use, StreamUse.IDLE
        match use:
            case StreamUse.PUBLISHING:
                self._publishing = None
                self.send_status(
                    stream_id, "status", "NetStream.Unpublish.Success", "Stopped publishing"
                )
                self._events.append(PublishEnded(stream_id, how))
            case StreamUse.PUBLISH_PENDING:
                self._withdraw_publish()
                self._events.append(PublishEnded(stream_id, how))
            case StreamUse.PLAYING:
                self._events.append(PlayEnded(stream_id, how))
            case _:
                pass

    def _withdraw_publish(self) -> None:
        """Forgets the publish request that waits; there is one at most."""
        for request_id, request in self._pending.items():
            if isinstance(request, PublishRequested):
                del self._pending[request_id]
                self._withdrawn.add(request_id)
                return

    def _playing(self, command: Command) -> MessageStream | None:
        stream = self._streams.get(command.message_stream_id)
        return stream if stream is not None and stream.use is StreamUse.PLAYING else None

    def _handle_pause(self, command: Command) -> None:
        if self._playing(command) is None:
            return
        stream_id = command.message_stream_id
        paused = command.flag(0, True)
        if paused:
            # Without the StreamEOF of the specification: it would end GStreamer's pipeline.
            self.send_status(stream_id, "status", "NetStream.Pause.Notify", "Paused")
        else:
            self._out.append(user_control(UserControl.STREAM_BEGIN, stream_id))
            self.send_status(stream_id, "status", "NetStream.Unpause.Notify", "Resumed")
        self._events.append(PlayPauseRequested(stream_id, paused))

    def _handle_seek(self, command: Command) -> None:
        # FFmpeg and librtmp discard everything until this comes, so a live server says it too.
        if self._playing(command) is not None:
            self.send_status(
                command.message_stream_id, "status", "NetStream.Seek.Notify", "Live: no seeking"
            )

    def _handle_receive(self, command: Command) -> None:
        stream = self._playing(command)
        if stream is None:
            return
        stream_id = command.message_stream_id
        wanted = command.flag(0, True)
        resumed = wanted and not (stream.audio if command.name == "receiveAudio" else stream.video)
        if command.name == "receiveAudio":
            stream.audio = wanted
        else:
            stream.video = wanted
        if resumed:  # RTMP 1.0 sections 7.2.2.4 and 7.2.2.5
            self.send_status(stream_id, "status", "NetStream.Seek.Notify", "Receiving again")
            self.send_status(stream_id, "status", "NetStream.Play.Start", "Start playing")
        self._events.append(PlayReceiveChanged(stream_id, stream.audio, stream.video))

    def _take_request_id(self) -> int:
        self._last_request_id += 1
        return self._last_request_id

    def _answer(self, request_id: int) -> _Pending | None:
        """The pending request, which is pending no more; None if the peer withdrew it."""
        request = self._pending.pop(request_id, None)
        if self._dead or request_id in self._withdrawn:
            self._withdrawn.discard(request_id)
            return None
        if request is None:
            raise UsageError(f"no request {request_id} waits for an answer")
        return request


def _text(value: amf0.Value) -> str:
    return value if isinstance(value, str) else ""


def _is_amf0(payload: bytes) -> bool:
    try:
        amf0.decode_all(payload)
    except Amf0Error:
        return False
    return True
