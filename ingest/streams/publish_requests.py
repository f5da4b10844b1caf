"""Publish requests that wait for the supervisor's answer. Pure but for the reports it sends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from common.access.credentials import Credentials
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.ipc.control_messages import PublishEnd, PublishRequest
from common.ipc.identity import Generation, StreamId
from ingest.streams.admission import PublishAdmitted, PublishAttempt
from ingest.streams.publisher import PublishingConnection

ASK_TIMEOUT_S = 3.0


class Report(Protocol):
    """Sends a control message to the supervisor."""

    def __call__(self, message: object, payloads: Sequence[bytes] = (), /) -> object: ...


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """One attempt that waits for its answer."""

    request_id: int  # ours, to the supervisor
    connection: PublishingConnection
    attempt: PublishAttempt
    stream_id: StreamId
    until_s: float  # CLOCK_MONOTONIC
    credentials: Credentials
    overrides: StreamOverrides = NO_OVERRIDES


class PublishRequests:
    """The requests that wait."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._queued: dict[int, QueuedRequest] = {}

    def ask(
        self,
        request_id: int,
        connection: PublishingConnection,
        attempt: PublishAttempt,
        checked: PublishAdmitted,
        now: float,
        *,
        is_at_limit: bool,
    ) -> None:
        """Ask for room; `is_at_limit`: the address may have this one if it is its own already."""
        stream, credentials, overrides = checked.stream, checked.credentials, checked.overrides
        until_s, peer = now + ASK_TIMEOUT_S, connection.peer
        self._queued[request_id] = QueuedRequest(
            request_id, connection, attempt, stream, until_s, credentials, overrides
        )
        who = stream, peer, is_at_limit, credentials, overrides
        judged = attempt.judged
        replaces = judged.replaces if judged is not None else 0
        self._report(PublishRequest(request_id, *who, judged is not None, replaces))

    def queued(self, request_id: int, wait_s: float, now: float) -> None:
        """The supervisor answers this one later, within `wait_s`."""
        known = self._queued.get(request_id)
        if known is not None:
            until_s = now + wait_s + ASK_TIMEOUT_S
            self._queued[request_id] = replace(known, until_s=until_s)

    def answered(self, request_id: int) -> QueuedRequest | None:
        """Take out the one that an answer is for, unless it was given up."""
        return self._queued.pop(request_id, None)

    def get(self, request_id: int) -> QueuedRequest | None:
        """The one that an answer is for, which goes on waiting."""
        return self._queued.get(request_id)

    def give_up(self, queued: QueuedRequest, reason: str) -> None:
        """Nobody waits for this answer any more; what it may reserve is given back.

        Nothing happens where it has come.
        """
        if self._queued.pop(queued.request_id, None) is None:
            return
        self._report(PublishEnd(queued.stream_id, Generation(0), reason))

    def of(self, stream: StreamId) -> QueuedRequest | None:
        """The one for this stream."""
        return next((one for one in self._queued.values() if one.stream_id == stream), None)

    def by(self, connection: PublishingConnection) -> QueuedRequest | None:
        """The one that this connection waits for."""
        return next((one for one in self._queued.values() if one.connection is connection), None)

    def overdue(self, now: float) -> list[QueuedRequest]:
        """Those that had no answer in time."""
        return [one for one in self._queued.values() if now >= one.until_s]

    def all(self) -> list[QueuedRequest]:
        """Every one that waits."""
        return list(self._queued.values())
