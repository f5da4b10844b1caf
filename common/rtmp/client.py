"""The client's side of one RTMP connection, without IO: publishes or plays one stream.

Used by `tfarm demo`, what is pulled and pushed, tests and benches. It asks in FFmpeg's order and
splits URLs as FFmpeg does, so a server that serves it serves the common clients. Call `start`, then
write `data_to_send`, feed `receive_data`, and take the events.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Literal
from urllib.parse import urlsplit

from common.errors import ProtocolError, UsageError
from common.flv import amf0
from common.rtmp.chunks import (
    DEFAULT_CHUNK_SIZE,
    ChunkLimits,
    ChunkReader,
    Message,
    encode_delta,
    encode_message,
)
from common.rtmp.events import AudioReceived, DataReceived, MetadataReceived, VideoReceived
from common.rtmp.handshake import ClientHandshake
from common.rtmp.messages import (
    COMMAND_CHUNK_STREAM,
    Command,
    MessageType,
    UserControl,
    acknowledgement,
    encode_command,
    parse_command,
    parse_user_control,
    set_chunk_size,
    user_control,
    window_ack_size,
)

DEFAULT_PORT: Final = 1935
TLS_PORT: Final = 443

# FFmpeg's chunk streams.
_AUDIO_CHUNK_STREAM: Final = 4  # data too
_VIDEO_CHUNK_STREAM: Final = 6
_PLAY_CHUNK_STREAM: Final = 8  # publish and play

_BUFFER_MS: Final = 3000
_WINDOW: Final = 2_500_000
_MASK32: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Address:
    """An rtmp:// or rtmps:// URL as FFmpeg takes it apart."""

    host: str
    port: int
    app: str = field(repr=False)
    name: str = field(repr=False)
    tc_url: str = field(repr=False)
    is_tls: bool = False

    def hidden(self, words: str) -> str:
        """A server's words without the stream's name there, which is a credential."""
        for name in (self.name, self.name.partition("?")[0]):
            words = words.replace(name, "…") if name else words
        return words


