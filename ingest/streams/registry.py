"""All streams of one ingest: who may publish, who takes over, what the supervisor orders.

A publish request is checked (address, template, key, earlier refusals, limits), then asked of the
supervisor; its answer makes a `Stream` and a `Publisher`. Requests that end up refused are
refused before Publish.Start where possible (docs/rtmp.md, Refusals). No sockets: connections are
met as `PublishingConnection`; `now` is CLOCK_MONOTONIC in seconds.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import Takeover
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.control_messages import (
    EndStream,
    GopTransfer,
    Placement,
    PublishEnd,
    PublisherBack,
    PublisherStatus,
    Readmit,
    Refused,
    StreamRevoke,
    StreamRevoked,
)
from common.ipc.identity import StreamId
from common.process.log import RateLimit, stream_label
from ingest.outputs.outbox import Peers
from ingest.streams.admission import Admission, PublishAttempt, RefusalMemory, check_attempt
from ingest.streams.gop_transfer import unpack
from ingest.streams.media_events import MediaEvent
from ingest.streams.publish_requests import PublishRequests, QueuedRequest, Report
from ingest.streams.publisher import Publisher, PublishingConnection
from ingest.streams.read_batching import ReadBatching
from ingest.streams.stream import Stream, StreamContext, StreamState

log = logging.getLogger("tfarm.ingest.streams.registry")


class Streams:
    """Every stream here, and every connection that publishes one or has asked to."""

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        peers: Peers,
        report: Report,
        unix_time: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`clock` is CLOCK_MONOTONIC."""
        self.settings = settings
        self.refused = 0
        self._admission = admission
        self._report = report
        self._unix_time = unix_time
        self._context = StreamContext(peers, report, self._next_request, clock)
        self._last_request = 0
        self._requests = PublishRequests(report)
        self._streams: dict[StreamId, Stream] = {}
        self._ended: list[Stream] = []  # whose last words are due
        self._publishers: dict[PublishingConnection, Publisher] = {}
        self._begun = 0  # publishers so far
        self._connections: dict[StreamId, PublishingConnection] = {}
        self.read_batching = ReadBatching(peers, clock, self.is_publishing)
        self._memory = RefusalMemory()
        self._log_refusals = RateLimit()
        # A publisher may come and go in a loop; a farm that starts has many at once.
        self._log_events = RateLimit(burst=200, interval_s=0.2)

    def __len__(self) -> int:
        return len(self._streams)

    # ---- connections --------------------------------------------------------------------------

    def publish(
        self, connection: PublishingConnection, attempt: PublishAttempt, now: float
    ) -> None:
        """A connection asks to publish: refuse it, let it go on with a stream, or ask for room."""
        checked = check_attempt(attempt, self.settings)
        if isinstance(checked, Refusal):
            self.refuse(connection, attempt.request_id, checked, now)
            return
        stream = checked
        refusal = self._memory.recall(stream, now) or self._is_in_use(stream, now)
        if refusal is None:
            before = self._connections.get(stream)
            why = self._admission.admit_publish(
                connection.host,
                before.host if before else None,
                is_new=stream not in self._streams,
            )
            refusal = Refusal(RefusalReason.DENIED, why) if why else None
        if refusal is not None:
            self.refuse(connection, attempt.request_id, refusal, now, stream)
            return
        self._make_way(stream, now)
        if stream in self._streams:
            known = self._streams[stream]
            self._begin(connection, attempt, known, now)
            if self.is_publishing(connection):  # it may be found broken as it is answered
                # before its room is given away
                self._report(PublisherBack(stream, known.generation, connection.peer))
            return
        is_at_limit = self._admission.is_beyond_limit(connection.host)
        self._requests.ask(
            self._next_request(), connection, attempt, stream, now, is_at_limit=is_at_limit
        )

    def media(
        self, connection: PublishingConnection, events: Iterable[MediaEvent], now: float
    ) -> None:
        """What one read brought from a connection that publishes."""
        publisher = self._publishers.get(connection)
        if publisher is None:
            return
        refusal = None
        for event in events:
            refusal = publisher.take(event, now)
            if refusal is not None:
                break
        publisher.stream.media.end_read(now)
        if publisher.notices:
            self._note(connection, publisher)
        if publisher.waits_s:
            connection.hold_back(publisher.waits_s)
        if refusal is not None:
            self._expel(connection, refusal, now)

    def refuse(
        self,
        connection: PublishingConnection,
        request_id: int,
        refusal: Refusal,
        now: float,
        stream: StreamId | None = None,
    ) -> None:
        """Refuse a connection that asks to publish, and say so in the log."""
        self.refused += 1
        held_back = self._log_refusals.allow(now)
        if held_back is not None:
            log.warning(
                "publish refused stream=%s peer=%s code=%s reason=%s%s",
                stream_label(stream) if stream is not None else "?",
                connection.peer,
                refusal.reason,
                refusal.words,
                f" ({held_back} more like it)" if held_back else "",
            )
        connection.refuse_publish(request_id, refusal)

    def ended(self, connection: PublishingConnection, how: str) -> None:
        """The publisher said that it stops, or took its request back."""
        if not self._withdraw(connection):
            publisher = self._take(connection)
            if publisher is not None:
                self._end(publisher.stream, f"its publisher stopped ({how})")

    def lost(self, connection: PublishingConnection, reason: str, now: float) -> None:
        """The connection is gone, whatever it was."""
        if not self._withdraw(connection):
            publisher = self._take(connection)
            if publisher is not None:
                stream = publisher.stream
                self._log(
                    logging.INFO, "publisher lost stream=%s reason=%s", _label(stream), reason
                )
                stream.leave(reason, now)
                self._forget_if_ended(stream)

    def on_first_player(self, stream_id: StreamId) -> None:
        """Somebody begins to play a stream: what its publisher sends waits no more."""
        connection = self._connections.get(stream_id)
        if connection is not None:
            self.read_batching.read_immediately(connection)

    def is_publishing(self, connection: PublishingConnection) -> bool:
        return connection in self._publishers

    # ---- the supervisor -----------------------------------------------------------------------

    def placed(self, message: Placement, now: float) -> None:
        queued = self._requests.answered(message.request_id)
        if queued is not None:
            stream = Stream(message, self._context, self._unix_time())
            self._streams[message.stream_id] = stream
            self._log(
                logging.INFO,
                "stream placed stream=%s worker=%s generation=%d reason=%s",
                _label(stream),
                message.worker,
                message.generation,
                message.reason,
            )
            self._begin(queued.connection, queued.attempt, stream, now)
            return
        known = self._streams.get(message.stream_id)
        if known is not None:
            if message.generation > known.generation:
                self._log(
                    logging.INFO,
                    "stream placed anew stream=%s worker=%s generation=%d reason=%s",
                    _label(known),
                    message.worker,
                    message.generation,
                    message.reason,
                )
            known.place(message)
        elif message.request_id == 0 and self._requests.of(message.stream_id) is None:
            # Moved while it ended. An answer to a request that was given up needs nothing: its
            # `PublishEnd` is on the way.
            self._report(PublishEnd(message.stream_id, message.generation, "nobody publishes it"))

    def refused_by_supervisor(self, message: Refused, now: float) -> None:
        queued = self._requests.answered(message.request_id)
        if queued is not None:
            self._refuse_queued(queued, message.refusal, now)
            return
        stream = self._streams.get(message.stream_id)
        if stream is not None:
            self._end_for(stream, replace(message.refusal, is_lasting=True), now)

    def end_stream(self, message: EndStream, now: float) -> None:
        """The supervisor ends a stream; its publisher is closed, and may not be let in at once.

        It may be another ingest's stream, whose publisher comes here next.
        """
        refusal = message.refusal
        if refusal.is_lasting:  # one that is not here may come next
            self._memory.remember(message.stream_id, refusal, now)
        stream = self._streams.get(message.stream_id)
        if stream is not None:
            self._end_for(stream, refusal, now)
            return
        queued = self._requests.of(message.stream_id)
        if queued is not None:
            self._requests.answered(queued.request_id)
            self._refuse_queued(queued, refusal, now)

    def readmit(self, message: Readmit) -> None:
        """The operator lets a stream in again that was refused."""
        self._memory.forget(message.stream_id)

    def revoke(self, message: StreamRevoke, now: float) -> None:
        """A publisher of this stream is at another ingest: the rules are those of a takeover."""
        in_use = self._is_in_use(message.stream_id, now)
        if in_use is not None:
            self._report(StreamRevoked(message.request_id, message.stream_id, in_use))
            return
        self._make_way(message.stream_id, now)
        stream = self._streams.get(message.stream_id)
        if stream is None:
            self._report(StreamRevoked(message.request_id, message.stream_id))
            return
        transfer = stream.transfer()
        resume = stream.hand_over("its publisher came to another ingest")
        self._forget_if_ended(stream)
        self._report(StreamRevoked(message.request_id, message.stream_id, resume_time=resume))
        if transfer is not None:
            self._report(*transfer)
        size = sum(map(len, transfer[1])) if transfer is not None else 0
        log.info("stream handed over stream=%s bytes=%d", _label(stream), size)

    def take_over(self, message: GopTransfer, payloads: Sequence[bytes]) -> None:
        """Take what another ingest had of a stream that it handed over, behind its `Placement`."""
        stream = self._streams.get(message.stream_id)
        if stream is None:
            return
        try:
            gop = unpack(message, payloads)
        except EnvelopeError as error:
            log.warning("gop transfer not taken stream=%s error=%s", _label(stream), error)
            return
        if stream.go_on_from(gop, message.format):
            log.info("stream goes on stream=%s bytes=%d", _label(stream), gop.size_bytes)

    def peers_changed(self, now: float) -> None:
        for stream in self._streams.values():
            stream.peers_changed(now)

    # ---- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Deadlines; every half of `BATCH_S`, with `read_batching` behind it."""
        for queued in self._requests.overdue(now):
            refusal = Refusal(
                RefusalReason.UNAVAILABLE, "the supervisor does not answer; try again"
            )
            self._requests.give_up(queued, "no answer in time")
            self._refuse_queued(queued, refusal, now)
        self.read_batching.tick()
        for connection, publisher in list(self._publishers.items()):
            overdue = publisher.overdue(now)
            if overdue is not None:
                self._expel(connection, overdue, now)
            else:
                self.read_batching.sort(connection, publisher, now)
        for stream in list(self._streams.values()):
            stream.tick(now)
            self._forget_if_ended(stream)
        for stream in self._ended:
            stream.tick(now)
        self._ended = [stream for stream in self._ended if not stream.is_over]

    def statuses(self, now: float) -> tuple[PublisherStatus, ...]:
        return tuple(stream.status(now) for stream in self._streams.values())

    def close(self, reason: str, now: float) -> None:
        """End everything: publishers get the reason, players too, by egress."""
        for queued in self._requests.all():
            self._requests.give_up(queued, reason)
            self._refuse_queued(queued, Refusal(RefusalReason.UNAVAILABLE, reason), now)
        for connection in list(self._publishers):
            self._take(connection)
            connection.finish_publish(reason)
        for stream in list(self._streams.values()):
            self._end(stream, reason)

    # ---- inside -------------------------------------------------------------------------------

    def _log(self, level: int, what: str, *fields: object) -> None:
        """Log an event of a stream, at a limited rate."""
        held_back = self._log_events.allow(self._context.clock())
        if held_back is not None:
            more = f" ({held_back} more held back)" if held_back else ""
            log.log(level, f"{what}%s", *fields, more)

    def _note(self, connection: PublishingConnection, publisher: Publisher) -> None:
        label = _label(publisher.stream)
        for text in publisher.notices:
            self._log(
                logging.WARNING, "publisher stream=%s peer=%s %s", label, connection.peer, text
            )
        publisher.notices.clear()

    def _next_request(self) -> int:
        self._last_request += 1
        return self._last_request

    def _is_in_use(self, stream: StreamId, now: float) -> Refusal | None:
        """Whether a publisher is there that does not make way."""
        in_use = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")
        if self._requests.of(stream) is not None:
            return in_use
        connection = self._connections.get(stream)
        if connection is not None:
            connection.look_again()  # it may have ended, and that not been read yet
            connection = self._connections.get(stream)
        if connection is None:
            return None
        publisher = self._publishers[connection]
        match publisher.stream.template.takeover:
            case Takeover.ALWAYS:
                return None
            case Takeover.IDLE:
                silent_s = now - publisher.last_media_s
                return None if silent_s >= self.settings.ingest.takeover_idle_s else in_use
            case Takeover.NEVER:
                return in_use

    def _make_way(self, stream: StreamId, now: float) -> None:
        """Close the publisher that is there; what it published goes on."""
        connection = self._connections.get(stream)
        if connection is None:
            return
        publisher = self._publishers[connection]
        self._take(connection)
        silent_s = now - publisher.last_media_s
        reason = f"another publisher took over after {silent_s:.1f} s of silence"
        self._log(
            logging.INFO, "publisher replaced stream=%s reason=%s", _label(publisher.stream), reason
        )
        publisher.stream.leave(reason, now)
        self._forget_if_ended(publisher.stream)
        connection.end_publish(Refusal(RefusalReason.NAME_IN_USE, reason))

    def _begin(
        self,
        connection: PublishingConnection,
        attempt: PublishAttempt,
        stream: Stream,
        now: float,
    ) -> None:
        self._begun += 1
        is_odd = self._begun % 2 == 1
        self._publishers[connection] = Publisher(
            stream, connection, self.settings.ingest, now, is_odd
        )
        self._connections[stream.stream_id] = connection
        stream.arrive(connection.peer, now)
        connection.accept_publish(attempt.request_id, stream.timeline, now)
        self._log(
            logging.INFO, "publish started stream=%s peer=%s", _label(stream), connection.peer
        )

    def _take(self, connection: PublishingConnection) -> Publisher | None:
        """Take a connection out of the books."""
        publisher = self._publishers.pop(connection, None)
        if publisher is not None:
            del self._connections[publisher.stream.stream_id]
            self._admission.release_publish(connection.host)
        return publisher

    def _withdraw(self, connection: PublishingConnection) -> bool:
        """Forget a request that waits; the supervisor's answer to it is then given back."""
        queued = self._requests.by(connection)
        if queued is None:
            return False
        self._requests.give_up(queued, "its publisher left")
        self._admission.release_publish(connection.host)
        return True

    def _refuse_queued(self, queued: QueuedRequest, refusal: Refusal, now: float) -> None:
        """Refuse one whose request waits no more."""
        self._admission.release_publish(queued.connection.host)
        self.refuse(queued.connection, queued.attempt.request_id, refusal, now, queued.stream_id)

    def _expel(self, connection: PublishingConnection, refusal: Refusal, now: float) -> None:
        """Close a publisher; what it published is held only if it may be back with better."""
        stream = self._remove(connection, refusal)
        if stream is None:
            return
        if refusal.is_lasting:
            self._end_for(stream, refusal, now)
        else:
            stream.leave(refusal.words, now)
            self._forget_if_ended(stream)

    def _remove(self, connection: PublishingConnection, refusal: Refusal) -> Stream | None:
        """Close a publisher, with the reason; gives the stream that was its."""
        publisher = self._take(connection)
        if publisher is None:
            return None
        self._log(
            logging.WARNING,
            "publisher closed stream=%s peer=%s code=%s reason=%s",
            _label(publisher.stream),
            connection.peer,
            refusal.reason,
            refusal.words,
        )
        connection.end_publish(refusal)
        return publisher.stream

    def _end_for(self, stream: Stream, refusal: Refusal, now: float) -> None:
        """End a stream and its publisher, if it has one, for the same reason."""
        if refusal.is_lasting:
            self._memory.remember(stream.stream_id, refusal, now)
        connection = self._connections.get(stream.stream_id)
        if connection is not None:
            self._remove(connection, refusal)
        self._end(stream, refusal.words)

    def _end(self, stream: Stream, reason: str) -> None:
        self._log(logging.INFO, "stream ended stream=%s reason=%s", _label(stream), reason)
        stream.end(reason)
        self._forget_if_ended(stream)

    def _forget_if_ended(self, stream: Stream) -> None:
        if stream.state is StreamState.ENDED:
            del self._streams[stream.stream_id]
            self._ended.append(stream)


def _label(stream: Stream) -> str:
    return stream_label(stream.stream_id)
