"""One caller of the SRT listener: from its handshake to its end (IO by what it is given).

It asks an ingest once its connection stands, and nothing of it is read before that answers: the
library keeps what comes. Then what it sends goes on as units, as often as its socket is read.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from common.access.refusal import Refusal, RefusalReason
from common.errors import TransportStreamError
from common.ipc.status_messages import LineFigures
from common.ipc.unit_link import UnitLinks, UnitWay
from common.ipc.unit_messages import (
    PublishAccepted,
    PublishAsk,
    PublishFinished,
    PublishRefused,
)
from common.ipc.unit_sender import UnitSender
from common.ipc.unit_ways import Answer
from common.process.log import key_hash
from common.srt.library import LinkFigures
from ingest.srt.stream_name import PublishWish
from ingest.srt.to_units import StreamUnits

log = logging.getLogger("tfarm.ingest.srt.publisher")

NO_INGEST: Final = Refusal(RefusalReason.UNAVAILABLE, "no ingest is there; try again")
PROTOCOL: Final = "srt"
ASK_ANEW_S: Final = 10.0  # after its ingest has gone


class SrtPublisher:
    """A `UnitPublisher`."""

    def __init__(
        self,
        sock: int,
        peer: str,
        streamid: str,
        wish: PublishWish,
        links: UnitLinks,
        on_end: Callable[["SrtPublisher", Refusal | None, str], None],
    ) -> None:
        """`on_end` is called once, when its socket is to be closed: with why, and for the log."""
        self.sock, self.peer, self.streamid, self.wish = sock, peer, streamid, wish
        self.is_publishing = False
        self.latency_ms = 0  # that both ends agreed on
        self.on_accepted: Callable[[], object] = lambda: None  # called once, to be read from then
        self.received_bytes = 0
        self._links = links
        self._on_end = on_end
        self._way: UnitWay | None = None
        self._units = StreamUnits()
        self._sender = UnitSender()
        self._is_over = False
        self._asks_since_s: float | None = None  # in vain: no ingest is there

    @property
    def label(self) -> str:
        """Its stream, for the log."""
        return f"{self.wish.app}/{key_hash(self.wish.key)}"

    def ask(self, now: float) -> None:
        """Ask the ingest of its stream; where there is none, `look` asks again for a while."""
        wish = self.wish

        def make(number: int) -> PublishAsk:
            return PublishAsk(number, wish.app, wish.key, self.peer, PROTOCOL, dict(wish.query))

        self._way = self._links.ask(self, wish.stream, make)
        if self._way is None:
            self._asks_since_s = now if self._asks_since_s is None else self._asks_since_s
            if now - self._asks_since_s > ASK_ANEW_S:
                self._end(NO_INGEST, NO_INGEST.words)

    def take(self, pieces: Sequence[bytes], now: float) -> None:
        """Take what was read of its socket; between each two pieces something was lost."""
        self.received_bytes += sum(map(len, pieces))
        try:
            for number, data in enumerate(pieces):
                if number:
                    self._units.lose()
                self._units.feed(data, now)
        except TransportStreamError as error:
            refusal = Refusal(RefusalReason.UNSUPPORTED, str(error))
            self._leave(refusal.words)
            self._end(refusal, refusal.words)
            return
        self._pass_on()

    def _pass_on(self) -> None:
        items, payloads = self._units.take()
        if self._way is not None:
            self._sender.send(self._way, items, payloads)

    def report(self, figures: LinkFigures) -> None:
        """Tell its ingest how its packets come."""
        if self._way is not None:
            line = LineFigures(
                PROTOCOL, self.latency_ms, round(figures.rtt_ms, 1), *figures.packets
            )
            self._way.report(line)

    def closed(self) -> None:
        """Its socket has ended."""
        self._units.end()
        self._pass_on()
        self._leave("the caller closed the connection, or nothing came of it any more")
        self._end(None, "the caller is gone")

    def leave(self, words: str) -> None:
        """This process ends."""
        self._leave(words)
        self._end(None, words)

    # ---- its ingest ---------------------------------------------------------------------------

    def on_answer(self, answer: Answer) -> None:
        match answer:
            case PublishAccepted():
                self.is_publishing = True
                self._asks_since_s = None
                self.on_accepted()
                self.on_accepted = lambda: None
                log.info("publisher accepted stream=%s peer=%s", self.label, self.peer)
            case PublishRefused(refusal=refusal):
                self._end(refusal, refusal.words)
            case PublishFinished(reason=reason):
                self._end(None, reason)
            case _:
                pass  # live media cannot be held back, and its times are of no use here

    def on_cut_off(self, reason: str) -> None:
        """Ask another one, or the next of this one, when that is there (`look`)."""
        self._way, self.is_publishing = None, False
        self._asks_since_s = time.monotonic()
        log.info("publisher asks anew stream=%s peer=%s reason=%s", self.label, self.peer, reason)

    def look(self, now: float) -> None:
        """Do what is due; once a second."""
        if self._asks_since_s is not None and self._way is None:
            self._units.begin_anew()
            self.ask(now)

    # ---- inside -------------------------------------------------------------------------------

    def _leave(self, words: str) -> None:
        if self._way is not None:
            self._way.over(words)
            self._way = None

    def _end(self, refusal: Refusal | None, words: str) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_end(self, refusal, words)
