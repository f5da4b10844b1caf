"""Fuzzing targets: whole sessions, after the handshake, and their handover."""

from contextlib import suppress

from common.errors import (
    EnvelopeError,
    ProtocolError,
)
from common.flv import amf0
from common.rtmp.chunks import (
    ChunkReader,
    encode_message,
)
from common.rtmp.client import ClientSession
from common.rtmp.config import SessionConfig
from common.rtmp.events import (
    ConnectRequested,
    Event,
    MetadataReceived,
    PlayEnded,
    PlayRequested,
    PublishRequested,
)
from common.rtmp.handshake import PACKET_SIZE
from common.rtmp.messages import (
    MessageType,
    encode_command,
    parse_command,
)
from common.rtmp.session import ServerSession
from common.rtmp.snapshot import SessionSnapshot
from tests.fuzz.recipes import Recipe, cuts, zeros
from tests.fuzz.rtmp_targets import read_messages

_WIRE_TYPES = (1, 2, 3, 4, 5, 6, 8, 9, 15, 17, 18, 20, 20, 20, 22, 99)
_HANDSHAKE = b"\x03" + bytes(2 * PACKET_SIZE)


def _framed(recipe: Recipe) -> bytes:
    """A chunk stream of whole messages, so that what is inside them is reached."""
    wire = b""
    while recipe:
        kind, time = recipe.number(1), recipe.number(2)
        payload = recipe.take(recipe.number(2))
        stream_id, chunk_stream_id = kind >> 4 & 3, 3 + (kind >> 6)
        wire += encode_message(
            chunk_stream_id, _WIRE_TYPES[kind & 15], time, stream_id, payload, 128
        )
    return wire


class _Shell:
    """Answers a server session's requests by the bits of a number, and checks what it sends."""

    def __init__(self, answers: int) -> None:
        config = SessionConfig(random=zeros, max_calls_per_minute=200, max_unread_bytes=4096)
        self.session = ServerSession(config)
        self._config = config
        self.answers = answers
        self._reader = ChunkReader()
        self._handshake_left = 1 + 2 * PACKET_SIZE
        self._now = 0.0
        self._late: list[int] = []
        self._playing: set[int] = set()

    def receive(self, data: bytes) -> bool:
        """False: the session is dead."""
        self._now += 1.0
        try:
            self.session.receive_data(data, self._now)
        except ProtocolError:
            self._sent()
            self.session.events_received()
            return False
        for request_id in self._late:
            self.session.accept(request_id)
        self._late.clear()
        for event in self.session.events_received():
            self._handle(event)
        self._sent()
        return True

    def _bit(self) -> bool:
        self.answers = (self.answers >> 1 | self.answers << 15) & 0xFFFF
        return bool(self.answers & 1)

    def _handle(self, event: Event) -> None:
        match event:
            case PlayRequested():
                self._sent()
                if not self._playing:  # what plays already cannot be carried over
                    self._hand_over()
                if self._bit():
                    self.session.accept(event.request_id)
                    self._playing.add(event.message_stream_id)
                else:
                    self.session.reject(event.request_id, "NetStream.Play.Failed", "no")
            case ConnectRequested() | PublishRequested():
                if self._bit():
                    self.session.reject(event.request_id, "NetConnection.Connect.Rejected", "no")
                elif self._bit():
                    self._late.append(event.request_id)
                else:
                    self.session.accept(event.request_id)
            case MetadataReceived(payload=payload):
                assert amf0.decode_all(payload)[0] == "onMetaData"
            case PlayEnded(message_stream_id=stream_id):
                self._playing.discard(stream_id)
                self.session.send_status(stream_id, "status", "NetStream.Play.Stop", "over")
            case _:
                pass

    def _hand_over(self) -> None:
        data = self.session.snapshot().to_bytes()
        snapshot = SessionSnapshot.from_bytes(data)
        assert snapshot.to_bytes() == data
        self.session = ServerSession.restore(snapshot, self._config)
        assert len(self.session.events_received()) == 1

    def _sent(self) -> None:
        """Everything sent is a legal chunk stream of readable commands."""
        data = self.session.data_to_send()
        skipped = min(self._handshake_left, len(data))
        self._handshake_left -= skipped
        for message in read_messages(self._reader, data[skipped:], 0):
            if message.type_id == MessageType.COMMAND:
                parse_command(message)
        assert self._reader.unread_bytes == 0


def server_session(data: bytes) -> None:
    """A connection from after the handshake, or from further on, in raw chunks or in messages."""
    recipe = Recipe(data)
    flags, how, answers = recipe.number(1), recipe.number(1), recipe.number(2)
    shell = _Shell(0)  # accepts everything
    shell.receive(_HANDSHAKE)
    start = flags >> 1 & 3
    if start:
        members: dict[str, amf0.Value] = {"app": "live", "tcUrl": "rtmp://h/live"}
        shell.receive(encode_command(3, 0, 128, "connect", 1.0, members))
        shell.receive(encode_command(3, 0, 128, "createStream", 2.0, None))
    if start >= 2:
        shell.receive(encode_command(3, 1, 128, "publish", 3.0, None, "key", "live"))
        assert shell.session.is_publishing
    if start == 3:
        shell.receive(encode_command(3, 1, 128, "closeStream", 0.0, None))
        shell.answers = 0xFFFF
        shell.receive(encode_command(3, 1, 128, "play", 4.0, None, "key"))
    shell.answers = answers
    wire = _framed(recipe) if flags & 1 else recipe.rest()
    for piece in cuts(wire, how):
        if not shell.receive(piece):
            return
    shell.receive(b"")


def client_session(data: bytes) -> None:
    """A publishing or playing client against any server, in raw chunks or in messages."""
    recipe = Recipe(data)
    flags, how = recipe.number(1), recipe.number(1)
    mode = ("publish", "play")[flags >> 1 & 1]
    session = ClientSession(
        "rtmp://host/live/key", "publish" if mode == "publish" else "play", 128, zeros
    )
    session.start()
    wire = _HANDSHAKE + (_framed(recipe) if flags & 1 else recipe.rest())
    try:
        for piece in cuts(wire, how):
            session.receive_data(piece, 0.0)
            session.events_received()
            session.data_to_send()
    except ProtocolError:
        return
    session.close()
    session.data_to_send()


def snapshot(data: bytes) -> None:
    """A session carried over in any bytes, that then goes on with any answer."""
    recipe = Recipe(data)
    is_accepted = recipe.number(1) & 1
    try:
        read = SessionSnapshot.from_bytes(recipe.rest())
    except EnvelopeError:
        return
    written = read.to_bytes()
    assert SessionSnapshot.from_bytes(written).to_bytes() == written
    session = ServerSession.restore(read, SessionConfig(random=zeros))
    assert session.snapshot().to_bytes() == written
    (event,) = session.events_received()
    assert isinstance(event, PlayRequested)
    if is_accepted:
        session.accept(event.request_id)
    else:
        session.reject(event.request_id, "NetStream.Play.Failed", "no")
    with suppress(ProtocolError):
        session.receive_data(b"", 0.0)
    session.data_to_send()
