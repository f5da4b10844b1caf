"""Which child may send what of a stream: its ingest opens it, its worker fills it. Pure.

An ingest says which worker each placement is on (`StreamOpen.worker`), and an encoder process for
which worker it sends a rendition (`RenditionOpen.worker`). So a worker that a stranger's bitstream
has taken over reaches the players of that worker's own streams alone.
"""

from typing import Final

from common.config.ladder import SOURCE
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import (
    SHARED,
    UNTOLD_WORKER,
    GenerationEnd,
    RenditionOpen,
    StreamClosed,
    StreamOpen,
    Tags,
)

MAX_GENERATIONS: Final = 4  # of a stream: the present one, the next one, and some that have ended

StreamMessage = StreamOpen | StreamClosed | RenditionOpen | Tags | GenerationEnd


class Senders:
    """Who sends each stream, by what was announced of its placements."""

    def __init__(self) -> None:
        self._workers: dict[StreamId, dict[Generation, ChildId | None]] = {}
        # encoder processes that have begun for a placement's worker
        self._encoders: dict[StreamId, set[tuple[Generation, ChildId]]] = {}

    def opened(self, message: StreamOpen) -> None:
        """Note where a placement is."""
        workers = self._workers.setdefault(message.stream_id, {})
        workers[message.generation] = message.worker
        while len(workers) > MAX_GENERATIONS:
            del workers[min(workers)]
        if encoders := self._encoders.get(message.stream_id):
            encoders -= {pair for pair in encoders if pair[0] not in workers}

    def forget(self, stream_id: StreamId) -> None:
        """The stream has ended."""
        self._workers.pop(stream_id, None)
        self._encoders.pop(stream_id, None)

    def may_send(self, child: ChildId | None, message: StreamMessage) -> bool:
        """Tell if this child may send that; None: it is not known which child it is.

        Of a placement that was not announced nobody may send what a worker makes. An encoder
        process is known from the `RenditionOpen` on that it sends for the worker.
        """
        if child is None:
            return True
        if isinstance(message, StreamOpen | StreamClosed):
            return child.kind == "ingest"
        if not isinstance(message, GenerationEnd) and message.rendition in (SOURCE, SHARED):
            return child.kind == "ingest"
        workers = self._workers.get(message.stream_id, {})
        if message.generation not in workers:
            return False
        worker = workers[message.generation]
        if child.kind != "encoder":
            return child == worker or (worker == UNTOLD_WORKER and child.kind == "worker")
        encoders = self._encoders.setdefault(message.stream_id, set())
        is_for = worker is not None and worker in (UNTOLD_WORKER, _for_whom(message))
        if is_for:
            encoders.add((message.generation, child))
        return (message.generation, child) in encoders


def _for_whom(message: StreamMessage) -> ChildId | None:
    return message.worker if isinstance(message, RenditionOpen) else None
