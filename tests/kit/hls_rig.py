"""A stream of egress whose renditions are cut for HLS: tags in, windows and playlists out."""

from collections.abc import Sequence
from fractions import Fraction

from common.config.ladder import SOURCE, Rendition, Template
from common.flv.audio import aac_frame, aac_sequence_header
from common.flv.video import avc_nalus, avc_sequence_header
from common.ipc.identity import Generation
from common.ipc.media_messages import (
    HEADER,
    KEY,
    SHARED,
    RenditionOpen,
    StreamClosed,
    StreamOpen,
    TagHeader,
    Tags,
)
from egress.hls.numbering import Earlier
from egress.hls.stream import HlsStream
from egress.hls.window import WindowLimits
from egress.streams.stream import Stream
from tests.kit.egress import RENDITION_VIDEO, STREAM, head
from tests.kit.ingest_ports import ASC, SPS_720, SPS_1080, record

TEMPLATE = Template(
    "live",
    (Rendition("720p", 1280, 720, 2_000_000), Rendition("360p", 640, 360, 600_000)),
    hold_ms=2_000,
)
NAMES = ("720p", "360p")
LIMITS = WindowLimits(12.0, 1 << 26)
UNIX_S = 0.0  # when CLOCK_MONOTONIC was 0
HEADERS = {"a": avc_sequence_header(record(SPS_720)), "b": avc_sequence_header(record(SPS_1080))}
FRAME_MS = 1024 / 48  # of sound
_SLICE = (5).to_bytes(4, "big") + b"\x65\x88\x88\x88\x88"


class HlsRig:
    """One stream with its renditions, and what HLS makes of them."""

    def __init__(
        self,
        names: Sequence[str] = NAMES,
        limits: WindowLimits = LIMITS,
        epoch_ms: int | None = 0,
        template: Template = TEMPLATE,
    ) -> None:
        self.template = template
        self.epoch_ms = epoch_ms
        self.names = tuple(names)
        self.generation = 1
        self.limits = limits
        self.stream = Stream(self._open(), 0.0, keeps_last=True)
        self.changed: list[str] = []
        self._numbers = dict.fromkeys((*names, SOURCE), 0)
        self._sound_ms = 0.0
        self.hls = self.cut_anew()

    def cut_anew(self, before: Earlier | None = None) -> HlsStream[str]:
        """Cut the stream from what is kept of it, as if its first viewer came now."""
        self.hls = HlsStream(
            self.stream,
            self.limits,
            UNIX_S,
            lambda _, name: self.changed.append(name),
            before=before,
        )
        self.hls.follow()
        return self.hls

    def headers(
        self, which: str = "a", names: Sequence[str] | None = None, *, is_resting: bool = False
    ) -> None:
        """The configurations of the renditions' pictures; `is_resting`: these are not made."""
        for name in names or self.names:
            message = RenditionOpen(
                STREAM,
                Generation(self.generation),
                name,
                self._numbers[name],
                RENDITION_VIDEO,
                is_resting=is_resting,
            )
            self.stream.take(message, (b"", HEADERS[which]), 0.0)

    def sound_header(self, config: bytes = ASC) -> None:
        self._shared([(head(8, 0, HEADER), aac_sequence_header(config))])

    def tell(self, ms: int, body: bytes) -> None:
        """A data message of the publisher."""
        self._shared([(head(18, ms), body)])

    def play(
        self,
        begin_ms: int,
        end_ms: int,
        *,
        fps: Fraction | int = 25,
        names: Sequence[str] | None = None,
        has_sound: bool = True,
        sound_late_ms: int = 0,
        keys: bool = True,
    ) -> None:
        """Pictures of a steady rate in all renditions, keyframes on the grid, and sound."""
        gop_ms, number, cell = TEMPLATE.gop_ms, 0, -1
        while (ms := begin_ms + round(number * 1000 / fps)) < end_ms:
            is_key = keys and ms // gop_ms != cell
            cell = ms // gop_ms
            if has_sound:
                self._sound_until(ms - sound_late_ms)
            for name in names or self.names:
                self.picture(name, ms, is_key=is_key)
            self.flush()
            number += 1
        self._sound_ms = max(self._sound_ms, end_ms - sound_late_ms)

    def frame(self, ms: int, *, is_key: bool) -> None:
        """One picture in all renditions, behind the sound up to it."""
        self._sound_until(ms)
        for name in self.names:
            self.picture(name, ms, is_key=is_key)
        self.flush()

    def picture(self, name: str, ms: int, *, is_key: bool, sei: bytes = b"") -> None:
        """One picture; `sei`: a unit in front of it, with its length."""
        header = TagHeader(9, "h264", ms, 0, KEY if is_key else 0, ms / 1000)
        body = avc_nalus(sei + _SLICE, 0, is_key)
        message = Tags(STREAM, Generation(self.generation), name, self._numbers[name], (header,))
        self._numbers[name] += 1
        self.stream.take(message, [body], ms / 1000)

    def flush(self) -> None:
        for rendition in self.stream.renditions.values():
            rendition.flush()

    def lose_worker(self) -> None:
        """Another generation of the same renditions; its headers are to come."""
        self.generation += 1
        self.stream.open(self._open(), 0.0)
        self._numbers = dict.fromkeys(self._numbers, 0)
        self.hls.follow()

    def change_ladder(self, names: Sequence[str]) -> None:
        """Other renditions of the same publisher."""
        self.names = tuple(names)
        for name in names:
            self._numbers.setdefault(name, 0)
        for rendition in self.stream.open(self._open(), 0.0):
            rendition.end("it is gone")
        self.hls.follow()

    def away(self) -> None:
        """The publisher is away, and comes back under the same generation."""
        closed = StreamClosed(STREAM, Generation(self.generation), "it left", 10_000)
        self.stream.close(closed, 0.0)
        self.stream.open(self._open(), 0.0)

    def end(self) -> None:
        for rendition in self.stream.renditions.values():
            rendition.flush()
            rendition.end("it is over")

    def _open(self) -> StreamOpen:
        return StreamOpen(
            STREAM,
            Generation(self.generation),
            self.template,
            self.names,
            epoch_ms=self.epoch_ms,
        )

    def _sound_until(self, ms: int) -> None:
        self._sound_ms = max(self._sound_ms, ms - 500.0)
        items = []
        while self._sound_ms <= ms:
            items.append((head(8, round(self._sound_ms), 0), aac_frame(b"\x21" + bytes(9))))
            self._sound_ms += FRAME_MS
        self._shared(items)

    def _shared(self, items: Sequence[tuple[TagHeader, bytes]]) -> None:
        headers = tuple(header for header, _ in items)
        message = Tags(STREAM, Generation(self.generation), SHARED, 0, headers)
        self.stream.take(message, [body for _, body in items], 0.0)
