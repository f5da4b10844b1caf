"""What the supervisor sends about an ingest's streams: placements, refusals, ends, handovers.

One method a message. Pure but for the reports it sends; `now` is CLOCK_MONOTONIC in seconds.
"""

from collections.abc import Sequence
from dataclasses import replace

from common.access.refusal import RefusalReason
from common.errors import EnvelopeError
from common.ipc.capture_messages import CaptureStream, CaptureWritten
from common.ipc.control_messages import (
    BanList,
    EndStream,
    GopTransfer,
    Placement,
    PublishEnd,
    Readmit,
    Refused,
    RequestQueued,
    StreamRevoke,
    StreamRevoked,
    SwitchPublisher,
)
from common.ipc.forward_messages import ForwardTo
from common.ipc.hook_messages import HookAnswer
from ingest.streams.backup_rules import PublisherRole, Wanted
from ingest.streams.captures import CaptureResult
from ingest.streams.gop_transfer import unpack
from ingest.streams.publish_requests import Report
from ingest.streams.registry import Streams


class SupervisorMessages:
    """Does what they ask for on the streams of one ingest."""

    def __init__(self, streams: Streams, report: Report) -> None:
        self._streams = streams
        self._report = report

    def placed(self, message: Placement, now: float) -> None:
        queued = self._streams.requests.answered(message.request_id)
        if queued is not None:
            resume = queued.attempt.resume
            if resume is not None and message.resume_time is None:
                message = replace(message, resume_time=resume.time)
            stream = self._streams.add(message, queued.overrides)
            self._streams.log.info(
                "stream placed",
                stream.stream_id,
                "worker=%s generation=%d reason=%s",
                message.worker,
                message.generation,
                message.reason,
            )
            who = queued.credentials
            self._streams.begin(queued.connection, queued.attempt, stream, who, now)
            if resume is not None and message.resume_time is resume.time:
                stream.go_on_from(resume.gop, resume.format)
            return
        known = self._streams.get(message.stream_id)
        if known is not None:
            if message.generation > known.generation:
                self._streams.log.info(
                    "stream placed anew",
                    known.stream_id,
                    "worker=%s generation=%d reason=%s",
                    message.worker,
                    message.generation,
                    message.reason,
                )
            known.place(message)
        elif message.request_id == 0 and self._streams.requests.of(message.stream_id) is None:
            # Moved while it ended. An answer to a request that was given up needs nothing: its
            # `PublishEnd` is on the way.
            self._report(PublishEnd(message.stream_id, message.generation, "nobody publishes it"))

    def forward_to(self, message: ForwardTo, now: float) -> None:
        """Another host has the stream: its publisher's units go there."""
        self._streams.forwards.forward(message, now)

    def queued(self, message: RequestQueued, now: float) -> None:
        """A request waits for room, longer perhaps than an answer may take."""
        self._streams.requests.queued(message.request_id, message.wait_s, now)

    def refused_by_supervisor(self, message: Refused, now: float) -> None:
        queued = self._streams.requests.answered(message.request_id)
        if queued is not None:
            self._streams.refuse_queued(queued, message.refusal, now)
            return
        stream = self._streams.get(message.stream_id)
        if stream is not None:
            # Whether there is room for its next attempt is for the supervisor to say.
            is_lasting = message.refusal.reason is not RefusalReason.FULL
            self._streams.end_for(stream, replace(message.refusal, is_lasting=is_lasting), now)

    def end_stream(self, message: EndStream, now: float) -> None:
        """The supervisor ends a stream; its publisher is closed, and may not be let in at once.

        It may be another ingest's stream, whose publisher comes here next.
        """
        refusal = message.refusal
        if refusal.is_lasting:  # one that is not here may come next
            self._streams.memory.remember(message.stream_id, refusal, now)
        stream = self._streams.get(message.stream_id)
        if stream is not None:
            self._streams.end_for(stream, refusal, now, message.hold_ms)
            return
        queued = self._streams.requests.of(message.stream_id)
        if queued is not None:
            self._streams.requests.answered(queued.request_id)
            self._streams.refuse_queued(queued, refusal, now)

    def ban(self, message: BanList, now: float) -> None:
        """The operator keeps these out from now on; what they have here ends."""
        streams, bans = self._streams, self._streams.bans
        bans.replace(message.bans)
        for stream, connection in streams.all():
            last = stream.owner.address.partition("/")[0]  # of one that is away
            host = connection.host if connection is not None else last
            refusal = bans.refusal(host, stream.stream_id)
            if refusal is not None:
                streams.end_for(stream, refusal, now)
        for queued in streams.requests.all():
            refusal = bans.refusal(queued.connection.host, queued.stream_id)
            if refusal is not None:
                streams.refuse_queued(queued, refusal, now)

    def hook_answered(self, message: HookAnswer, now: float) -> None:
        """A hook says what becomes of one who asked to publish."""
        self._streams.entrance.answered(message.request_id, message.verdict, now)

    def operated(self, message: SwitchPublisher | Readmit) -> None:
        """The operator, or a rule of his, says something about a stream."""
        if isinstance(message, Readmit):
            self.readmit(message)
        else:
            self.switch(message)

    def switch(self, message: SwitchPublisher) -> None:
        """A stream is to be of its other publisher, or of either by the rules."""
        wanted = None
        if message.role:
            role = PublisherRole(message.role)
            wanted = Wanted(role, message.reason, is_lasting=message.is_lasting)
        why_not = self._streams.standbys.want(message.stream_id, wanted)
        if why_not:
            self._streams.log.warning(
                "publisher not switched", message.stream_id, "reason=%s", why_not
            )

    def readmit(self, message: Readmit) -> None:
        """The operator lets a stream in again that was refused."""
        self._streams.memory.forget(message.stream_id)

    def capture(self, message: CaptureStream) -> None:
        """Write what a publisher sent lately; who asked for it is told what became of that."""
        captures = self._streams.captures
        if message.request_id == 0:
            captures.write(message.stream_id, message.reason)
            return

        def report(result: CaptureResult) -> None:
            self._report(
                CaptureWritten(
                    message.request_id,
                    message.stream_id,
                    result.path,
                    result.size_bytes,
                    result.seconds,
                    result.error,
                )
            )

        captures.ask(message.stream_id, message.reason, message.headers_only, report)

    def revoke(self, message: StreamRevoke, now: float) -> None:
        """A publisher of this stream is at another ingest: the rules are those of a takeover."""
        in_use = self._streams.is_in_use(message.stream_id, message.credentials, now)
        if in_use is not None:
            self._report(StreamRevoked(message.request_id, message.stream_id, in_use))
            return
        newcomer = message.credentials.address or "another ingest"
        self._streams.make_way(message.stream_id, newcomer, now)
        stream = self._streams.get(message.stream_id)
        if stream is None:
            self._report(StreamRevoked(message.request_id, message.stream_id))
            return
        transfer = stream.transfer()
        resume = stream.hand_over("its publisher came to another ingest")
        self._streams.forget_if_ended(stream)
        self._report(StreamRevoked(message.request_id, message.stream_id, resume_time=resume))
        if transfer is not None:
            self._report(*transfer)
        size = sum(map(len, transfer[1])) if transfer is not None else 0
        self._streams.log.info("stream handed over", stream.stream_id, "bytes=%d", size)

    def take_over(self, message: GopTransfer, payloads: Sequence[bytes]) -> None:
        """Take what another ingest had of a stream that it handed over, behind its `Placement`."""
        stream = self._streams.get(message.stream_id)
        if stream is None:
            return
        try:
            gop = unpack(message, payloads)
        except EnvelopeError as error:
            self._streams.log.warning(
                "stream goes on without its last pictures", stream.stream_id, "error=%s", error
            )
            return
        if stream.go_on_from(gop, message.format):
            self._streams.log.info("stream goes on", stream.stream_id, "bytes=%d", gop.size_bytes)
