"""All streams of one ingest: who may publish, who takes over, what the supervisor says of whom.

A publish request is checked here (address, template, key, earlier refusals, limits), then asked of
the supervisor; its answer makes a `Stream` and a `Publisher`. Requests that end up refused are
refused before Publish.Start wherever that can be known (rtmp-facts 7). No sockets: connections are
met as `PublishingConnection`; `now` is CLOCK_MONOTONIC in seconds.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from common.address import Address, parse_publish
from common.control_messages import (
    EndStream,
    Placed,
    PublishAsk,
    PublishEnd,
    PublisherStatus,
    Readmit,
    Refused,
    StreamKept,
    StreamRevoke,
    StreamRevoked,
)
from common.errors import AddressError, EnvelopeError
from common.identity import Generation, StreamId, stream_id
from common.ladder import Takeover, Template
from common.log import RateLimit, stream_label
from common.rtmp.events import Event, PublishRequested
from common.settings import Settings
from ingest.admission import Admission, Refusal, RefusalMemory, is_key_allowed
from ingest.feed import Peers
from ingest.gop_handover import unpack
from ingest.publisher import LAZY_S, Publisher
from ingest.stream import Stream, StreamState, Surroundings

log = logging.getLogger("tfarm.ingest.streams")

ASK_TIMEOUT_S = 3.0
STOPPED = "NetStream.Unpublish.Success"  # what a publisher is told whose stream ends in order


class PublishingConnection(Protocol):
    """A connection that asked to publish."""

    @property
    def host(self) -> str:
        """The peer's address without its port."""
        ...

    @property
    def peer(self) -> str:
        """The peer's address with its port."""
        ...

    def accept_publish(self, request_id: int) -> None: ...

    def refuse_publish(self, request_id: int, code: str, description: str) -> None:
        """Say no, and close once that has gone out."""
        ...

    def hold_back(self, seconds: float) -> None:
        """Read nothing for so long, or for less."""
        ...

    def look_again(self) -> None:
        """Read what has come."""
        ...

    def read_lazily(self) -> None:
        """Read what has come; from now on nothing is read but by this."""
        ...

    def read_promptly(self) -> None:
        """Read as soon as something comes."""
        ...

    def end_publish(self, level: str, code: str, description: str) -> None:
        """Tell a publisher that it is over, and close once that has gone out."""
        ...


class Tell(Protocol):
    """Sends a control message to the supervisor."""

    def __call__(self, message: object, payloads: Sequence[bytes] = (), /) -> object: ...


@dataclass(frozen=True, slots=True)
class _Ask:
    """A publish request that waits for the supervisor."""

    request_id: int  # ours, to the supervisor
    connection: PublishingConnection
    request: PublishRequested
    stream_id: StreamId
    until_s: float


