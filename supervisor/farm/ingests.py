"""Streams as their ingests come and go, and report what they have. Pure.

An ingest that is lost takes its connections along, not the streams: their players are held, and
their room is kept, for as long as their template holds a stream whose publisher is away.
"""

import math
from collections.abc import Sequence

from common.ipc.control_messages import GopTransfer, Hello, IngestLost, PublishEnd
from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import PublisherStatus
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Stream, WithoutIngest

UNLISTED_GRACE_S = 15.0  # from a placement to its ingest's heartbeat naming the stream


class Ingests:
    """Keeps the streams in step with the ingests that have them."""

    def __init__(self, state: FarmState) -> None:
        self._state = state

    def next_deadline(self) -> float:
        presences = (stream.presence for stream in self._state.streams.values())
        lost = (p.until_s for p in presences if isinstance(p, WithoutIngest))
        return min(lost, default=math.inf)

    def tick(self, now: float) -> list[Action]:
        """End the streams whose publisher did not come back."""
        gone = [
            stream
            for stream in self._state.streams.values()
            if isinstance(stream.presence, WithoutIngest) and now >= stream.presence.until_s
        ]
        for stream in gone:
            self._state.note(stream.stream_id, "ended: its publisher did not come back", now)
            self._state.close(stream, "its ingest was lost, and its publisher did not come back")
            self._state.has_freed = True
        return []

    def up(self, hello: Hello, now: float) -> list[Action]:
        """Its hello names all that it has."""
        state = self._state
        actions: list[Action] = []
        publishers = [status for status in hello.publishers if not status.forwarded_to]
        listed = {status.stream_id for status in publishers}
        for stream in state.of_ingest(hello.child):
            if stream.stream_id not in listed:
                state.close(stream)
        for status in publishers:
            known = state.streams.get(status.stream_id)
            if known is None:
                state.adopt(hello.child, status, now)
            elif known.generation > status.generation:
                actions.append(state.announce(known))  # it did not get that one
        return actions

    def down(self, ingest: ChildId, reason: str, now: float) -> list[Action]:
        """An ingest is gone, with all its connections."""
        streams = self._state.of_ingest(ingest)
        return [action for stream in streams for action in self._lost(stream, reason, now)]

    def _lost(self, stream: Stream, reason: str, now: float) -> list[Action]:
        """Its ingest is gone: end it at its worker, hold its players, keep its room meanwhile."""
        state = self._state
        text = f"its ingest is lost: {reason}"
        state.note(stream.stream_id, text, now)
        # one without a format was never open: there is nobody to hold
        hold_ms = stream.template.hold_ms if stream.format is not None else 0
        message = IngestLost(stream.stream_id, stream.generation, text, hold_ms)
        peers = sorted(state.tag_receivers)
        device = state.device_of(stream)
        if device is not None:
            peers.append(device)
        if hold_ms:
            stream.lose_ingest(now)
        else:
            state.close(stream, text)
        return [Send(peer, message) for peer in peers]

    def close_unlisted(
        self, ingest: ChildId, publishers: Sequence[PublisherStatus], now: float
    ) -> bool:
        """Give back the room of streams that their ingest does not know (a lost message)."""
        state = self._state
        listed: set[StreamId] = {status.stream_id for status in publishers}
        grace_s = UNLISTED_GRACE_S + state.settings.ingest.first_video_timeout_s
        gone = [
            stream
            for stream in state.of_ingest(ingest)
            if stream.stream_id not in listed and now - stream.placed_s > grace_s
        ]
        for stream in gone:
            state.note(stream.stream_id, "closed: its ingest does not know it", now)
            state.close(stream, "its ingest does not know it")
        return bool(gone)

    def publish_end(self, ingest: ChildId, end: PublishEnd, now: float) -> bool:
        """An ingest gives a stream up; whether it was its."""
        state = self._state
        state.summaries.on_end(ingest, end, now)
        stream = state.streams.get(end.stream_id)
        # An end may cross a new placement on its way: what ended is the stream, not the placement.
        if stream is None or stream.ingest != ingest or end.generation > stream.generation:
            return False
        state.note(end.stream_id, f"ended: {end.reason}", now)
        state.close(stream)
        return True

    def pass_on(self, ingest: ChildId, gop: GopTransfer, payloads: Sequence[bytes]) -> list[Action]:
        """What one ingest kept of a stream goes to the one that has been given it."""
        stream = self._state.streams.get(gop.stream_id)
        if stream is None or stream.ingest == ingest or gop.generation >= stream.generation:
            return []
        return [Send(stream.ingest, gop, payloads)]
