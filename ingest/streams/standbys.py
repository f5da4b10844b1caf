"""Publishers that stand by for streams: from their coming to the switch, and back.

One that stands by is read into a `Stream` of its own that nobody gets: so its media is checked as
any, its configuration and last GOP are kept, and nothing of it is transcoded or sent. When
`backup_rules` says so, the stream that players have goes over to it at its next keyframe: from
there on it is fed by the other publisher, in its own time, and where the publisher before is still
there, that one stands by. Never is what two publishers send mixed. Pure; `now` is CLOCK_MONOTONIC
in seconds.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from common.access.credentials import IN_USE, Credentials, may_succeed, not_its_own
from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import Placement, PublisherBack
from common.ipc.identity import StreamId
from common.ipc.status_messages import PublisherStatus, StandbyStatus
from common.media.units import VideoUnit
from common.process.stage_times import StageDelays
from ingest.outputs.forward_output import NOBODY
from ingest.streams.admission import PublishAdmitted, PublishAttempt, entries_of
from ingest.streams.backup_rules import (
    COVER_MS,
    PublisherRole,
    Seen,
    Wanted,
    good_since,
    reason_to_switch,
)
from ingest.streams.epochs import Epochs
from ingest.streams.publisher import Publisher, PublishingConnection
from ingest.streams.stream import Stream
from ingest.streams.stream_context import StreamContext

if TYPE_CHECKING:
    from ingest.streams.registry import Streams

STOOD_BY_IN_VAIN = Refusal(
    RefusalReason.UNAVAILABLE, "the stream that it stood by for has ended; come again"
)


def role_of(attempt: PublishAttempt) -> PublisherRole:
    """Which of the two publishers this one is."""
    return PublisherRole.BACKUP if attempt.is_backup else PublisherRole.MAIN


class Standby:
    """One publisher that stands by."""

    def __init__(
        self, standbys: "Standbys", connection: PublishingConnection, own: Credentials
    ) -> None:
        self.connection = connection
        self.credentials = own
        self.reason = ""  # for which its next keyframe begins the stream anew; empty: it waits
        self.good_since_s: float | None = None
        self._standbys = standbys

    def key(self, publisher: Publisher, unit: VideoUnit, now: float) -> VideoUnit:
        """A picture that decoding can begin at: the stream may go over to it; as it goes on."""
        return self._standbys.switch(self, publisher, unit, now) if self.reason else unit


class Standbys:
    """Those of one ingest."""

    def __init__(self, streams: "Streams", context: StreamContext) -> None:
        self._streams = streams
        self._context = replace(
            context,
            peers=NOBODY,
            report=lambda _: None,
            delays=StageDelays(),
            epochs=Epochs(),
        )
        self._report = context.report
        self._by_stream: dict[StreamId, Standby] = {}
        self._picture_s: dict[StreamId, float] = {}  # when the last one came on the air
        self._wanted: dict[StreamId, Wanted] = {}
        self.switches: dict[StreamId, int] = {}

    def __len__(self) -> int:
        return len(self._by_stream)

    # ---- who comes and goes -------------------------------------------------------------------

    def let_in(
        self,
        connection: PublishingConnection,
        attempt: PublishAttempt,
        checked: PublishAdmitted,
        now: float,
    ) -> bool | Refusal:
        """Let one stand by if the other publisher is on the air; False: it is the stream's own."""
        streams, stream_id = self._streams, checked.stream
        there = streams.publisher_of(stream_id)
        if there is not None:
            there.look_again()  # it may have ended, and that not been read yet
        known = streams.get(stream_id)
        if known is None or not self.has_place(stream_id, attempt):
            return False
        entries = entries_of(stream_id, streams.settings)
        if not may_succeed(known.owner, checked.credentials, entries):
            return not_its_own(known.owner)
        if (before := self._by_stream.get(stream_id)) is not None:
            before.connection.look_again()  # likewise
        before = self._by_stream.get(stream_id)
        if before is not None and not streams.publisher(before.connection).makes_way(now):
            return IN_USE
        instead_of = before.connection if before is not None else None
        refusal = streams.entrance.admit(connection, checked, instead_of)
        if refusal is not None:
            return refusal
        if before is not None:
            reason = "another publisher stands by in its place"
            streams.leave(before.connection, reason)
            before.connection.end_publish(Refusal(RefusalReason.NAME_IN_USE, reason))
        self._begin(connection, attempt, checked.credentials, known, now)
        return True

    def has_place(self, stream_id: StreamId, attempt: PublishAttempt) -> bool:
        """Whether this one would stand by: the other publisher is on the air."""
        there, known = self._streams.publisher_of(stream_id), self._streams.get(stream_id)
        if there is None or known is None or not known.template.takes_backup:
            return False
        return self._streams.publisher(there).role is not role_of(attempt)

    def of(self, stream_id: StreamId) -> Standby | None:
        """Who stands by for a stream."""
        return self._by_stream.get(stream_id)

    def forget(self, connection: PublishingConnection, stream_id: StreamId) -> bool:
        """A connection publishes no more; whether it stood by."""
        standby = self._by_stream.get(stream_id)
        if standby is None or standby.connection is not connection:
            return False
        del self._by_stream[stream_id]
        return True

    def cover_ms(self, stream_id: StreamId) -> int:
        """How long the stream waits for one that stands by, when its publisher leaves."""
        return COVER_MS if stream_id in self._by_stream else 0

    def end(self, stream_id: StreamId, refusal: Refusal) -> None:
        """A stream ends: so does who stands by for it."""
        standby = self._by_stream.get(stream_id)
        if standby is not None:
            self._streams.leave(standby.connection, refusal.words)
            standby.connection.end_publish(refusal)
        for book in (self._picture_s, self._wanted, self.switches):
            book.pop(stream_id, None)

    # ---- the switch ---------------------------------------------------------------------------

    def want(self, stream_id: StreamId, wanted: Wanted | None) -> str:
        """Have a stream be of that publisher, if that is there; why not, else nothing."""
        if wanted is None:
            self._wanted.pop(stream_id, None)
            return ""
        there = self._streams.publisher_of(stream_id)
        standby = self._by_stream.get(stream_id)
        roles = [
            self._streams.publisher(one).role
            for one in (there, standby.connection if standby else None)
            if one is not None
        ]
        if wanted.role not in roles:
            return f"its {wanted.role} publisher is not there"
        self._wanted[stream_id] = wanted
        return ""

    def tick(self, now: float) -> None:
        """See which streams go over to another publisher, several times a second."""
        for stream_id, standby in list(self._by_stream.items()):
            stream = self._streams.get(stream_id)
            if stream is None:
                self.end(stream_id, STOOD_BY_IN_VAIN)
                continue
            seen = self._seen(standby)
            standby.good_since_s = good_since(seen, now)
            seen = replace(seen, good_since_s=standby.good_since_s)
            active = self._active(stream)
            wanted = self._wanted.get(stream_id)
            standby.reason = reason_to_switch(stream.template, active, seen, wanted, now)

    def switch(
        self, standby: Standby, publisher: Publisher, first: VideoUnit, now: float
    ) -> VideoUnit:
        """Go over to a publisher that stood by, at this keyframe of its; as the stream has it."""
        streams, stream_id = self._streams, publisher.stream.stream_id
        stream = streams.get(stream_id)
        if stream is None or publisher.stream.media.gop.video_config is None:
            return first
        connection, source, reason = standby.connection, publisher.stream, standby.reason
        before = streams.publisher_of(stream_id)
        other = self._set_aside(stream, now) if before is not None else None
        moved = stream.follow_on(source, first, connection.peer, standby.credentials, now)
        del self._by_stream[stream_id]
        publisher.feed(stream, None)
        if before is not None and other is not None:
            aside = Standby(self, before, other.owner)
            streams.publisher(before).feed(other, aside)
            self._by_stream[stream_id] = aside
        streams.goes_over(stream_id, before, connection)
        self._report(
            PublisherBack(stream_id, stream.generation, connection.peer, standby.credentials)
        )
        self._picture_s[stream_id] = first.received_s
        self.switches[stream_id] = self.switches.get(stream_id, 0) + 1
        fields = "role=%s peer=%s reason=%s"
        self._streams.log.info(
            "publisher switched", stream_id, fields, publisher.role, connection.peer, reason
        )
        return moved

    def publisher_status(self, stream: Stream, now: float) -> PublisherStatus:
        """A stream for status, with who stands by for it."""
        status, stream_id = stream.status(now), stream.stream_id
        if not stream.template.takes_backup:
            return status
        connection = self._streams.publisher_of(stream_id)
        role = self._streams.publisher(connection).role if connection is not None else ""
        standby, count = self._by_stream.get(stream_id), self.switches.get(stream_id, 0)
        status = replace(status, role=role, switches=count)
        if standby is None:
            return status
        publisher = self._streams.publisher(standby.connection)
        source = publisher.stream.status(now)
        aside = StandbyStatus(
            publisher.role,
            standby.connection.peer,
            source.since_unix,
            standby.good_since_s is not None,
            source.codec,
            source.format,
            source.audio,
            round(source.fps, 2),
            round(source.bitrate_bps),
        )
        return replace(status, standby=aside)

    # ---- inside -------------------------------------------------------------------------------

    def _begin(
        self,
        connection: PublishingConnection,
        attempt: PublishAttempt,
        own: Credentials,
        stream: Stream,
        now: float,
    ) -> None:
        wanted = self._wanted.get(stream.stream_id)
        if wanted is not None and not wanted.is_lasting:
            del self._wanted[stream.stream_id]  # what was wrong with the one before may be over
        standby = Standby(self, connection, own)
        self._by_stream[stream.stream_id] = standby
        source = self._source(stream)
        publisher = self._streams.begin_aside(connection, attempt, source, own, now)
        publisher.feed(source, standby)
        self._streams.log.info(
            "publisher stands by",
            stream.stream_id,
            "role=%s peer=%s",
            publisher.role,
            connection.peer,
        )

    def _source(self, stream: Stream) -> Stream:
        """What one is read into that stands by."""
        why = "it stands by"
        own = stream.stream_id, stream.generation, stream.template
        return Stream(Placement(0, *own, None, (), why), self._context, self._context.unix_time())

    def _set_aside(self, stream: Stream, now: float) -> Stream:
        """The same for the one that is on the air, with what it has said."""
        source = self._source(stream)
        source.owner = stream.owner
        source.stand_by(stream, now)
        return source

    def _seen(self, standby: Standby) -> Seen:
        publisher = self._streams.publisher(standby.connection)
        newest = publisher.stream.media.newest
        return Seen(
            publisher.role,
            newest.monotonic_s if newest is not None else None,
            standby.good_since_s,
            publisher.stream.measured_fps,
        )

    def _active(self, stream: Stream) -> Seen | None:
        """What is known of the one on the air; None: it is away."""
        connection = self._streams.publisher_of(stream.stream_id)
        if connection is None:
            return None
        publisher, newest = self._streams.publisher(connection), stream.media.newest
        if newest is not None:
            self._picture_s[stream.stream_id] = newest.monotonic_s + stream.media.held_s
        elif not publisher.has_video:
            self._picture_s.pop(stream.stream_id, None)
        picture_s = self._picture_s.get(stream.stream_id)
        return Seen(publisher.role, picture_s, None, stream.measured_fps)
