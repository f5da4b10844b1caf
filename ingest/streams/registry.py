"""All streams of one ingest: who may publish, who takes over, what the supervisor sends.

A publish request is checked (address, template, key, earlier refusals, limits), then asked of the
supervisor; its answer makes a `Stream` and a `Publisher`. Requests that end up refused are
refused before Publish.Start where possible (docs/rtmp.md, Refusals). No sockets: connections are
met as `PublishingConnection`; `now` is CLOCK_MONOTONIC in seconds.
"""

from collections.abc import Callable, Iterable

from common.access.bans import Bans
from common.access.credentials import IN_USE, Credentials
from common.access.refusal import Refusal, RefusalReason
from common.config.overrides import StreamOverrides
from common.config.settings import Settings
from common.ipc.control_messages import Placement
from common.ipc.identity import StreamId
from common.ipc.status_messages import LineFigures, PublisherStatus
from common.ipc.unit_ways import Ways
from common.process.stage_times import DelayCounts
from ingest.demand.cold_starts import ColdStarts
from ingest.outputs.outbox import Peers
from ingest.streams.admission import (
    Admission,
    PublishAttempt,
    RefusalMemory,
    entries_of,
    label_of,
)
from ingest.streams.captures import Captures, NoCaptures
from ingest.streams.entrance import Entrance
from ingest.streams.forward import NO_WAYS, Forward, Forwards
from ingest.streams.media_events import MediaEvent
from ingest.streams.publish_requests import PublishRequests, QueuedRequest, Report
from ingest.streams.publisher import Publisher, PublishingConnection
from ingest.streams.read_batching import ReadBatching
from ingest.streams.standbys import STOOD_BY_IN_VAIN, Standbys, role_of
from ingest.streams.stream import HANDOVER_MS, Stream, StreamState
from ingest.streams.stream_context import StreamContext
from ingest.streams.stream_log import StreamLog
from ingest.streams.takeover import why_not

NO_ANSWER = Refusal(RefusalReason.UNAVAILABLE, "the supervisor does not answer; try again")


