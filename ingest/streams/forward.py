"""Publishers whose streams other hosts have: their way there, from the request to the end. Pure.

A publisher's connection stays here, and its stream is where its owner is: what crosses is units
with their times. The owner's ingest decides by its takeover rules and limits, and its refusals are
told to the publisher in its words. A way that breaks ends no publisher: the supervisor says which
host is next, or that the stream goes on here; with the headers, the last GOP and the time that are
kept here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import GopTransfer, Placement, PublishEnd
from common.ipc.forward_messages import ForwardAsk, ForwardLost, ForwardTo
from common.ipc.identity import StreamId, split_stream_id
from common.ipc.unit_messages import (
    Judged,
    PublishAccepted,
    PublishAsk,
    PublishCutOff,
    PublishFinished,
    PublishHeldBack,
    PublishRefused,
    PublishTimed,
)
from common.ipc.unit_ways import Answer, UnitPublisher, Way, Ways
from common.media.clock import ResumeTime
from common.media.units import Data
from ingest.streams.publish_requests import Report
from ingest.streams.stream import Stream

if TYPE_CHECKING:
    from ingest.streams.registry import Streams

LEAD_S: Final = 0.3  # before a keyframe, for a host to take the stream that is cut there
MAX_WAIT_S: Final = 11.0
REPORT_AGAIN_S: Final = 3.0  # that a way is lost, while nothing comes of it


class _NoWays:
    """Those of an ingest whose farm has no relay."""

    def ask(
        self,
        publisher: UnitPublisher,
        stream: str,
        make: Callable[[int], PublishAsk | ForwardAsk],
        payloads: Sequence[Data] = (),
    ) -> Way | None:
        return None


NO_WAYS: Final = _NoWays()


class Forward:
    """The way of one publisher to one host."""

    def __init__(self, forwards: "Forwards", message: ForwardTo) -> None:
        self.host = message.host
        self.generation = message.generation
        self.message = message
        self.offset_ms = 0  # stream time there less stream time here
        self.epoch_ms: int | None = None  # Unix time at stream time 0 there
        self.way: Way | None = None
        self.lost_s: float | None = None  # when the supervisor was told so last
        self.due_s: float | None = None  # when the host is to be asked
        self._forwards = forwards

    def on_answer(self, answer: Answer, /) -> None:
        """The host says something of it."""
        self._forwards.answered(self, answer)

    def on_cut_off(self, reason: str, /) -> None:
        """The relay of this host is gone."""
        self._forwards.cut_off(self, reason, is_here=True)

    def over(self, reason: str, *, is_meant: bool, goes_on: bool = False) -> None:
        """The publisher is gone, or its stream goes on elsewhere."""
        way, self.way = self.way, None
        if way is not None:
            way.over(reason, is_meant=is_meant, goes_on=goes_on)


class Forwards:
    """All of one ingest."""

    def __init__(
        self, streams: "Streams", ways: Ways, report: Report, clock: Callable[[], float]
    ) -> None:
        self._streams = streams
        self._ways = ways
        self._report = report
        self._clock = clock

    # ---- the supervisor -----------------------------------------------------------------------

    def forward(self, message: ForwardTo, now: float) -> None:
        """Ask that host to take a publisher, who waits here or is to go on there."""
        stream_id, generation = message.stream_id, message.generation
        queued = self._streams.requests.get(message.request_id)
        stream = self._streams.get(stream_id) if not message.request_id else None
        if queued is None and message.is_cut:
            self._cut(Forward(self, message), stream, now)
            return
        if queued is None and (stream is None or stream.forward is None):
            self._report(PublishEnd(stream_id, generation, "nobody publishes it"))
            return
        forward = Forward(self, message)
        if queued is not None:
            self._streams.requests.queued(message.request_id, 0.0, now)  # its time begins again
            judged = Judged(queued.credentials, queued.overrides, message.replaces)
            ask = _asking(stream_id, queued.connection.peer, judged)
            self._ask(forward, ask, ())
            return
        connection = self._streams.publisher_of(stream_id)
        if stream is None or stream.forward is None or connection is None:
            return  # it ends just now
        stream.forward.lost_s = now
        stream.next_forward = forward
        resume = stream.resume_time()
        transfer = stream.transfer() if resume is not None else None
        gop, payloads = transfer if transfer is not None else (None, [])
        judged = Judged(stream.owner, stream.overrides, message.replaces)
        ask = _asking(stream_id, connection.peer, judged, resume, gop)
        self._ask(forward, ask, payloads)

    def _cut(self, forward: Forward, stream: Stream | None, now: float) -> None:
        """Have a stream go on at another host than it is at, from a keyframe on."""
        connection = self._streams.publisher_of(forward.message.stream_id)
        if stream is None or connection is None:
            return  # it has ended, or its publisher is away
        resume = stream.resume_time()
        if resume is None or stream.next_forward not in (None, forward):
            return
        stream.next_forward = forward
        wait_s = stream.until_key_s(now) - LEAD_S
        if 0 < wait_s < MAX_WAIT_S and forward.due_s is None:
            forward.due_s = now + wait_s  # players elsewhere go there as soon as it has the stream
            return
        judged = Judged(stream.owner, stream.overrides, forward.message.replaces)
        self._ask(forward, _asking(stream.stream_id, connection.peer, judged, resume), ())

    def _ask(
        self, forward: Forward, ask: Callable[[int], PublishAsk], payloads: Sequence[Data]
    ) -> None:
        message = forward.message
        forward.way = self._ways.ask(
            forward,
            message.stream_id,
            lambda number: ForwardAsk(number, message.host, message.relay, ask(number)),
            payloads,
        )
        if forward.way is None:
            self.cut_off(forward, "this host's relay is not there", is_here=True)

    # ---- the other host -----------------------------------------------------------------------

    def answered(self, forward: Forward, answer: Answer) -> None:
        """The host says something of a publisher."""
        now, message = self._clock(), forward.message
        stream = self._streams.get(message.stream_id)
        if isinstance(answer, PublishCutOff):
            self.cut_off(forward, answer.reason)
        elif stream is not None and stream.forward is forward:
            self._answered_open(forward, stream, answer, now)
        elif isinstance(answer, PublishAccepted) and message.request_id:
            self._begin(forward, answer, now)
        elif isinstance(answer, PublishAccepted):
            self._go_on(forward, stream)
        elif isinstance(answer, PublishRefused):
            self._refused(forward, stream, answer.refusal, now)

    def cut_off(self, forward: Forward, reason: str, *, is_here: bool = False) -> None:
        """The way is gone, or did not come to be: the supervisor says what is next.

        `is_here`: this host's relay is gone, and perhaps nothing else.
        """
        message, forward.way = forward.message, None
        stream = self._streams.get(message.stream_id)
        is_open = stream is not None and stream.forward is forward
        is_next = stream is not None and stream.next_forward is forward
        if stream is not None and is_open:
            forward.lost_s = self._clock()
            stream.forward_by(None)
            self._streams.log.info(
                "way to a host lost", message.stream_id, "host=%s reason=%s", forward.host, reason
            )
        elif stream is not None and is_next:
            stream.next_forward = stream.media.before_key = None
        is_waiting = self._streams.requests.get(message.request_id) is not None
        if is_open or is_next or is_waiting:
            request_id = 0 if is_open else message.request_id
            who = request_id, message.stream_id, forward.generation
            self._report(ForwardLost(*who, reason, is_here=is_here))

    def tick(self, stream: Stream, now: float) -> None:
        """Say again that a way is lost: the supervisor may be another one; ask what is due."""
        following, forward = stream.next_forward, stream.forward
        if following is not None and following.due_s is not None and now >= following.due_s:
            self._cut(following, stream, now)
            following.due_s = None
        if forward is None or forward.lost_s is None or now - forward.lost_s < REPORT_AGAIN_S:
            return
        forward.lost_s = now
        reason = f"host {forward.host} cannot be reached"
        self._report(ForwardLost(0, stream.stream_id, forward.generation, reason))

    # ---- inside -------------------------------------------------------------------------------

    def _begin(self, forward: Forward, accepted: PublishAccepted, now: float) -> None:
        """The host takes a publisher that waits here: let it publish."""
        message = forward.message
        queued = self._streams.requests.answered(message.request_id)
        if queued is None:
            forward.over("its publisher left", is_meant=False)
            return
        placed = Placement(
            message.request_id,
            message.stream_id,
            message.generation,
            message.template,
            None,
            (),
            f"host {message.host} has it",
        )
        if accepted.reference is not None:
            end_ms = accepted.end_ms if accepted.end_ms is not None else 0
            placed = replace(placed, resume_time=ResumeTime(accepted.reference, end_ms))
        stream = self._streams.add(placed, queued.overrides, forward)
        self._streams.log.info("stream forwarded", stream.stream_id, "host=%s", message.host)
        who = queued.credentials
        self._streams.begin(queued.connection, queued.attempt, stream, who, now)

    def _refused(
        self, forward: Forward, stream: Stream | None, refusal: Refusal, now: float
    ) -> None:
        """The host does not take a publisher; where it has no room, another one may have some."""
        message = forward.message
        queued = self._streams.requests.get(message.request_id)
        is_next = stream is not None and stream.next_forward is forward
        if queued is None and not is_next:
            return
        if stream is not None and is_next:
            stream.next_forward = None
        if refusal.reason is RefusalReason.FULL or message.is_cut:
            who = message.request_id, message.stream_id, message.generation
            self._report(ForwardLost(*who, f"host {message.host} is full", refusal))
        elif queued is not None:
            self._streams.refuse_queued(queued, refusal, now)
        elif stream is not None:
            self._streams.end_for(stream, refusal, now)

    def _go_on(self, forward: Forward, stream: Stream | None) -> None:
        """Another host takes a publisher whose owner is lost."""
        if stream is None or stream.next_forward is not forward:
            forward.over("its publisher left", is_meant=False)
            return
        if stream.forward is None or (forward.message.is_cut and stream.forward.way is not None):
            stream.cut_to(forward)
        else:
            stream.forward_by(forward)
        self._streams.log.info(
            "stream goes on elsewhere", stream.stream_id, "host=%s", forward.host
        )

    def _answered_open(self, forward: Forward, stream: Stream, answer: Answer, now: float) -> None:
        match answer:
            case PublishTimed(_, stamp_ms, stream_ms, epoch_ms):
                forward.offset_ms, forward.epoch_ms = stream_ms - stamp_ms, epoch_ms
            case PublishHeldBack(_, seconds):
                connection = self._streams.publisher_of(stream.stream_id)
                if connection is not None:
                    connection.hold_back(seconds)
            case PublishRefused(_, refusal) if refusal.reason is RefusalReason.FULL:
                self.cut_off(forward, refusal.words)  # it is drained
            case PublishRefused(_, refusal):
                forward.way = None
                self._streams.end_for(stream, refusal, now)
            case PublishFinished(_, reason):
                forward.way = None
                self._streams.finish(stream, reason)


def _asking(
    stream_id: StreamId,
    peer: str,
    judged: Judged,
    resume: ResumeTime | None = None,
    gop: GopTransfer | None = None,
) -> Callable[[int], PublishAsk]:
    app, key = split_stream_id(stream_id)
    return lambda number: PublishAsk(
        number, app, key, peer, "relay", judged=judged, resume=resume, gop=gop
    )
