"""Tags as egress gets them, and what a player makes of the bytes that it is sent."""

from collections.abc import Sequence

from common.config.ladder import SOURCE, Rendition, Template
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.flv import amf0
from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import (
    HEADER,
    KEY,
    SHARED,
    UNTOLD_WORKER,
    RenditionOpen,
    RenditionVideo,
    StreamOpen,
    TagHeader,
    Tags,
)
from common.rtmp.chunks import ChunkReader, Message
from egress.fanout.channel import Channel, Peer
from egress.fanout.entries import AUDIO, DATA, VIDEO, Entry, EntryBuffer, WireForm
from egress.fanout.entries import METADATA as METADATA_KIND
from egress.fanout.player_queue import Player
from egress.rtmp.from_units import CHUNK_SIZE, RtmpForm
from egress.streams.rendition import Rendition as EgressRendition
from egress.streams.subscribers import Start
from egress.streams.tag import Config, Tag, read_tags

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

RENDITION_VIDEO = RenditionVideo("h264", 640, 360, 600_000, 30)
RTMP_FORM = RtmpForm(1)
CODECS = {9: "h264", 8: "aac"}
FLV_TYPE = {VIDEO: 9, AUDIO: 8, DATA: 18, METADATA_KIND: 18}


def head(tag_type: int, dts_ms: int, flags: int = 0, received_s: float = 0.0) -> TagHeader:
    """What a message says of a tag of H.264, AAC or script data."""
    return TagHeader(tag_type, CODECS.get(tag_type, ""), dts_ms, 0, flags, received_s)


def picture(text: str, is_key: bool = False, composition_ms: int = 0) -> bytes:
    return avc_nalus(text.encode(), composition_ms, is_key)


def sound(text: str) -> bytes:
    return aac_frame(text.encode())


def key_tag(dts_ms: int) -> tuple[TagHeader, bytes]:
    return head(9, dts_ms, KEY), picture(f"v{dts_ms}", is_key=True)


def inter_tag(dts_ms: int) -> tuple[TagHeader, bytes]:
    return head(9, dts_ms), picture(f"v{dts_ms}")


def audio_tag(dts_ms: int) -> tuple[TagHeader, bytes]:
    return head(8, dts_ms), sound(f"a{dts_ms}")


def audio_header_tag(dts_ms: int, payload: bytes = AUDIO_HEADER) -> tuple[TagHeader, bytes]:
    return head(8, dts_ms, HEADER), payload


def data_tag(dts_ms: int) -> tuple[TagHeader, bytes]:
    return head(18, dts_ms), amf0.encode("onTextData", f"d{dts_ms}")


def tag(item: tuple[TagHeader, bytes]) -> Tag:
    """The tag that egress reads from a message."""
    header, body = item
    return read_tags([header], [body])[0]


def made_tag(tag_type: int, dts_ms: int, flags: int, body: bytes) -> Tag:
    """A tag of H.264, AAC or script data."""
    return tag((head(tag_type, dts_ms, flags), body))


def egress_rendition(
    name: str = "x",
    *,
    is_transcoded: bool = False,
    audio_hold_s: float = 0.045,
    flush_s: float = 0.0,
    keeps_last: bool = False,
) -> EgressRendition:
    return EgressRendition(
        STREAM,
        name,
        is_transcoded=is_transcoded,
        audio_hold_s=audio_hold_s,
        flush_s=flush_s,
        keeps_last=keeps_last,
    )


def give(
    rendition: EgressRendition, number: int, *items: tuple[TagHeader, bytes], now: float = 0.0
) -> None:
    """Tags of this rendition alone."""
    rendition.tags(number, [tag(item) for item in items], now)


def give_shared(
    rendition: EgressRendition, *items: tuple[TagHeader, bytes], now: float = 0.0
) -> None:
    """Audio and data of the stream."""
    for item in items:
        rendition.shared(tag(item), now)


class EntryFeed(EntryBuffer):
    """An entry buffer that is given one tag or header after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._given = Config()

    def add(self, kind: int, dts_ms: int, flags: int, body: bytes) -> Entry:
        """The entry of one tag; of a header if `flags` or its kind say so."""
        read = made_tag(FLV_TYPE[kind], dts_ms, flags, body)
        if kind == METADATA_KIND:
            self._given = self._given._replace(script=read)
        elif flags & HEADER:
            given = self._given
            is_video = kind == VIDEO
            self._given = given._replace(video=read) if is_video else given._replace(audio=read)
        else:
            [entry] = self.append([read])
            return entry
        self.configure(self._given)
        [entry] = self.append([])
        return entry


class FlushReader:
    """Takes a rendition's flushes as RTMP's fan-out does: entries for players in step."""

    def __init__(self, rendition: EgressRendition) -> None:
        self.rendition = rendition
        self._buffer = EntryBuffer()

    def take(self) -> list[Entry]:
        """What goes out now."""
        flush = self.rendition.take()
        entries: list[Entry] = []
        done = 0
        for at, config in flush.changes:
            entries += self._buffer.append(flush.tags[done:at])
            self._buffer.configure(config)
            done = at
        return entries + self._buffer.append(flush.tags[done:])


def tags(
    first_number: int,
    *items: tuple[TagHeader, bytes],
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


def shared(*items: tuple[TagHeader, bytes], generation: int = 1) -> tuple[Tags, Sequence[bytes]]:
    return tags(0, *items, generation=generation, rendition=SHARED)


def rendition_open(
    rendition: str,
    first_number: int = 0,
    generation: int = 1,
    metadata: bytes = METADATA,
    header: bytes = VIDEO_HEADER,
) -> tuple[RenditionOpen, Sequence[bytes]]:
    message = RenditionOpen(
        STREAM, Generation(generation), rendition, first_number, RENDITION_VIDEO
    )
    return message, (metadata, header)


def stream_open(
    generation: int = 1,
    renditions: tuple[str, ...] = ("720p", "360p"),
    splice_ms: int | None = None,
    overrides: StreamOverrides = NO_OVERRIDES,
    epoch_ms: int | None = 0,
) -> StreamOpen:
    own = splice_ms, overrides, UNTOLD_WORKER, epoch_ms
    return StreamOpen(STREAM, Generation(generation), TEMPLATE, renditions, *own)


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
        self.ended: str | None = None
        self.peer: Peer = self

    def join(self, channel: Channel, start: Start = Start.GOP, form: WireForm = RTMP_FORM) -> None:
        self.channel = channel
        channel.join(self, start, form)
        self.pump()

    def on_queued(self) -> None:
        self.pump()

    def on_broken(self, error: OSError) -> None:
        self.error = error

    def finish(self, reason: str) -> None:
        self.ended = reason
        if self.channel is not None:
            self.channel.remove(self)
            self.channel = None

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
