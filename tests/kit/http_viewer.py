"""Viewers by HTTP, and a rendition for them: real headers, pictures of nothing."""

from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.media_messages import HEADER, KEY
from egress.http.channel import Channel
from egress.http.viewer_queue import ViewerQueue
from egress.streams.rendition import Rendition
from egress.streams.tag import AUDIO, VIDEO, Tag
from tests.kit.egress import egress_rendition, made_tag
from tests.kit.ingest_ports import ASC, SPS_1080, record
from tests.kit.mp4_reader import Movie, read_movie, unchunked


def video_header(sps: bytes = SPS_1080) -> bytes:
    """A sequence header as a tag's body."""
    return avc_sequence_header(record(sps))


def audio_header(asc: bytes = ASC) -> bytes:
    return aac_sequence_header(asc)


def picture_tag(dts_ms: int, *, key: bool = False, size: int = 10) -> Tag:
    data = size.to_bytes(4, "big") + bytes(size)
    return made_tag(VIDEO, dts_ms, KEY if key else 0, avc_nalus(data, 0, key))


def sound_tag(dts_ms: int) -> Tag:
    return made_tag(AUDIO, dts_ms, 0, aac_frame(b"\x21" + bytes(9)))


class Feed:
    """A rendition with a keyframe every `gop` pictures, and sound with each."""

    def __init__(
        self, gop: int = 5, step_ms: int = 40, size: int = 10, audio: bytes | None = None
    ) -> None:
        """`audio`: the header of its sound; empty: there is none yet."""
        self.rendition: Rendition = egress_rendition()
        self.gop, self.step_ms, self.size = gop, step_ms, size
        self.number = 0
        self.configure(video_header(), audio_header() if audio is None else audio)

    def configure(self, video: bytes, audio: bytes = b"") -> None:
        """Other headers from the next keyframe on."""
        self.rendition.open(b"", video, self.number)
        if audio:
            self.rendition.shared(made_tag(AUDIO, 0, HEADER, audio), 0.0)

    def next(self, count: int = 1, *, is_silent: bool = False) -> None:
        for _ in range(count):
            at_ms = self.number * self.step_ms
            is_key = self.number % self.gop == 0
            tag = picture_tag(at_ms, key=is_key, size=self.size)
            self.rendition.tags(self.number, [tag], 0.0)
            if not is_silent:
                self.rendition.shared(sound_tag(at_ms), 0.0)
            self.rendition.flush()
            self.number += 1


class MemoryViewer:
    """A viewer whose socket is a buffer with room for so many bytes."""

    def __init__(
        self, room: int = 1 << 40, queue_ms: int = 1_000, *, is_chunked: bool = True
    ) -> None:
        self.queue = ViewerQueue(queue_ms, is_chunked=is_chunked)
        self.is_chunked = is_chunked
        self.room = room
        self.got = bytearray()
        self.ended: tuple[str, bool] | None = None
        self.channel: Channel | None = None

    def join(self, channel: Channel) -> None:
        self.channel = channel
        channel.join(self)

    def on_queued(self) -> None:
        while self.queue.has_queue and self.room:
            data = b"".join(self.queue.buffers())[: self.room]
            self.room -= len(data)
            self.got += data
            self.queue.sent(len(data))

    def finish(self, reason: str, *, is_over: bool) -> None:
        assert self.ended is None, "ended twice"
        self.ended = (reason, is_over)
        if self.channel is not None:
            self.channel.remove(self)

    @property
    def head(self) -> str:
        return bytes(self.got).partition(b"\r\n\r\n")[0].decode()

    @property
    def movie(self) -> Movie:
        """What a player knows of it."""
        body = bytes(self.got).partition(b"\r\n\r\n")[2]
        return read_movie(unchunked(body)[0] if self.is_chunked else body)

    @property
    def shown_ms(self) -> list[int]:
        """The times of the pictures."""
        return [sample.dts for sample in self.movie.of(1)]
