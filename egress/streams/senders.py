"""Which child may send what of a stream: its ingest opens it, its worker fills it. Pure.

An ingest says which worker each placement is on (`StreamOpen.worker`). An encoder process has a
connection for each worker that it encodes for, and the first headers on it say for which
(`RenditionOpen.worker`); what comes by that connection counts as this worker's. So a worker that a
stranger's bitstream has taken over reaches the players of its own streams alone, whether it sends
tags itself or has pictures encoded. A relay sends another host's streams, of which no ingest here
says anything: it opens them under its own name, and fills what it opened. Renditions that are a
publisher's own tracks (`StreamOpen.passed`) come from its ingest.
"""

from typing import Final, Protocol

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


class Sender(Protocol):
    """One connection that media comes by."""

    worker: ChildId | None  # whom an encoder process sends for on it; None: it has not said yet

    @property
    def child(self) -> ChildId | None:
        """Which child it is; None: it is not known."""
        ...


class Senders:
    """Who sends each stream, by what was announced of its placements."""

    def __init__(self) -> None:
        self._workers: dict[StreamId, dict[Generation, ChildId | None]] = {}
        self._passed: dict[StreamId, tuple[str, ...]] = {}  # none empty

    def opened(self, message: StreamOpen) -> None:
        """Note where a placement is."""
        workers = self._workers.setdefault(message.stream_id, {})
        workers[message.generation] = message.worker
        if message.passed:
            self._passed[message.stream_id] = message.passed
        else:
            self._passed.pop(message.stream_id, None)
        while len(workers) > MAX_GENERATIONS:
            del workers[min(workers)]

    def forget(self, stream_id: StreamId) -> None:
        """The stream has ended."""
        self._workers.pop(stream_id, None)
        self._passed.pop(stream_id, None)

    def may_send(self, sender: Sender, message: StreamMessage) -> bool:
        """Tell if that may come from this sender.

        Of a placement that was not announced nobody may send what a worker makes.
        """
        child = sender.child
        if child is None:
            return True
        if child.kind == "relay":
            return self._may_relay(child, message)
        if isinstance(message, StreamOpen | StreamClosed):
            return child.kind == "ingest"
        if not isinstance(message, GenerationEnd) and message.rendition in (SOURCE, SHARED):
            return child.kind == "ingest"
        if child.kind == "ingest" and not isinstance(message, GenerationEnd):
            return message.rendition in self._passed.get(message.stream_id, ())
        worker = self._workers.get(message.stream_id, {}).get(message.generation)
        if worker is None:
            return False
        speaks_for = _worker_of(sender, child, message)
        return speaks_for is not None and worker in (speaks_for, UNTOLD_WORKER)

    def is_stood_in_for(self, sender: Sender, message: StreamMessage) -> bool:
        """Tell if it is a worker's of a rendition that is a track of the publisher."""
        child = sender.child
        return (
            isinstance(message, RenditionOpen | Tags)
            and child is not None
            and child.kind in ("worker", "encoder")
            and message.rendition in self._passed.get(message.stream_id, ())
        )

    def _may_relay(self, relay: ChildId, message: StreamMessage) -> bool:
        """Tell if a relay may send that: all of another host's stream, under what it announced."""
        if isinstance(message, StreamOpen):
            return message.worker == relay
        return self._workers.get(message.stream_id, {}).get(message.generation) == relay


def _worker_of(sender: Sender, child: ChildId, message: StreamMessage) -> ChildId | None:
    """Return the worker whose tags these are; None: nobody's."""
    if child.kind == "worker":
        return child
    if child.kind != "encoder":
        return None
    if isinstance(message, RenditionOpen):
        says = message.worker
        if says is None or says.kind != "worker":
            return None
        sender.worker = sender.worker or says
        return says if says == sender.worker else None
    return sender.worker