def split_url(url: str) -> Address:
    """Splits a URL as FFmpeg does: two path parts are the app if there are three or more.

    Raises:
        ValueError: no such URL, or one without a host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("rtmp", "rtmps") or not parts.hostname:
        raise ValueError(f"not an rtmp:// URL with a host: {parts.scheme}://{parts.hostname}")
    path = url.split("//", 1)[1].partition("/")[2]
    app, slash, name = path.partition("/")
    if slash:
        instance, slash, rest = name.partition("/")
        if slash and ":" not in instance:
            app, name = f"{app}/{instance}", rest
    if ":" not in name and name.endswith((".f4v", ".mp4")):
        name = f"mp4:{name}"
    elif name.endswith(".flv"):
        name = name.removesuffix(".flv")
    is_tls = parts.scheme == "rtmps"
    authority = parts.netloc.rpartition("@")[2]
    return Address(
        host=parts.hostname,
        port=parts.port or (TLS_PORT if is_tls else DEFAULT_PORT),
        app=app,
        name=name,
        tc_url=f"{parts.scheme}://{authority}/{app}",
        is_tls=is_tls,
    )


@dataclass(frozen=True, slots=True)
class Published:
    """The server takes media now."""


@dataclass(frozen=True, slots=True)
class Playing:
    """The server will send media."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server said no to connect, publish or play."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The server ended what had begun."""

    code: str


ClientEvent = (
    Published
    | Playing
    | Refused
    | Ended
    | MetadataReceived
    | DataReceived
    | AudioReceived
    | VideoReceived
)


class _State(Enum):
    NEW = auto()
    CONNECTING = auto()  # handshake, connect, createStream, publish or play
    STREAMING = auto()
    OVER = auto()  # refused, ended, or closed by us


class ClientSession:
    """One client connection, for one stream.

    An error of the server's side is a ProtocolError; a refusal or an end is an event.
    """

    def __init__(
        self,
        url: str,
        mode: Literal["publish", "play"],
        chunk_size: int = 4096,
        random: Callable[[int], bytes] = os.urandom,
        fourccs: Sequence[str] = (),
    ) -> None:
        """`fourccs`: codecs beside classic FLV's that the server is told of (Enhanced RTMP)."""
        self._fourccs = fourccs
        self.address = split_url(url)
        self._mode = mode
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._wanted_chunk_size = chunk_size
        self._handshake = ClientHandshake(random)
        self._reader = ChunkReader(ChunkLimits(max_message_bytes=0xFFFFFF))
        self._state = _State.NEW
        self._stream_id = 0
        self._calls: dict[float, str] = {}  # what waits for a `_result`, by transaction
        self._last_transaction = 0.0
        self._last_sent: dict[int, int] = {}  # timestamp by chunk stream, for the deltas
        self._out: list[bytes] = []
        self._events: list[ClientEvent] = []
        self._bytes_received = 0
        self._bytes_acknowledged = 0
        self._ack_every = _WINDOW // 2

    def start(self) -> None:
        """Begins the handshake.

        Raises:
            UsageError: called twice.
        """
        if self._state is not _State.NEW:
            raise UsageError("a client session starts once")
        self._state = _State.CONNECTING
        self._out.append(self._handshake.start())

    @property
    def message_stream_id(self) -> int:
        """The message stream that media goes on, or comes on; 0: not told yet."""
        return self._stream_id

    def events_received(self) -> list[ClientEvent]:
        """The events since the last call."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """The output since the last call."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive_data(self, data: bytes | memoryview, now: float) -> None:
        """Takes input.

        Raises:
            ProtocolError: the server broke the protocol; close the connection.
        """
        self._bytes_received += len(data)
        if not self._handshake.done:
            self._out.append(self._handshake.receive_data(data))
            if not self._handshake.done:
                return
            data = self._handshake.trailing
            self._connect()
        self._reader.feed(data)
        while (message := self._reader.next_message()) is not None:
            self._handle(message)
        if self._bytes_received - self._bytes_acknowledged >= self._ack_every:
            self._bytes_acknowledged = self._bytes_received
            self._out.append(acknowledgement(self._bytes_received))

    def send_metadata(self, payload: bytes, timestamp: int = 0) -> None:
        """Sends onMetaData; `payload` is AMF0 from the string "onMetaData" on."""
        self.send_data(amf0.encode("@setDataFrame") + payload, timestamp)

    def send_data(self, payload: bytes, timestamp: int = 0) -> None:
        """Sends a data message as it is, with an absolute timestamp as FFmpeg's."""
        self._send_media(_AUDIO_CHUNK_STREAM, MessageType.DATA, timestamp, payload, absolute=True)

    def send_audio(self, timestamp_ms: int, payload: bytes) -> None:
        """Sends an FLV audio tag body."""
        self._send_media(_AUDIO_CHUNK_STREAM, MessageType.AUDIO, timestamp_ms, payload)

    def send_video(self, timestamp_ms: int, payload: bytes) -> None:
        """Sends an FLV video tag body."""
        self._send_media(_VIDEO_CHUNK_STREAM, MessageType.VIDEO, timestamp_ms, payload)

    def close(self) -> None:
        """Says goodbye, if there is something to end; the socket is the shell's to close."""
        if self._state is _State.STREAMING:
            if self._mode == "publish":
                self._call("FCUnpublish", None, self.address.name)
            self._call("deleteStream", None, float(self._stream_id))
        self._state = _State.OVER

    def _send_media(
        self,
        chunk_stream_id: int,
        type_id: MessageType,
        timestamp: int,
        payload: bytes,
        absolute: bool = False,
    ) -> None:
        if self._state is not _State.STREAMING or self._mode != "publish":
            raise UsageError("media can be sent only while publishing")
        last = self._last_sent.get(chunk_stream_id)
        self._last_sent[chunk_stream_id] = timestamp & _MASK32
        if absolute or last is None or timestamp & _MASK32 < last:
            self._out.append(
                encode_message(
                    chunk_stream_id, type_id, timestamp, self._stream_id, payload, self._chunk_size
                )
            )
        else:
            delta = (timestamp & _MASK32) - last
            self._out.append(
                encode_delta(chunk_stream_id, type_id, delta, payload, self._chunk_size)
            )

    def _call(self, name: str, command_object: amf0.Value, *arguments: amf0.Value | int) -> None:
        """Sends a command; its transaction is remembered until the reply."""
        self._last_transaction += 1
        self._calls[self._last_transaction] = name
        on_stream = name in ("publish", "play")
        self._out.append(
            encode_command(
                _PLAY_CHUNK_STREAM if on_stream else COMMAND_CHUNK_STREAM,
                self._stream_id if on_stream else 0,
                self._chunk_size,
                name,
                self._last_transaction,
                command_object,
                *arguments,
            )
        )

    def _connect(self) -> None:
        self._out.append(set_chunk_size(self._wanted_chunk_size))
        self._chunk_size = self._wanted_chunk_size
        members: dict[str, amf0.Value] = {"app": self.address.app}
        if self._mode == "publish":
            members |= {"type": "nonprivate", "flashVer": "FMLE/3.0 (compatible; tfarm)"}
        else:
            members |= {"flashVer": "LNX 9,0,124,2", "fpad": False, "capabilities": 15.0}
            members |= {"audioCodecs": 4071.0, "videoCodecs": 252.0, "videoFunction": 1.0}
        members["tcUrl"] = self.address.tc_url
        if self._fourccs:
            members["fourCcList"] = list(self._fourccs)
        self._call("connect", members)

    def _handle(self, message: Message) -> None:
        match message.type_id:
            case MessageType.VIDEO:
                self._events.append(VideoReceived(message.timestamp, message.payload))
            case MessageType.AUDIO:
                self._events.append(AudioReceived(message.timestamp, message.payload))
            case MessageType.DATA:
                first = amf0.leading_string(message.payload)
                if first is not None and first[0] == "onMetaData":
                    self._events.append(MetadataReceived(message.timestamp, message.payload))
                else:
                    self._events.append(DataReceived(message.timestamp, message.payload))
            case MessageType.COMMAND | MessageType.COMMAND_AMF3:
                self._handle_command(parse_command(message))
            case MessageType.USER_CONTROL:
                event = parse_user_control(message.payload)
                if event is not None and event[0] == UserControl.PING_REQUEST:
                    self._out.append(user_control(UserControl.PING_RESPONSE, event[1] or 0))
            case MessageType.WINDOW_ACK_SIZE if len(message.payload) >= 4:
                window = int.from_bytes(message.payload[:4], "big")
                self._ack_every = max(window // 2, 1)
            case _:
                pass

    def _handle_command(self, command: Command) -> None:
        if self._state is _State.OVER:
            return
        match command.name:
            case "_result":
                self._handle_result(command, self._calls.pop(command.transaction_id, ""))
            case "_error":
                called = self._calls.pop(command.transaction_id, "")
                # An error for the courtesies before createStream is no more than a warning.
                if called in ("connect", "createStream", "publish", "play"):
                    code, description, _ = _status(command)
                    self._refused(code, description)
            case "onStatus":
                self._handle_status(command)
            case _:
                pass

    def _handle_result(self, command: Command, called: str) -> None:
        if called == "connect":
            if self._mode == "publish":
                self._call("releaseStream", None, self.address.name)
                self._call("FCPublish", None, self.address.name)
            else:
                self._out.append(window_ack_size(_WINDOW))
            self._call("createStream", None)
        elif called == "createStream":
            stream_id = command.number(0, 0.0)
            if not 0 < stream_id <= _MASK32:
                raise ProtocolError("createStream returned no stream id")
            self._stream_id = int(stream_id)
            if self._mode == "publish":
                self._call("publish", None, self.address.name, "live")
            else:
                self._call("getStreamLength", None, self.address.name)
                self._call("play", None, self.address.name, -2000.0)
                self._out.append(
                    user_control(UserControl.SET_BUFFER_LENGTH, self._stream_id, _BUFFER_MS)
                )

    def _handle_status(self, command: Command) -> None:
        code, description, level = _status(command)
        started = "NetStream.Publish.Start" if self._mode == "publish" else "NetStream.Play.Start"
        if self._state is _State.CONNECTING:
            if level == "error":
                self._refused(code, description)
            elif code == started:
                self._state = _State.STREAMING
                self._events.append(Published() if self._mode == "publish" else Playing())
        elif level == "error" or code in ("NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"):
            self._state = _State.OVER
            self._events.append(Ended(code))

    def _refused(self, code: str, description: str) -> None:
        self._state = _State.OVER
        self._events.append(Refused(code, description))


def _status(command: Command) -> tuple[str, str, str]:
    """Code, description and level out of the info object, wherever it stands."""
    for value in command.arguments:
        if isinstance(value, dict):
            code, description, level = (
                text if isinstance(text, str) else ""
                for text in (value.get("code"), value.get("description"), value.get("level"))
            )
            return code, description, level
    return "", "", ""
