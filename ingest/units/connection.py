"""One publisher that another process of the farm has, as streams know publishers (IO)."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from common.access.peer_address import host_of
from common.access.refusal import Refusal
from common.ipc.envelope import encode
from common.ipc.media_listener import Sender
from common.ipc.unit_messages import (
    PublishAccepted,
    PublishAsk,
    PublishFinished,
    PublishHeldBack,
    PublishRefused,
    PublishTimed,
    UnitItem,
)
from common.media.units import AudioConfig
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import MediaEvent
from ingest.units.to_units import UnitReader


class Phase(Enum):
    """What a publisher is."""

    ASKING = auto()
    PUBLISHING = auto()
    CLOSED = auto()


class UnitConnection:
    """A `PublishingConnection`. It reads nothing itself: what its process brings comes at once."""

    def __init__(
        self,
        sender: Sender,
        ask: PublishAsk,
        on_closed: Callable[["UnitConnection"], None],
        on_unheard: Callable[["UnitConnection"], None],
    ) -> None:
        """`on_closed` is called when the ingest is done with it.

        `on_unheard`: when its process cannot be told anything; from the loop.
        """
        self.sender = sender
        self.number = ask.number
        self.peer = ask.peer
        self.host = host_of(ask.peer)
        self.protocol = ask.protocol
        self.encoder = ask.encoder
        self.phase = Phase.ASKING
        self._reader: UnitReader | None = None
        self._timeline: Timeline | None = None  # its stream's
        self._timed: PublishTimed | None = None  # as it was told last
        self._on_closed, self._on_unheard = on_closed, on_unheard
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None

    @property
    def last_media_s(self) -> float:
        return self._reader.last_media_s if self._reader is not None else 0.0

    @property
    def received_bytes(self) -> int:
        return self._reader.received_bytes if self._reader is not None else 0

    def take(
        self, items: Sequence[UnitItem], payloads: Sequence[bytes], now: float
    ) -> Iterator[MediaEvent]:
        """What its process brought, each read when it is asked for; nothing before the answer."""
        if self._reader is None or self.phase is not Phase.PUBLISHING:
            return
        yield from self._reader.take(items, payloads, now)
        timed, self._reader.timed = self._reader.timed, None
        if timed is not None:
            self._report_time(timed)
        elif self._timed is not None and self._timed.epoch_ms != self._zero_unix_ms:
            self._report_time(self._timed)  # it has just come to be known

    # ---- what streams do with it --------------------------------------------------------------

    def accept_publish(
        self, request_id: int, timeline: Timeline, now: float, before: AudioConfig | None = None
    ) -> None:
        self.phase = Phase.PUBLISHING
        self._reader, self._timeline = UnitReader(self.number, timeline, now), timeline
        self._report(PublishAccepted(self.number, timeline.clock_reference, timeline.end_ms))

    def refuse_publish(self, request_id: int, refusal: Refusal, after_s: float = 0.0) -> None:
        if after_s > 0 and self.phase is not Phase.CLOSED:
            self._later = self._loop.call_later(after_s, self._end, refusal)
        else:
            self._end(refusal)

    def end_publish(self, refusal: Refusal) -> None:
        self._end(refusal)

    def finish_publish(self, words: str) -> None:
        if self.phase is not Phase.CLOSED:
            self._report(PublishFinished(self.number, words))
            self.close()

    def hold_back(self, seconds: float) -> None:
        self._report(PublishHeldBack(self.number, seconds))

    def unread_bytes(self) -> None:
        """It is not known: the process at the other end has it."""

    def flush(self, before_s: float) -> Sequence[MediaEvent]:
        return self._reader.flush(before_s) if self._reader is not None else ()

    def look_again(self) -> None:
        """Its process sends what it has at once."""

    def read_batched(self) -> None:
        """Likewise."""

    def read_immediately(self) -> None:
        """Likewise."""

    # ---- inside -------------------------------------------------------------------------------

    def close(self) -> None:
        """Say nothing more of it."""
        if self._later is not None:
            self._later.cancel()
        if self.phase is not Phase.CLOSED:
            self.phase = Phase.CLOSED
            self._on_closed(self)

    def _report_time(self, timed: PublishTimed) -> None:
        self._timed = replace(timed, epoch_ms=self._zero_unix_ms)
        self._report(self._timed)

    @property
    def _zero_unix_ms(self) -> int | None:
        return self._timeline.zero_unix_ms if self._timeline is not None else None

    def _end(self, refusal: Refusal) -> None:
        if self.phase is not Phase.CLOSED:
            self._report(PublishRefused(self.number, refusal))
            self.close()

    def _report(self, answer: Any) -> None:
        if not self.sender.answer([encode(answer)]):
            self._loop.call_soon(self._on_unheard, self)