# long: each thing that happens to a publishing connection
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
        ways: Ways = NO_WAYS,
        cold_starts: ColdStarts | None = None,
    ) -> None:
        """`clock` is CLOCK_MONOTONIC. `ways`: to the relay, for streams of other hosts."""
        self.settings = settings
        self.refused = 0
        self._admission = admission
        self._report = report
        self._unix_time = unix_time
        self._context = StreamContext(
            peers,
            report,
            self.next_request,
            clock,
            unix_time,
            cold_starts=cold_starts or ColdStarts(),
        )
        self._last_request = 0
        self.requests = PublishRequests(report)
        self._streams: dict[StreamId, Stream] = {}
        self._ended: list[Stream] = []  # whose last words are due
        self._publishers: dict[PublishingConnection, Publisher] = {}
        self._begun = 0  # publishers so far
        self._connections: dict[StreamId, PublishingConnection] = {}
        self.read_batching = ReadBatching(peers, clock, self.is_publishing)
        self.memory = RefusalMemory()
        self.bans = Bans(unix_time)
        self.captures: Captures = NoCaptures()
        self.log = StreamLog(clock, unix_time)
        self.entrance = Entrance(self, admission, report, unix_time)
        self.forwards = Forwards(self, ways, report, clock)
        self.standbys = Standbys(self, self._context)

    def __len__(self) -> int:
        return len(self._streams)

    # ---- connections --------------------------------------------------------------------------

    def publish(
        self, connection: PublishingConnection, attempt: PublishAttempt, now: float
    ) -> None:
        """A connection asks to publish: refuse it, let it go on with a stream, or ask for room."""
        self.entrance.publish(connection, attempt, now)

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
        publisher.end_read(now)
        if publisher.notices:
            self.log.notices(publisher.stream.stream_id, connection.peer, publisher.notices)
            publisher.notices_taken()
        if refusal is not None:
            self._expel(connection, refusal, now)

    def note_line(self, connection: PublishingConnection, line: LineFigures) -> None:
        """Note how the packets of one that publishes come, for status."""
        publisher = self._publishers.get(connection)
        if publisher is not None:
            publisher.stream.line = line

    def refuse(
        self,
        connection: PublishingConnection,
        request_id: int,
        refusal: Refusal,
        now: float,
        attempt: PublishAttempt | None = None,
    ) -> None:
        """Refuse a connection that asks to publish, and say so in log and status."""
        self.refused += 1
        self.entrance.forget(connection)
        label, name = label_of(attempt, self.settings) if attempt is not None else ("", "")
        self.log.refused(label, connection.peer, refusal, now, name)
        after_s = self._admission.answer_delay(connection.host, refusal, now)
        connection.refuse_publish(request_id, refusal, after_s)

    def ended(self, connection: PublishingConnection, how: str) -> None:
        """The publisher said that it stops, or took its request back."""
        if not self._withdraw(connection):
            reason = f"its publisher stopped ({how})"
            publisher = self.leave(connection, reason)
            if publisher is None or publisher.stands_by:
                return
            stream = publisher.stream
            if self.standbys.of(stream.stream_id) is not None:
                self._hold(stream, reason, self._context.clock())
            else:
                self._end(stream, reason)

    def goes_on(self, connection: PublishingConnection, reason: str) -> None:
        """That was the last of a stream here: its publisher brings the rest to another host."""
        publisher = self.leave(connection, reason)
        if publisher is not None:
            self._end(publisher.stream, reason, HANDOVER_MS)

    def lost(self, connection: PublishingConnection, reason: str, now: float) -> None:
        """The connection is gone, whatever it was."""
        if not self._withdraw(connection):
            publisher = self.leave(connection, reason)
            if publisher is not None and not publisher.stands_by:
                stream = publisher.stream
                self.log.info("publisher lost", stream.stream_id, "reason=%s", reason)
                self._hold(stream, reason, now)

    def on_first_player(self, stream_id: StreamId) -> None:
        """Somebody begins to play a stream: what its publisher sends waits no more."""
        connection = self._connections.get(stream_id)
        if connection is not None:
            self.read_batching.read_immediately(connection)

    def on_demand(self, stream_id: StreamId, now: float) -> None:
        """Others of its renditions are played at an egress than before."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.media.look_at_demand(now)

    def all(self) -> list[tuple[Stream, PublishingConnection | None]]:
        """Every stream, with its publisher if that is there."""
        return [(one, self._connections.get(name)) for name, one in self._streams.items()]

    def get(self, stream_id: StreamId) -> Stream | None:
        """The stream of this name, if it is here."""
        return self._streams.get(stream_id)

    def publisher_of(self, stream_id: StreamId) -> PublishingConnection | None:
        """Who publishes the stream of this name here."""
        return self._connections.get(stream_id)

    def add(
        self, placed: Placement, overrides: StreamOverrides, forward: Forward | None = None
    ) -> Stream:
        """Make the stream that a queued request was for; `forward`: the way to its host."""
        stream = Stream(placed, self._context, self._unix_time(), forward)
        stream.overrides = overrides
        self._streams[placed.stream_id] = stream
        return stream

    def publisher(self, connection: PublishingConnection) -> Publisher:
        """What feeds a stream from a connection that publishes, or stands by."""
        return self._publishers[connection]

    def is_publishing(self, connection: PublishingConnection) -> bool:
        return connection in self._publishers

    # ---- peers --------------------------------------------------------------------------------

    def peers_changed(self, now: float) -> None:
        for stream in self._streams.values():
            stream.peers_changed(now)

    # ---- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Deadlines; every half of `BATCH_S`, with `read_batching` behind it."""
        for queued in self.requests.overdue(now):
            self.refuse_queued(queued, NO_ANSWER, now)
        self.entrance.tick(now)
        self.read_batching.tick()
        for connection, publisher in list(self._publishers.items()):
            if (overdue := publisher.overdue(now)) is not None:
                self._expel(connection, overdue, now)
            else:
                publisher.look(now)
                self.read_batching.sort(connection, publisher, now)
        self.standbys.tick(now)
        for stream in list(self._streams.values()):
            self.log.changes(stream.stream_id, stream.tick(now))
            self.forwards.tick(stream, now)
            self.forget_if_ended(stream)
        for stream in self._ended:
            stream.tick(now)
        self._ended = [stream for stream in self._ended if not stream.is_over]

    def statuses(self, now: float) -> tuple[PublisherStatus, ...]:
        return tuple(
            self.standbys.publisher_status(stream, now) for stream in self._streams.values()
        )

    def delays(self, now: float) -> dict[str, DelayCounts]:
        """How long stages here took, of all streams; empty: as the last time."""
        return self._context.delays.reported(now)

    def close(self, reason: str, now: float) -> None:
        """End everything: publishers get the reason, players too, by egress."""
        for queued in self.requests.all():
            self.refuse_queued(queued, Refusal(RefusalReason.UNAVAILABLE, reason), now)
        self.entrance.close(reason, now)
        for stream in list(self._streams.values()):
            self.finish(stream, reason)

    # ---- inside -------------------------------------------------------------------------------

    def next_request(self) -> int:
        """A number for a request to the supervisor."""
        self._last_request += 1
        return self._last_request

    def is_in_use(self, stream: StreamId, newcomer: Credentials, now: float) -> Refusal | None:
        """Whether it is, or was just now, another's, who does not make way for this one."""
        if self.requests.of(stream) is not None:
            return IN_USE
        if stream in self._connections:
            self._connections[stream].look_again()  # it may have ended, and that not been read yet
        known, there = self._streams.get(stream), self._connections.get(stream)
        publisher = self._publishers[there] if there is not None else None
        return why_not(publisher, known, newcomer, entries_of(stream, self.settings), now)

    def make_way(self, stream: StreamId, newcomer: str, now: float) -> None:
        """Close the publisher that is there; what it published goes on. `newcomer`: its peer."""
        connection = self._connections.get(stream)
        if connection is None:
            return
        publisher = self._publishers[connection]
        silent_s = now - publisher.last_media_s
        reason = f"another publisher took over after {silent_s:.1f} s of silence"
        self.leave(connection, reason)
        fields = "peer=%s by=%s reason=%s"
        stream_id = publisher.stream.stream_id
        self.log.info("publisher replaced", stream_id, fields, connection.peer, newcomer, reason)
        self._hold(publisher.stream, reason, now)
        connection.end_publish(Refusal(RefusalReason.NAME_IN_USE, reason))

    def begin(
        self,
        connection: PublishingConnection,
        attempt: PublishAttempt,
        stream: Stream,
        credentials: Credentials,
        now: float,
    ) -> None:
        """Let a connection publish a stream."""
        self._connections[stream.stream_id] = connection
        self.captures.begin(connection, stream.stream_id)
        self.begin_aside(connection, attempt, stream, credentials, now)
        stream.by_host = attempt.judged.host if attempt.judged is not None else ""
        self.log.info("publish started", stream.stream_id, "peer=%s", connection.peer)

    def begin_aside(
        self,
        connection: PublishingConnection,
        attempt: PublishAttempt,
        stream: Stream,
        credentials: Credentials,
        now: float,
    ) -> Publisher:
        """Let a connection publish into what need not be the stream that players have."""
        self._begun += 1
        settings, is_odd = self.settings.ingest, self._begun % 2 == 1
        publisher = Publisher(stream, connection, settings, now, is_odd, role_of(attempt))
        self._publishers[connection] = publisher
        self.entrance.begin(connection, attempt, stream.stream_id, now)
        stream.arrive(connection.peer, now, credentials)
        connection.accept_publish(attempt.request_id, stream.timeline, now, stream.audio_before)
        return publisher

    def goes_over(
        self,
        stream_id: StreamId,
        before: PublishingConnection | None,
        connection: PublishingConnection,
    ) -> None:
        """A stream is of another connection from now on; the one before may stand by."""
        self._connections[stream_id] = connection
        if before is not None:
            self.captures.end(before)
        self.captures.begin(connection, stream_id)

    def leave(self, connection: PublishingConnection, reason: str) -> Publisher | None:
        """Take a connection out of the books, for this reason."""
        publisher = self._publishers.pop(connection, None)
        self.entrance.sessions.forget(connection)
        if publisher is not None:
            if not publisher.stands_by:
                publisher.flush()
            now = self._context.clock()
            findings = publisher.stream.notices.as_tuple(now, self._unix_time())
            self.entrance.sessions.end(connection, self.settings, reason, findings, now)
            if not self.standbys.forget(connection, publisher.stream.stream_id):
                del self._connections[publisher.stream.stream_id]
            self.captures.end(connection)
            self._admission.release_publish(connection.host)
        return publisher

    def _withdraw(self, connection: PublishingConnection) -> bool:
        """Forget a request that waits; the supervisor's answer to it is then given back."""
        if self.entrance.forget(connection):
            return True
        queued = self.requests.by(connection)
        if queued is None:
            return False
        self.requests.give_up(queued, "its publisher left")
        self._admission.release_publish(connection.host)
        return True

    def refuse_queued(self, queued: QueuedRequest, refusal: Refusal, now: float) -> None:
        """Refuse one whose request waits no more, or no longer."""
        self.requests.give_up(queued, refusal.words)
        self._admission.release_publish(queued.connection.host)
        attempt = queued.attempt
        self.refuse(queued.connection, attempt.request_id, refusal, now, attempt)

    def _expel(self, connection: PublishingConnection, refusal: Refusal, now: float) -> None:
        """Close a publisher; what it published is held only if it may be back with better."""
        publisher = self._remove(connection, refusal)
        if publisher is None or publisher.stands_by:
            return
        stream = publisher.stream
        if refusal.is_lasting and self.standbys.of(stream.stream_id) is None:
            self.memory.remember(stream.stream_id, refusal, now, connection.host)
            self._end(stream, refusal.words)
        else:
            self._hold(stream, refusal.words, now)

    def _hold(self, stream: Stream, reason: str, now: float) -> None:
        """Its publisher is gone: the stream is held, or ends."""
        stream.leave(reason, now, self.standbys.cover_ms(stream.stream_id))
        self.forget_if_ended(stream)

    def _remove(self, connection: PublishingConnection, refusal: Refusal) -> Publisher | None:
        """Close a publisher, with the reason."""
        self.captures.refused(connection, refusal)
        publisher = self.leave(connection, refusal.words)
        if publisher is None:
            return None
        self.log.closed(publisher.stream.stream_id, connection.peer, refusal)
        connection.end_publish(refusal)
        return publisher

    def end_for(self, stream: Stream, refusal: Refusal, now: float, hold_ms: int = 0) -> None:
        """End a stream and its publisher, if it has one, for the same reason.

        `hold_ms`: its players are kept so long, for whoever has it next.
        """
        connection = self._connections.get(stream.stream_id)
        if refusal.is_lasting:
            # what goes wrong with what one sends is no other's who has the stream's name
            own = connection if refusal.reason is RefusalReason.FAILED else None
            self.memory.remember(stream.stream_id, refusal, now, own.host if own else None)
        if connection is not None:
            self._remove(connection, refusal)
        self.standbys.end(stream.stream_id, refusal)
        self._end(stream, refusal.words, hold_ms)

    def finish(self, stream: Stream, reason: str) -> None:
        """End a stream in order, and tell its publisher."""
        connection = self._connections.get(stream.stream_id)
        if connection is not None:
            self.leave(connection, reason)
            connection.finish_publish(reason)
        self._end(stream, reason)

    def _end(self, stream: Stream, reason: str, hold_ms: int = 0) -> None:
        self.log.info("stream ended", stream.stream_id, "reason=%s", reason)
        stream.end(reason, hold_ms)
        self.forget_if_ended(stream)

    def forget_if_ended(self, stream: Stream) -> None:
        if stream.state is StreamState.ENDED:
            del self._streams[stream.stream_id]
            self.standbys.end(stream.stream_id, STOOD_BY_IN_VAIN)
            self._ended.append(stream)
