"""Publishers of other processes as an input of the ingest (IO): their link, and who they are.

A process that sends what may not be loses the publisher that it was about; one that is gone loses
those that it has. `srt` and `relay` are such processes.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from common.access.peer_address import host_of
from common.access.refusal import Cause, Refusal, RefusalReason
from common.access.stream_address import is_backup_wanted
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.control_messages import Endpoint
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import stream_id
from common.ipc.media_listener import Sender
from common.ipc.unit_messages import (
    PublishAsk,
    PublishCheck,
    PublishChecked,
    PublishLine,
    PublishOver,
    PublishRefused,
    Units,
    check,
)
from common.process.log import RateLimit, more
from ingest.input import InputContext
from ingest.streams.admission import PublishAttempt, Resumption, label_of
from ingest.streams.gop_transfer import unpack
from ingest.streams.source_gop import SourceGop
from ingest.units.connection import Phase, UnitConnection

log = logging.getLogger("tfarm.ingest.units.input")

MAX_PUBLISHERS = 4096  # of one process
# Those whose word that a publisher was let in elsewhere is good: none that is in a sandbox.
JUDGING = frozenset({"relay"})

LEAVING = Refusal(RefusalReason.UNAVAILABLE, "this process takes no new publishers; try again")
BROKEN = Refusal(RefusalReason.FAILED, "what came of it cannot be read")
TOO_MANY = Refusal(
    RefusalReason.FULL, f"{MAX_PUBLISHERS} publishers come by this way already", cause=Cause.LIMIT
)
FETCHING = frozenset({"pull"})  # those who may bring what the configuration orders to be fetched
NOT_ORDERED = Refusal(RefusalReason.DENIED, "it is not configured to be pulled (any more)")
NOT_FOR_IT = Refusal(RefusalReason.DENIED, "its process may let nobody in")


class UnitsInput:
    """An `Input`."""

    listen: Sequence[str] = ()
    listeners: Sequence[Any] = ()

    def __init__(self, context: InputContext) -> None:
        self._streams, self._admission = context.streams, context.admission
        self._listener = context.listener("units", self._on_frames)
        self.endpoints: Mapping[str, str] = {"units": self._listener.address}
        self._publishers: dict[Sender, dict[int, UnitConnection]] = {}
        self._is_leaving = False
        self._refused = self._faults = 0
        self._lines = RateLimit()

    @property
    def connections(self) -> int:
        return sum(map(len, self._publishers.values()))

    @property
    def counters(self) -> Mapping[str, int]:
        protocols = Counter(
            f"publishers by {connection.protocol}"
            for publishers in self._publishers.values()
            for connection in publishers.values()
        )
        return {
            **protocols,
            "unread units": self._faults,
            "refused publishers of other processes": self._refused,
        }

    def start(self) -> None:
        """Whoever knows the socket may ask already: the topology says who that is."""

    def configure(self, settings: Settings) -> None:
        """The streams and the admission have them."""

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        running = {end.pid for end in endpoints}
        for sender in list(self._publishers):
            if sender.child is not None and sender.pid not in running:
                self._lose(sender)

    def check(self) -> None:
        for sender in list(self._publishers):
            if sender.closed:
                self._lose(sender)

    def retire(self) -> None:
        self._is_leaving = True

    def stop(self, reason: str) -> None:
        self._is_leaving = True

    async def emptied(self, timeout_s: float) -> None:
        """Nothing is left to be told: streams have ended their publishers with the reason."""

    def close(self) -> None:
        self._listener.close()

    # ---- what comes ---------------------------------------------------------------------------

    def _on_frames(self, frames: list[bytes], sender: Sender) -> None:
        now = time.monotonic()
        try:
            message, payloads = decode_frames(frames)
        except EnvelopeError as error:
            self._complain(sender, error)
            return
        try:
            check(message, payloads)
        except EnvelopeError as error:
            self._complain(sender, error)
            number = getattr(message, "number", None)
            if isinstance(number, int):
                self._break(sender, number, now)
            return
        if isinstance(message, Units):  # first, as nearly all are
            connection = self._publishers.get(sender, {}).get(message.number)
            if connection is not None:
                self._streams.media(connection, connection.take(message.items, payloads, now), now)
        elif isinstance(message, PublishAsk):
            self._ask(sender, message, payloads, now)
        elif isinstance(message, PublishCheck):
            self._check(sender, message, now)
        elif isinstance(message, PublishLine):
            connection = self._publishers.get(sender, {}).get(message.number)
            if connection is not None:
                self._streams.note_line(connection, message.line)
        elif isinstance(message, PublishOver):
            self._over(sender, message, now)

    def _ask(self, sender: Sender, ask: PublishAsk, payloads: Sequence[bytes], now: float) -> None:
        publishers = self._publishers.setdefault(sender, {})
        connection = UnitConnection(sender, ask, self._on_closed, self._on_unheard)
        if ask.number in publishers:
            self._complain(sender, EnvelopeError("a publisher's number that is in use"))
            self._break(sender, ask.number, now)
            return
        refusal = self._why_not(sender, ask, connection, now)
        if refusal is not None:
            self._refused += 1
            self._streams.log.refused("", ask.peer, refusal, now)
            sender.answer([encode(PublishRefused(ask.number, refusal))])
            return
        resume = None
        if ask.resume is not None:
            gop = SourceGop()
            if ask.gop is not None:
                try:
                    gop = unpack(ask.gop, payloads)
                except EnvelopeError as error:  # it begins with the next keyframe, then
                    self._complain(sender, error)
            resume = Resumption(ask.resume, gop, ask.gop.format if ask.gop is not None else None)
        publishers[ask.number] = connection
        attempt = replace(
            _attempt_of(ask), judged=ask.judged, resume=resume, is_ordered=ask.is_ordered
        )
        self._streams.publish(connection, attempt, now)

    def _check(self, sender: Sender, ask: PublishCheck, now: float) -> None:
        """Say whether one would be refused by what is known; who guesses keys is not told."""
        attempt, host = _attempt_of(ask), host_of(ask.peer)
        refusal = self._streams.entrance.why_not(attempt, host, now)
        if refusal is not None:
            if self._admission.answer_delay(host, refusal, now):
                return
            label, name = label_of(attempt, self._streams.settings)
            self._streams.refused += 1
            self._streams.log.refused(label, ask.peer, refusal, now, name)
        sender.answer([encode(PublishChecked(ask.number, refusal))])

    def _why_not(
        self, sender: Sender, ask: PublishAsk, connection: UnitConnection, now: float
    ) -> Refusal | None:
        """Refuse who may not even ask, or count it in."""
        if self._is_leaving:
            return LEAVING
        if len(self._publishers[sender]) >= MAX_PUBLISHERS:
            return TOO_MANY
        if ask.judged is not None and (sender.child is None or sender.child.kind not in JUDGING):
            return NOT_FOR_IT
        if ask.is_ordered and not self._is_ordered(sender, ask):
            return NOT_ORDERED
        banned = self._streams.bans.refusal(connection.host)
        if banned is not None:
            return banned
        why = self._admission.admit(connection.host, now)
        return Refusal(RefusalReason.DENIED, why, cause=Cause.LIMIT) if why is not None else None

    def _is_ordered(self, sender: Sender, ask: PublishAsk) -> bool:
        """The process alone is not believed: the ingest's own configuration names the stream."""
        is_fetching = sender.child is not None and sender.child.kind in FETCHING
        stream = stream_id(ask.app, ask.key)
        return is_fetching and any(p.stream_id == stream for p in self._streams.settings.pulls)

    def _over(self, sender: Sender, message: PublishOver, now: float) -> None:
        connection = self._publishers.get(sender, {}).get(message.number)
        if connection is None:
            return
        if message.goes_on:
            self._streams.goes_on(connection, message.reason)
        elif message.is_meant:
            self._streams.ended(connection, message.reason)
        else:
            self._streams.lost(connection, message.reason, now)
        connection.close()

    def _break(self, sender: Sender, number: int, now: float) -> None:
        """End a publisher of whom something came that cannot be."""
        connection = self._publishers.get(sender, {}).get(number)
        if connection is not None:
            self._streams.lost(connection, BROKEN.words, now)
            connection.end_publish(BROKEN)

    def _lose(self, sender: Sender) -> None:
        """A process is gone, and with it its publishers; their streams are held."""
        for connection in list(self._publishers.pop(sender, {}).values()):
            reason = f"{sender.child or 'its process'} is gone"
            self._streams.lost(connection, reason, time.monotonic())
            connection.close()

    def _on_unheard(self, connection: UnitConnection) -> None:
        if connection.phase is not Phase.CLOSED:
            self._streams.lost(connection, "its process takes no answers", time.monotonic())
            connection.close()

    def _on_closed(self, connection: UnitConnection) -> None:
        self._admission.release(connection.host)
        publishers = self._publishers.get(connection.sender)
        if publishers is not None and publishers.get(connection.number) is connection:
            del publishers[connection.number]
            if not publishers:
                del self._publishers[connection.sender]

    def _complain(self, sender: Sender, error: EnvelopeError) -> None:
        self._faults += 1
        if (held := self._lines.allow(time.monotonic())) is not None:
            log.warning("units not read child=%s reason=%s%s", sender.child, error, more(held))


def _attempt_of(ask: PublishAsk | PublishCheck) -> PublishAttempt:
    query = ask.query
    return PublishAttempt(
        ask.number,
        ask.app,
        ask.key,
        query.get("key"),
        query.get("token"),
        query,
        is_backup=is_backup_wanted(query),
    )
