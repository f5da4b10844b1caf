"""The SRT port (IO): callers let in by their handshakes, and read in turns of the loop.

A handshake is judged in a thread of the library's (`_judge`), which may wait a moment for an ingest
(`newcomers.py`), or for the egress of who wants to watch. All else happens on the loop. Sockets are
read every `TURN_S`, as many at once as have something: a wake-up a packet would cost more than all
the rest.
"""

import asyncio
import logging
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from common.access.peer_address import host_of, subscriber
from common.access.refusal import Cause, Refusal, RefusalReason
from common.config.settings import SrtSettings
from common.ipc.unit_link import UnitLinks
from common.ipc.unit_messages import PublishCheck
from common.ipc.viewer_doors import ViewerDoors
from common.process.listening import join_address
from common.process.log import PeerLines, key_hash, more
from common.srt.library import SrtError, SrtLibrary
from common.srt.reject_codes import BAD_REQUEST, DOWN, reject_code
from ingest.srt.line_totals import LineTotals
from ingest.srt.newcomers import Newcomers
from ingest.srt.publisher import NO_INGEST, PROTOCOL, SrtPublisher
from ingest.srt.stream_name import PlayWish, PublishWish, wish_of
from ingest.srt.viewer import SrtViewer

log = logging.getLogger("tfarm.ingest.srt.listener")

REPORT_LOOKS: Final = 2
TURN_S: Final = 0.02
HANDSHAKE_S: Final = 3.0  # from the callback to `accept`: libsrt itself gives up by then
MAX_CALLERS: Final = 2000
OLD_VERSION: Final = 4  # of the handshake, which has no streamid
Wish = PublishWish | PlayWish
NOT_ENCRYPTED: Final = Refusal(
    RefusalReason.DENIED,
    "its handshake came to nothing: a wrong passphrase, or none where one is needed",
    cause=Cause.WRONG_KEY,
)


@dataclass(slots=True)
class _Caller:
    """One in the middle of its handshake."""

    peer: str
    streamid: str
    wish: Wish
    since_s: float
    question: "_Question"


@dataclass(slots=True)
class _Question:
    """What a thread of the library's waits for."""

    refusal: Refusal | None = None
    viewer: SrtViewer | None = None  # of one that wants to watch
    answered: threading.Event = field(default_factory=threading.Event)


