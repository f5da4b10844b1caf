"""Tags as egress gets them, and what a player makes of the bytes that it is sent."""

from collections.abc import Sequence

from common.config.ladder import SOURCE, Rendition, Template
from common.flv import amf0
from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import HEADER, KEY, SHARED, RenditionOpen, StreamOpen, Tags
from common.rtmp.chunks import ChunkReader, Message
from egress.rtmp.fanout import Channel, Peer
from egress.rtmp.player_queue import Player, Start
from egress.streams.gop_buffer import CHUNK_SIZE, Entry

STREAM = StreamId("live/cam1")
VIDEO_HEADER = avc_sequence_header(b"record-1")
AUDIO_HEADER = aac_sequence_header(bytes((0x11, 0x90)))  # AAC-LC, 48 kHz, stereo
METADATA = amf0.encode("onMetaData", amf0.EcmaArray({"width": 640.0, "videocodecid": 7.0}))
TEMPLATE = Template(
    "live",
    (Rendition("720p", 1280, 720, 2_000_000), Rendition("360p", 640, 360, 600_000)),
    hold_ms=2_000,
    wait_ms=1_000,
)

TagEntry = tuple[int, int, int, float]


def picture(text: str, is_key: bool = False, composition_ms: int = 0) -> bytes:
    return avc_nalus(text.encode(), composition_ms, is_key)


def sound(text: str) -> bytes:
    return aac_frame(text.encode())


def key_tag(dts_ms: int) -> tuple[TagEntry, bytes]:
    return (9, dts_ms, KEY, 0.0), picture(f"v{dts_ms}", is_key=True)


def inter_tag(dts_ms: int) -> tuple[TagEntry, bytes]:
    return (9, dts_ms, 0, 0.0), picture(f"v{dts_ms}")


def audio_tag(dts_ms: int) -> tuple[TagEntry, bytes]:
    return (8, dts_ms, 0, 0.0), sound(f"a{dts_ms}")


def audio_header_tag(dts_ms: int, payload: bytes = AUDIO_HEADER) -> tuple[TagEntry, bytes]:
    return (8, dts_ms, HEADER, 0.0), payload


def data_tag(dts_ms: int) -> tuple[TagEntry, bytes]:
    return (18, dts_ms, 0, 0.0), amf0.encode("onTextData", f"d{dts_ms}")


def tags(
    first_number: int,
    *items: tuple[TagEntry, bytes],
    generation: int = 1,
    rendition: str = SOURCE,
) -> tuple[Tags, Sequence[bytes]]:
    message = Tags(
        STREAM,
        Generation(generation),
        rendition,
        first_number,
        tuple(entry for entry, _ in items),
    )
    return message, [payload for _, payload in items]


def shared(*items: tuple[TagEntry, bytes], generation: int = 1) -> tuple[Tags, Sequence[bytes]]:
    return tags(0, *items, generation=generation, rendition=SHARED)


def rendition_open(
    rendition: str,
    first_number: int = 0,
    generation: int = 1,
    metadata: bytes = METADATA,
    header: bytes = VIDEO_HEADER,
) -> tuple[RenditionOpen, Sequence[bytes]]:
    message = RenditionOpen(STREAM, Generation(generation), rendition, first_number)
    return message, (metadata, header)


def stream_open(
    generation: int = 1,
    renditions: tuple[str, ...] = ("720p", "360p"),
    splice_ms: int | None = None,
) -> StreamOpen:
    return StreamOpen(STREAM, Generation(generation), TEMPLATE, renditions, splice_ms)


def messages(data: bytes, chunk_size: int = CHUNK_SIZE) -> list[Message]:
    """The RTMP messages in the bytes that a player was sent."""
    reader = ChunkReader()
    reader.chunk_size = chunk_size
    reader.feed(data)
    read = []
    while (message := reader.next_message()) is not None:
        read.append(message)
    assert reader.unread_bytes == 0
    return read


class Screen:
    """Reads what one player is sent, one word a message.

    "H" and "h" are video and audio headers, "M" metadata, "v40" the picture of 40 ms, with its
    timestamp behind it where that is another one.
    """

    def __init__(self) -> None:
        self._reader = ChunkReader()
        self._reader.chunk_size = CHUNK_SIZE

    def messages(self, data: bytes) -> list[Message]:
        self._reader.feed(data)
        read = []
        while (message := self._reader.next_message()) is not None:
            read.append(message)
        return read

    def words(self, data: bytes) -> list[str]:
        return [text(message) for message in self.messages(data)]


def texts(data: bytes) -> list[str]:
    """What a player got from its start on, as a Screen reads it."""
    return Screen().words(data)


def text(message: Message) -> str:
    payload = message.payload
    if message.type_id == 18:
        name, value = (*amf0.decode_all(payload), None)[:2]
        return "M" if name == "onMetaData" else str(value)
    if message.type_id == 9:
        word = "H" if payload[1] == 0 else payload[5:].decode()
    elif message.type_id == 8:
        word = "h" if payload[1] == 0 else payload[2:].decode()
    else:
        return payload.decode()
    if word[1:] and word[1:] != str(message.timestamp):
        word += f"@{message.timestamp}"
    return word


class WatchedPlayer(Player):
    """Remembers where it began to play."""

    begun_ms: int | None = None

    def _begin(self, key: Entry) -> None:
        self.begun_ms = key.dts_ms
        super()._begin(key)


class MemorySink:
    """A player whose socket is a buffer with room for so many bytes."""

    def __init__(self, room: int = 1 << 30, queue_ms: int = 1_000) -> None:
        self.player: Player = WatchedPlayer(queue_ms)
        self.place = 0
        self.room = room
        self.got = bytearray()
        self.channel: Channel | None = None
        self.sends = 0
        self.error: OSError | None = None
        self.peer: Peer = self

    def join(self, channel: Channel, start: Start = Start.GOP) -> None:
        self.channel = channel
        rendition = channel.rendition
        self.player.join(rendition.gop_buffer, start, 1, rendition.flushed)
        channel.add(self)
        self.pump()

    def on_queued(self) -> None:
        self.pump()

    def on_broken(self, error: OSError) -> None:
        self.error = error

    def pump(self) -> None:
        while self.player.has_queue:
            data = b"".join(self.player.buffers())
            taken = min(len(data), self.room)
            if taken == 0:
                return
            self._take(data, taken)
            self.player.sent(taken)
        if self.channel is not None:
            self.channel.caught_up(self)

    def send(self, data: bytes, /) -> int:
        self.sends += 1
        if self.error is not None:
            raise self.error
        if self.room == 0:
            raise BlockingIOError
        taken = min(len(data), self.room)
        self._take(data, taken)
        return taken

    def _take(self, data: bytes, taken: int) -> None:
        self.got += data[:taken]
        self.room -= taken
