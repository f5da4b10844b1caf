"""The placement of a stream that is to come, and its media up to then. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.ipc.media_messages import GenerationEnd, RenditionOpen, StreamOpen, Tags

SPLICE_WAIT_S = 0.3  # for the end of the generation before a splice point, after each tag of it
SPLICE_MOST_S = 2.0  # in all
MAX_DEFERRED = 2_000  # messages of the next generation

MediaMessage = RenditionOpen | Tags | GenerationEnd


@dataclass(frozen=True, slots=True)
class Deferred:
    """Media of the next generation, until that is the current one."""

    message: MediaMessage
    payloads: Sequence[bytes]


class NextGeneration:
    """The placement to come, and its media until the splice point is reached."""

    def __init__(self, message: StreamOpen, *, is_whole: bool) -> None:
        """`is_whole`: the source and the shared tags come anew, too."""
        self.message = message
        self.is_whole = is_whole
        self.deferred: list[Deferred] = []
        self._since_s: float | None = None  # its first tags
        self._due_s = 0.0

    def defer(self, message: MediaMessage, payloads: Sequence[bytes], now: float) -> None:
        if len(self.deferred) < MAX_DEFERRED:
            if self._since_s is None and isinstance(message, Tags):
                self._since_s, self._due_s = now, now + SPLICE_WAIT_S
            self.deferred.append(Deferred(message, payloads))

    def has_taken_over(self, message: RenditionOpen | Tags) -> bool:
        """True if tags of the generation before are behind the splice point."""
        splice_ms = self.message.splice_ms
        if splice_ms is None or not isinstance(message, Tags):
            return False
        return bool(message.tags) and message.tags[0].dts_ms >= splice_ms

    def on_tags_before(self, now: float) -> None:
        """The generation before still comes: it has more time."""
        if self._since_s is not None:
            self._due_s = min(now + SPLICE_WAIT_S, self._since_s + SPLICE_MOST_S)

    def due_at(self) -> float | None:
        """When the generation before has had time enough for its end."""
        return self._due_s if self._since_s is not None else None