class Streams:
    """Every stream here, and every connection that publishes one or has asked to."""

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        peers: Peers,
        tell: Tell,
        unix_time: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        """`clock` is CLOCK_MONOTONIC."""
        self.settings = settings
        self.refused = 0
        self._admission = admission
        self._tell = tell
        self._unix_time = unix_time
        self._surroundings = Surroundings(peers, tell, self._next_request, clock)
        self._last_request = 0
        self._asks: dict[int, _Ask] = {}
        self._streams: dict[StreamId, Stream] = {}
        self._ended: list[Stream] = []  # whose last words are due
        self._unread = deque[PublishingConnection]()  # those that `read_lazily` is to read
        self._is_odd = False  # of the ticks, the last one
        self._publishers: dict[PublishingConnection, Publisher] = {}
        self._begun = 0  # publishers so far
        self._connections: dict[StreamId, PublishingConnection] = {}
        self._memory = RefusalMemory()
        self._log_refusals = RateLimit()
        # A publisher may come and go in a loop; a farm that starts has many at once.
        self._log_events = RateLimit(burst=200, interval_s=0.2)

    def __len__(self) -> int:
        return len(self._streams)

    # ---- connections --------------------------------------------------------------------------

    def publish(
        self, connection: PublishingConnection, request: PublishRequested, now: float
    ) -> None:
        """A connection asks to publish: refuse it, let it go on with a stream, or ask for room."""
        checked = self._check(request)
        if isinstance(checked, Refusal):
            self._refuse(connection, request, checked, None, now)
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
            refusal = Refusal("NetStream.Publish.Denied", why) if why else None
        if refusal is not None:
            self._refuse(connection, request, refusal, stream, now)
            return
        self._make_way(stream, now)
        if stream in self._streams:
            self._begin(connection, request, self._streams[stream], now)
            return
        request_id = self._next_request()
        self._asks[request_id] = _Ask(request_id, connection, request, stream, now + ASK_TIMEOUT_S)
        is_at_limit = self._admission.is_beyond_limit(connection.host)
        self._tell(PublishAsk(request_id, stream, connection.peer, is_at_limit))

    def media(self, connection: PublishingConnection, events: Sequence[Event], now: float) -> None:
        """What one read brought from a connection that publishes."""
        publisher = self._publishers.get(connection)
        if publisher is None:
            return
        refusal = None
        for event in events:
            refusal = publisher.take(event, now)
            if refusal is not None:
                break
        publisher.stream.end_read(now)
        if publisher.notices:
            self._note(connection, publisher)
        if publisher.waits_s:
            connection.hold_back(publisher.waits_s)
        if refusal is not None:
            self._expel(connection, refusal, now)

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
                self._say(
                    logging.INFO, "publisher lost stream=%s reason=%s", _label(stream), reason
                )
                stream.leave(reason, now)
                self._forget_if_ended(stream)

    def watched(self, stream_id: StreamId) -> None:
        """Somebody begins to play a stream: what its publisher sends waits no more."""
        connection = self._connections.get(stream_id)
        if connection is not None:
            with suppress(ValueError):
                self._unread.remove(connection)
            connection.read_promptly()

    def is_publishing(self, connection: PublishingConnection) -> bool:
        return connection in self._publishers

    # ---- the supervisor -----------------------------------------------------------------------

    def placed(self, message: Placed, now: float) -> None:
        ask = self._asks.get(message.request_id)
        if ask is not None:
            del self._asks[ask.request_id]
            stream = Stream(message, self._surroundings, self._unix_time())
            self._streams[message.stream_id] = stream
            self._say(
                logging.INFO,
                "stream placed stream=%s worker=%s generation=%d reason=%s",
                _label(stream),
                message.worker,
                message.generation,
                message.reason,
            )
            self._begin(ask.connection, ask.request, stream, now)
            return
        known = self._streams.get(message.stream_id)
        if known is not None:
            if message.generation > known.generation:
                self._say(
                    logging.INFO,
                    "stream placed anew stream=%s worker=%s generation=%d reason=%s",
                    _label(known),
                    message.worker,
                    message.generation,
                    message.reason,
                )
            known.place(message)
        elif message.request_id == 0 and self._ask_for(message.stream_id) is None:
            # Moved while it ended. An answer to a request that was given up needs nothing: its
            # `PublishEnd` is on the way.
            self._tell(PublishEnd(message.stream_id, message.generation, "nobody publishes it"))

    def refused_by_supervisor(self, message: Refused, now: float) -> None:
        ask = self._asks.get(message.request_id)
        if ask is not None:
            self._refuse_ask(ask, Refusal(message.code, message.description), now)
            return
        stream = self._streams.get(message.stream_id)
        if stream is not None:
            self._end_for(stream, Refusal(message.code, message.description, lasting=True), now)

    def end_stream(self, message: EndStream, now: float) -> None:
        """The supervisor ends a stream; its publisher is told, and not let in again at once.

        It may be another ingest's stream, whose publisher comes here next.
        """
        refusal = Refusal(message.code, message.description, lasting=True)
        self._memory.remember(message.stream_id, refusal, now)
        stream = self._streams.get(message.stream_id)
        if stream is not None:
            self._end_for(stream, refusal, now)
            return
        ask = self._ask_for(message.stream_id)
        if ask is not None:
            self._refuse_ask(ask, refusal, now)

    def readmit(self, message: Readmit) -> None:
        """The operator lets a stream in again that was refused."""
        self._memory.forget(message.stream_id)

    def revoke(self, message: StreamRevoke, now: float) -> None:
        """A publisher of this stream is at another ingest: the rules are those of a takeover."""
        in_use = self._is_in_use(message.stream_id, now)
        if in_use is not None:
            self._tell(StreamRevoked(message.request_id, message.stream_id, in_use.description))
            return
        self._make_way(message.stream_id, now)
        stream = self._streams.get(message.stream_id)
        if stream is None:
            self._tell(StreamRevoked(message.request_id, message.stream_id))
            return
        kept = stream.kept()
        resume = stream.hand_over("its publisher came to another ingest")
        self._forget_if_ended(stream)
        self._tell(StreamRevoked(message.request_id, message.stream_id, resume_time=resume))
        if kept is not None:
            self._tell(*kept)
        held_bytes = sum(map(len, kept[1])) if kept is not None else 0
        log.info("stream handed over stream=%s bytes=%d", _label(stream), held_bytes)

    def kept(self, message: StreamKept, payloads: Sequence[bytes]) -> None:
        """What another ingest kept of a stream that it handed over, behind its `Placed`."""
        stream = self._streams.get(message.stream_id)
        if stream is None:
            return
        try:
            gop = unpack(message, payloads)
        except EnvelopeError as error:
            log.warning("what was handed over is left stream=%s error=%s", _label(stream), error)
            return
        if stream.go_on_from(gop, message.format):
            log.info("stream goes on stream=%s bytes=%d", _label(stream), gop.held_bytes)

    def peers_changed(self, now: float) -> None:
        for stream in self._streams.values():
            stream.peers_changed(now)

    # ---- time ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Deadlines; every half of `LAZY_S`, with `read_lazily` behind it."""
        for ask in [entry for entry in self._asks.values() if now >= entry.until_s]:
            refusal = Refusal("NetStream.Failed", "the supervisor does not answer; try again")
            self._give_up(ask, "no answer in time")
            self._refuse(ask.connection, ask.request, refusal, ask.stream_id, now)
        self._unread.clear()
        self._is_odd = not self._is_odd
        for connection, publisher in list(self._publishers.items()):
            overdue = publisher.overdue(now)
            if overdue is not None:
                self._expel(connection, overdue, now)
            elif not (may_lie_s := publisher.may_lie_s(now)):
                connection.read_promptly()
            elif may_lie_s < LAZY_S or publisher.is_odd is self._is_odd:
                self._unread.append(connection)
        for stream in list(self._streams.values()):
            stream.tick(now)
            self._forget_if_ended(stream)
        for stream in self._ended:
            stream.tick(now)
        self._ended = [stream for stream in self._ended if not stream.is_over]

    @property
    def unread(self) -> int:
        """How many publishers `read_lazily` is to read before the next tick."""
        return len(self._unread)

    def read_lazily(self, seconds: float, most: int) -> int:
        """Read from so many publishers that nobody plays, for so long; how many it were.

        A wake-up costs a process that is seldom awake more than what it is woken for: its caches
        are cold. So what nobody plays comes in bundles, `LAZY_S` old at most.
        """
        clock = self._surroundings.clock
        until_s = clock() + seconds
        count = 0
        with self._surroundings.peers.one_write_each():
            while self._unread and count < most and clock() < until_s:
                count += 1
                connection = self._unread.popleft()
                if connection in self._publishers:
                    connection.read_lazily()
        return count

    def statuses(self, now: float) -> tuple[PublisherStatus, ...]:
        return tuple(stream.status(now) for stream in self._streams.values())

    def close(self, reason: str, now: float) -> None:
        """End everything: publishers are told, players too, by egress."""
        for ask in list(self._asks.values()):
            self._give_up(ask, reason)
            refusal = Refusal("NetStream.Failed", reason)
            self._refuse(ask.connection, ask.request, refusal, ask.stream_id, now)
        for connection in list(self._publishers):
            self._take(connection)
            connection.end_publish("status", STOPPED, reason)
        for stream in list(self._streams.values()):
            self._end(stream, reason)

    # ---- inside -------------------------------------------------------------------------------

    def _say(self, level: int, what: str, *fields: object) -> None:
        """Log an event of a stream, at a limited rate."""
        held_back = self._log_events.allow(self._surroundings.clock())
        if held_back is not None:
            more = f" ({held_back} more held back)" if held_back else ""
            log.log(level, f"{what}%s", *fields, more)

    def _note(self, connection: PublishingConnection, publisher: Publisher) -> None:
        label = _label(publisher.stream)
        for text in publisher.notices:
            self._say(
                logging.WARNING, "publisher stream=%s peer=%s %s", label, connection.peer, text
            )
        publisher.notices.clear()

    def _next_request(self) -> int:
        self._last_request += 1
        return self._last_request

    def _check(self, request: PublishRequested) -> StreamId | Refusal:
        """What the address, the template and its keys have to say."""
        try:
            address = parse_publish(request.app, request.tc_url, request.name)
        except AddressError as error:
            return Refusal("NetStream.Publish.BadName", str(error))
        template = self.settings.template(address.app)
        if template is None:
            return Refusal("NetStream.Publish.Denied", f"there is no app {address.app!r} here")
        return self._check_key(address, template)

    def _check_key(self, address: Address, template: Template) -> StreamId | Refusal:
        if not is_key_allowed(template.publish_keys, address.query.get("key", "")):
            said = "wrong" if "key" in address.query else "missing"
            return Refusal(
                "NetStream.Publish.Denied", f"the publish key (?key=...) of {address.app} is {said}"
            )
        return stream_id(address.app, address.key)

    def _is_in_use(self, stream: StreamId, now: float) -> Refusal | None:
        """Whether a publisher is there that does not make way."""
        in_use = Refusal("NetStream.Publish.BadName", "the stream key is in use")
        if self._ask_for(stream) is not None:
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
        self._say(
            logging.INFO, "publisher replaced stream=%s reason=%s", _label(publisher.stream), reason
        )
        publisher.stream.leave(reason, now)
        self._forget_if_ended(publisher.stream)
        connection.end_publish("error", "NetStream.Publish.BadName", reason)

    def _begin(
        self,
        connection: PublishingConnection,
        request: PublishRequested,
        stream: Stream,
        now: float,
    ) -> None:
        self._begun += 1
        is_odd = self._begun % 2 == 1
        self._publishers[connection] = Publisher(stream, self.settings.ingest, now, is_odd)
        self._connections[stream.stream_id] = connection
        stream.arrive(connection.peer, now)
        connection.accept_publish(request.request_id)
        self._say(
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
        for ask in self._asks.values():
            if ask.connection is connection:
                self._give_up(ask, "its publisher left")
                return True
        return False

    def _ask_for(self, stream: StreamId) -> _Ask | None:
        for ask in self._asks.values():
            if ask.stream_id == stream:
                return ask
        return None

    def _give_up(self, ask: _Ask, reason: str) -> None:
        """Nobody waits for this answer any more; what it may reserve is given back."""
        del self._asks[ask.request_id]
        self._admission.release_publish(ask.connection.host)
        self._tell(PublishEnd(ask.stream_id, Generation(0), reason))

    def _refuse_ask(self, ask: _Ask, refusal: Refusal, now: float) -> None:
        del self._asks[ask.request_id]
        self._admission.release_publish(ask.connection.host)
        self._refuse(ask.connection, ask.request, refusal, ask.stream_id, now)

    def _expel(self, connection: PublishingConnection, refusal: Refusal, now: float) -> None:
        """Close a publisher; what it published is held only if it may be back with better."""
        publisher = self._take(connection)
        if publisher is None:
            return
        stream = publisher.stream
        self._say(
            logging.WARNING,
            "publisher closed stream=%s peer=%s code=%s reason=%s",
            _label(stream),
            connection.peer,
            refusal.code,
            refusal.description,
        )
        if refusal.lasting:
            self._memory.remember(stream.stream_id, refusal, now)
            self._end(stream, refusal.description)
        else:
            stream.leave(refusal.description, now)
            self._forget_if_ended(stream)
        connection.end_publish("error", refusal.code, refusal.description)

    def _end_for(self, stream: Stream, refusal: Refusal, now: float) -> None:
        """End a stream and its publisher, if it has one, for the same reason."""
        self._memory.remember(stream.stream_id, refusal, now)
        connection = self._connections.get(stream.stream_id)
        if connection is not None:
            self._expel(connection, refusal, now)
        else:
            self._end(stream, refusal.description)

    def _end(self, stream: Stream, reason: str) -> None:
        self._say(logging.INFO, "stream ended stream=%s reason=%s", _label(stream), reason)
        stream.end(reason)
        self._forget_if_ended(stream)

    def _forget_if_ended(self, stream: Stream) -> None:
        if stream.state is StreamState.ENDED:
            del self._streams[stream.stream_id]
            self._ended.append(stream)

    def _refuse(
        self,
        connection: PublishingConnection,
        request: PublishRequested,
        refusal: Refusal,
        stream: StreamId | None,
        now: float,
    ) -> None:
        self.refused += 1
        held_back = self._log_refusals.allow(now)
        if held_back is not None:
            log.warning(
                "publish refused stream=%s peer=%s code=%s reason=%s%s",
                stream_label(stream) if stream is not None else "?",
                connection.peer,
                refusal.code,
                refusal.description,
                f" ({held_back} more like it)" if held_back else "",
            )
        connection.refuse_publish(request.request_id, refusal.code, refusal.description)


def _label(stream: Stream) -> str:
    return stream_label(stream.stream_id)