class SrtListener:
    """The listener and all its callers."""

    def __init__(
        self,
        library: SrtLibrary,
        links: UnitLinks,
        doors: ViewerDoors,
        address: tuple[str, int],
        latency_ms: int,
    ) -> None:
        """Listen; whoever calls before `start` is refused.

        Raises:
            OSError: somebody else listens there, or nobody can.
        """
        self.accepted = self.refused = 0
        self._library, self._links, self._doors = library, links, doors
        self._settings = SrtSettings()
        self._loop = asyncio.get_running_loop()
        self._newcomers = Newcomers()
        self._callers: dict[int, _Caller] = {}  # written by the library's thread
        self._publishers: dict[int, SrtPublisher] = {}
        self._viewers: dict[int, SrtViewer] = {}
        self._asking: set[SrtViewer] = set()  # viewers whose handshake is not done
        self._is_open = False
        self._looks = 0
        self._totals = LineTotals()
        self._turn: asyncio.TimerHandle | None = None
        self._lines = PeerLines()
        self._sock, own = library.listen(address, latency_ms, self._judge)
        self.listen = join_address(*own)

    def __len__(self) -> int:
        return len(self._publishers) + len(self._viewers)

    @property
    def counters(self) -> dict[str, int]:
        """What is counted, for the heartbeat."""
        return {
            "connections": len(self),
            "viewers": len(self._viewers),
            "accepted": self.accepted,
            "refused connections": self.refused,
            **self._totals.counters,
        }

    def configure(self, settings: SrtSettings) -> None:
        """Use other passphrases for who calls from now on."""
        self._settings = settings

    def start(self) -> None:
        self._is_open = True

    def check(self, now: float) -> None:
        """Notice who is gone without a word; once a second."""
        self._looks += 1
        for sock, caller in list(self._callers.items()):
            if now - caller.since_s > HANDSHAKE_S:
                del self._callers[sock]
                if caller.question.viewer is not None:
                    caller.question.viewer.leave(NOT_ENCRYPTED.words)
                self._note_refused(caller.peer, caller.wish, NOT_ENCRYPTED)
        for sock, publisher in list(self._publishers.items()):
            if not publisher.is_publishing and not self._library.is_connected(sock):
                publisher.closed()
            else:
                publisher.look(now)
            if self._looks % REPORT_LOOKS == 0 and (found := self._library.figures(sock)):
                self._totals.count(sock, found)
                publisher.report(found)
        for sock, viewer in list(self._viewers.items()):
            viewer.look()
            if self._looks % REPORT_LOOKS == 0 and (found := self._library.figures(sock)):
                self._totals.count(sock, found)

    def stop(self, words: str) -> None:
        """Take nobody new, and end all."""
        self._is_open = False
        for publisher in list(self._publishers.values()):
            publisher.leave(words)
        for viewer in list(self._viewers.values()):
            viewer.leave(words)

    def close(self) -> None:
        self._is_open = False
        if self._turn is not None:
            self._turn.cancel()
        self._library.close_socket(self._sock)
        self._library.close()

    # ---- in the library's thread --------------------------------------------------------------

    def _judge(self, sock: int, version: int, peer: tuple[str, int], streamid: str) -> int:
        """The code to reject a caller with; 0: none."""
        if not self._is_open or len(self) + len(self._callers) >= MAX_CALLERS:
            return DOWN
        if version <= OLD_VERSION:
            return BAD_REQUEST
        now = time.monotonic()
        host, address = peer[0], join_address(*peer)
        wish = wish_of(streamid)
        if isinstance(wish, Refusal):
            self._loop.call_soon_threadsafe(self._note_refused, address, None, wish)
            return reject_code(wish)
        passphrase = self._settings.passphrase_of(wish.app, wish.key)
        if passphrase:
            self._library.set_passphrase(sock, passphrase)
        question = _Question(self._newcomers.recall(host, streamid, now))
        if question.refusal is None:
            self._ask(wish, streamid, address, question, now)
        if question.refusal is not None:
            self._loop.call_soon_threadsafe(self._count_refused)
            return reject_code(question.refusal)
        self._callers[sock] = _Caller(address, streamid, wish, now, question)
        self._loop.call_soon_threadsafe(self._wake)
        return 0

    def _ask(
        self,
        wish: Wish,
        streamid: str,
        peer: str,
        question: _Question,
        now: float,
    ) -> None:
        """Ask an ingest, or an egress, at once why not; without waiting where there is no time."""
        wait_s = self._newcomers.may_wait_s(now)
        if isinstance(wish, PlayWish):
            self._loop.call_soon_threadsafe(self._open_viewer, wish, streamid, peer, question)
        elif wait_s:
            self._loop.call_soon_threadsafe(self._check, wish, peer, question)
        if wait_s:
            question.answered.wait(wait_s)
            self._newcomers.waited(time.monotonic() - now)

    # ---- on the loop --------------------------------------------------------------------------

    def _check(self, wish: PublishWish, peer: str, question: _Question) -> None:
        def make(number: int) -> PublishCheck:
            return PublishCheck(number, wish.app, wish.key, peer, PROTOCOL, dict(wish.query))

        def answered(refusal: Refusal | None) -> None:
            question.refusal = refusal
            question.answered.set()

        if not self._links.check(wish.stream, make, answered):
            answered(NO_INGEST)

    def _open_viewer(self, wish: PlayWish, streamid: str, peer: str, question: _Question) -> None:
        def answered(refusal: Refusal | None) -> None:
            question.refusal = refusal
            question.answered.set()

        question.viewer = SrtViewer(
            self._library, self._doors, peer, streamid, wish, answered, self._on_viewer_end
        )
        self._asking.add(question.viewer)
        self._wake()

    def _wake(self) -> None:
        if self._turn is None:
            self._turn = self._loop.call_later(TURN_S, self._on_turn)

    def _on_turn(self) -> None:
        self._turn = None
        try:
            for sock in self._library.ready():
                if sock == self._sock:
                    self._accept()
                elif (publisher := self._publishers.get(sock)) is not None:
                    self._read(publisher)
            for viewer in [*self._asking, *self._viewers.values()]:
                viewer.turn()
        except Exception:  # a bug met by one caller must not stay with the others
            log.exception("reading failed")
        self._asking = {viewer for viewer in self._asking if not viewer.is_over}
        if self._publishers or self._viewers or self._callers or self._asking:
            self._wake()

    def _accept(self) -> None:
        while (found := self._library.accept(self._sock)) is not None:
            sock, address = found
            caller = self._callers.pop(sock, None)
            if caller is None or not self._is_open:
                self._library.close_socket(sock)
                continue
            self.accepted += 1
            viewer = caller.question.viewer
            if viewer is not None:
                self._asking.discard(viewer)
                self._viewers[sock] = viewer
                viewer.start(sock)
            elif isinstance(caller.wish, PublishWish):
                self._let_publish(sock, join_address(*address), caller.streamid, caller.wish)

    def _let_publish(self, sock: int, peer: str, streamid: str, wish: PublishWish) -> None:
        publisher = SrtPublisher(sock, peer, streamid, wish, self._links, self._on_end)
        publisher.latency_ms = self._library.latency_ms(sock)
        self._publishers[sock] = publisher
        publisher.on_accepted = partial(self._begin_reading, publisher)
        publisher.ask(time.monotonic())

    def _begin_reading(self, publisher: SrtPublisher) -> None:
        try:
            self._library.watch(publisher.sock)
        except SrtError:  # it has gone since its handshake
            publisher.closed()

    def _read(self, publisher: SrtPublisher) -> None:
        if not publisher.is_publishing:
            return
        pieces = self._library.receive(publisher.sock)
        if pieces is None:
            publisher.closed()
        elif pieces:
            publisher.take(pieces, time.monotonic())

    def _on_end(self, publisher: SrtPublisher, refusal: Refusal | None, words: str) -> None:
        del self._publishers[publisher.sock]
        self._closed(publisher.sock, publisher, publisher.received_bytes, refusal, words)

    def _on_viewer_end(self, viewer: SrtViewer, refusal: Refusal | None, words: str) -> None:
        if viewer.sock is not None and self._viewers.pop(viewer.sock, None) is not None:
            self._closed(viewer.sock, viewer, viewer.sent_bytes, refusal, words)

    def _closed(
        self,
        sock: int,
        one: SrtPublisher | SrtViewer,
        size: int,
        refusal: Refusal | None,
        words: str,
    ) -> None:
        if found := self._library.figures(sock):
            self._totals.count(sock, found)
        self._totals.forget(sock)
        self._library.close_socket(sock)
        if refusal is not None:
            self._newcomers.refused(host_of(one.peer), one.streamid, refusal, time.monotonic())
        log.info(
            "caller closed stream=%s peer=%s bytes=%d reason=%s", one.label, one.peer, size, words
        )

    def _count_refused(self) -> None:
        self.refused += 1

    def _note_refused(self, peer: str, wish: Wish | None, refusal: Refusal) -> None:
        """Log one that no ingest knows of."""
        self.refused += 1
        held = self._lines.allow(subscriber(host_of(peer)), time.monotonic())
        if held is not None:
            stream = f"{wish.app}/{key_hash(wish.key)}" if wish is not None else "-"
            fields = "caller refused stream=%s peer=%s reason=%s%s"
            log.warning(fields, stream, peer, refusal.words, more(held))
