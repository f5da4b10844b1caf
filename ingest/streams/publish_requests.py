"""Publish requests that wait for the supervisor's answer. Pure but for what it is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from common.ipc.control_messages import PublishEnd, PublishRequest
from common.ipc.identity import Generation, StreamId
from common.rtmp.events import PublishRequested
from ingest.streams.publisher import PublishingConnection

ASK_TIMEOUT_S = 3.0


class Tell(Protocol):
    """Sends a control message to the supervisor."""

    def __call__(self, message: object, payloads: Sequence[bytes] = (), /) -> object: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """One of them."""

    request_id: int  # ours, to the supervisor
    connection: PublishingConnection
    request: PublishRequested
    stream_id: StreamId
    until_s: float  # CLOCK_MONOTONIC


class PublishRequests:
    """All of them."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._asks: dict[int, Ask] = {}

    def ask(
        self,
        request_id: int,
        connection: PublishingConnection,
        request: PublishRequested,
        stream: StreamId,
        now: float,
        *,
        is_at_limit: bool,
    ) -> None:
        """Ask for room; `is_at_limit`: the address may have this one if it is its own already."""
        self._asks[request_id] = Ask(request_id, connection, request, stream, now + ASK_TIMEOUT_S)
        self._tell(PublishRequest(request_id, stream, connection.peer, is_at_limit))

    def answered(self, request_id: int) -> Ask | None:
        """Take out the one that an answer is for, unless it was given up."""
        return self._asks.pop(request_id, None)

    def give_up(self, ask: Ask, reason: str) -> None:
        """Nobody waits for this answer any more; what it may reserve is given back."""
        del self._asks[ask.request_id]
        self._tell(PublishEnd(ask.stream_id, Generation(0), reason))

    def of(self, stream: StreamId) -> Ask | None:
        return next((ask for ask in self._asks.values() if ask.stream_id == stream), None)

    def by(self, connection: PublishingConnection) -> Ask | None:
        return next((ask for ask in self._asks.values() if ask.connection is connection), None)

    def overdue(self, now: float) -> list[Ask]:
        """Those that had no answer in time."""
        return [ask for ask in self._asks.values() if now >= ask.until_s]

    def all(self) -> list[Ask]:
        return list(self._asks.values())
