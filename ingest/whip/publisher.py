"""One who publishes by WHIP, as an ingest answers it: from its request to its end (IO)."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from common.access.refusal import Refusal, RefusalReason
from common.ipc.identity import stream_id
from common.ipc.unit_messages import PublishAccepted, PublishAsk, PublishFinished, PublishRefused
from common.ipc.unit_ways import Answer, Way, Ways
from common.ipc.whep_messages import WhipOffer
from common.process.log import stream_label
from ingest.whip.session import Session

log = logging.getLogger("tfarm.ingest.whip.publisher")

PROTOCOL: Final = "whip"
ASK_S: Final = 0.5  # between attempts to find an ingest
ASK_ANEW_S: Final = 10.0  # for how long, after its ingest has gone
NO_INGEST: Final = Refusal(RefusalReason.UNAVAILABLE, "no ingest is there just now: try again")


class Publisher:
    """A `UnitPublisher`."""

    def __init__(self, request: WhipOffer, links: Ways) -> None:
        self.session: Session | None = None
        self.on_over: Callable[[], object] = lambda: None
        self._request = request
        self._links = links
        self._stream = stream_id(request.app, request.key)
        self._way: Way | None = None
        self._answered: asyncio.Future[Refusal | None] | None = None
        self._asks_since_s: float | None = None  # in vain: no ingest is there
        self._is_over = False

    @property
    def label(self) -> str:
        """Its stream, for the log."""
        return stream_label(self._stream)

    async def admitted(self) -> Refusal | None:
        """Ask the ingest of its stream; None: it may publish."""
        self._answered = asyncio.get_running_loop().create_future()
        self._way = self._ask()
        if self._way is None:
            return NO_INGEST
        try:
            return await self._answered
        except asyncio.CancelledError:
            self.leave("it has not waited for the answer")
            raise

    def connect(self, session: Session) -> None:
        """Its session begins."""
        self.session = session
        session.label, session.way = self.label, self._way
        session.on_end = self.leave

    def leave(self, reason: str, *, is_meant: bool = False) -> None:
        """It is gone; `is_meant`: it said that it stops. Does nothing the second time."""
        if self._is_over:
            return
        self._is_over = True
        if self._way is not None:
            self._way.over(reason, is_meant=is_meant)
            self._way = None
        self.on_over()

    def look(self, now: float) -> None:
        """Ask another ingest where its own has gone; some times a second."""
        if self._asks_since_s is None or self._way is not None or self._is_over:
            return
        self._way = self._ask()
        if self._way is None and now - self._asks_since_s > ASK_ANEW_S:
            self._end(NO_INGEST.words)

    # ---- its ingest ---------------------------------------------------------------------------

    def on_answer(self, answer: Answer) -> None:
        match answer:
            case PublishAccepted():
                self._asks_since_s = None
                self._answer(None)
                if self.session is not None and self._way is not None:
                    self.session.begin_anew(self._way)
            case PublishRefused(refusal=refusal):
                self._way = None
                if not self._answer(refusal):
                    self._end(refusal.words)
            case PublishFinished(reason=reason):
                self._way = None
                self._end(reason)
            case _:
                pass  # live media cannot be held back, and its times are of no use here

    def on_cut_off(self, reason: str) -> None:
        self._way = None
        if self._answer(NO_INGEST):
            return
        self._asks_since_s = time.monotonic()
        if self.session is not None:
            self.session.way = None
        words = "publisher asks anew stream=%s peer=%s reason=%s"
        log.info(words, self.label, self._request.address, reason)

    # ---- inside -------------------------------------------------------------------------------

    def _ask(self) -> Way | None:
        request = self._request

        def make(number: int) -> PublishAsk:
            return PublishAsk(
                number,
                request.app,
                request.key,
                request.address,
                PROTOCOL,
                dict(request.query),
                request.encoder,
            )

        return self._links.ask(self, self._stream, make)

    def _answer(self, refusal: Refusal | None) -> bool:
        """Answer who waits; False: nobody does."""
        answered = self._answered
        if answered is None or answered.done():
            return False
        with contextlib.suppress(asyncio.InvalidStateError):
            answered.set_result(refusal)
        return True

    def _end(self, reason: str) -> None:
        if self.session is not None:
            self.session.end(reason)
        self.leave(reason)
