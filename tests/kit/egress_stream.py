"""A stream of egress whose renditions are flushed and read."""

from collections.abc import Sequence

from common.ipc.identity import Generation
from common.ipc.media_messages import GenerationEnd, RenditionOpen, StreamClosed, Tags
from egress.streams.stream import (
    Stream,
    StreamState,
)
from tests.kit.egress import (
    RTMP_FORM,
    STREAM,
    FlushReader,
    Screen,
    stream_open,
)

Sent = tuple[RenditionOpen | Tags, Sequence[bytes]]


class Output:
    """A stream whose renditions are flushed and read."""

    def __init__(self, renditions: tuple[str, ...] = ("720p", "360p")) -> None:
        self.stream = Stream(stream_open(renditions=renditions), 0.0)
        self._screens: dict[str, Screen] = {}
        self._readers: dict[str, FlushReader] = {}

    def take(self, *sent: Sent, now: float = 0.0) -> None:
        for message, payloads in sent:
            self.stream.take(message, payloads, now)

    def end_generation(self, generation: int, now: float = 0.0) -> None:
        self.stream.take(GenerationEnd(STREAM, Generation(generation), "done"), (), now)

    def words(self, name: str, now: float = 0.0) -> list[str]:
        rendition = self.stream.renditions[name]
        rendition.advance(now)
        reader = self._readers.setdefault(name, FlushReader(rendition))
        wire = b"".join(entry.shared(RTMP_FORM) for entry in reader.take())
        return self._screens.setdefault(name, Screen()).words(wire)


def close(hold_ms: int, generation: int = 1) -> StreamClosed:
    return StreamClosed(STREAM, Generation(generation), "it left", hold_ms)


def state(stream: Stream) -> StreamState:
    return stream.state  # a call, because it changes behind mypy's back
