"""What streams know of captures: when a publisher begins and ends, and when to write. Pure.

The last messages of each publisher are kept by whoever reads them (`ingest/capture`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from common.access.refusal import Refusal
from common.ipc.identity import StreamId
from ingest.streams.publisher import PublishingConnection


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """What became of a capture that was asked for."""

    path: str = ""
    size_bytes: int = 0
    seconds: float = 0.0  # from its first message to its last
    error: str = ""  # why there is none


Done = Callable[[CaptureResult], None]


class Captures(Protocol):
    """The last messages of all publishers of an ingest."""

    def begin(self, connection: PublishingConnection, stream_id: StreamId) -> None:
        """It publishes from now on: keep what it sends."""
        ...

    def end(self, connection: PublishingConnection) -> None:
        """It publishes no more: forget it. One that is being written stays whole."""
        ...

    def refused(self, connection: PublishingConnection, refusal: Refusal) -> None:
        """It is about to be closed for this: write a file, if there were not too many lately."""
        ...

    def write(self, stream_id: StreamId, reason: str) -> None:
        """Something is wrong with its media: write a file, if there were not too many lately."""
        ...

    def ask(self, stream_id: StreamId, reason: str, headers_only: bool, done: Done) -> None:
        """Write a file because somebody asks for it; `done` is called once, perhaps later."""
        ...


class NoCaptures:
    """`Captures` that keep nothing."""

    def begin(self, connection: PublishingConnection, stream_id: StreamId) -> None:
        pass

    def end(self, connection: PublishingConnection) -> None:
        pass

    def refused(self, connection: PublishingConnection, refusal: Refusal) -> None:
        pass

    def write(self, stream_id: StreamId, reason: str) -> None:
        pass

    def ask(self, stream_id: StreamId, reason: str, headers_only: bool, done: Done) -> None:
        done(CaptureResult(error="nothing is kept here"))
