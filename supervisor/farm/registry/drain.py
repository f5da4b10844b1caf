"""Streams that go on at other hosts, since this one is drained. Pure.

Rule: *a stream whose publisher came here is cut at a keyframe, and its publisher is forwarded from
there on; one whose publisher another host has is that host's to take away (`leaving.py`), and ends
here if it does not.* A host is chosen for each as for a new stream, and takes over its claim. A
stream that no host has room for stays.
"""

from math import inf
from typing import Final

from common.access.refusal import Refusal, RefusalReason
from common.ipc.cluster_messages import ClusterView
from common.ipc.control_messages import EndStream, PublishRequest
from common.ipc.identity import StreamId
from supervisor.farm.actions import Action, Send
from supervisor.farm.registry.forwards import Forwards
from supervisor.farm.registry.host_choice import HostChoices, units_for
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Stream

AGAIN_S: Final = 12.0  # after an attempt that came to nothing: a GOP may take 10 s
LEAVE_S: Final = 3.5  # for the publisher's host to claim a stream that it forwards here
LOOK_S: Final = 1.0
HANDOVER_MS: Final = 10_000


class HostDrain:
    """Those of one farm."""

    def __init__(self, state: FarmState, forwards: Forwards, choices: HostChoices) -> None:
        self._state = state
        self._forwards = forwards
        self._choices = choices
        self._until_s: dict[StreamId, float] = {}  # by stream that is on its way
        self._left: set[StreamId] = set()  # of those: to their publishers' hosts
        self._look_s = inf

    def is_moving(self, stream_id: StreamId) -> bool:
        """Tell if a stream is on its way to another host."""
        return stream_id in self._until_s

    def claimed(self, stream_id: StreamId, now: float) -> None:
        """Another host has claimed it: it goes there at its next keyframe."""
        if stream_id in self._left:
            self._left.discard(stream_id)
            self._until_s[stream_id] = now + AGAIN_S

    def next_deadline(self) -> float:
        return self._look_s

    def tick(
        self, view: ClusterView | None, epochs: dict[StreamId, int], now: float, *, is_on: bool
    ) -> list[Action]:
        """Have streams move that can; `epochs` are those of this host's claims."""
        if now < self._look_s < inf or (not is_on and self._look_s == inf):
            return []
        self._look_s = now + LOOK_S if is_on else inf
        streams = self._state.streams
        self._left &= streams.keys() if is_on else set()
        self._until_s = {
            name: s for name, s in self._until_s.items() if s > now and name in streams and is_on
        }
        if not is_on or view is None or not view.is_in_touch:
            return []
        actions: list[Action] = []
        for stream in tuple(streams.values()):
            if (
                stream.is_live
                and stream.format is not None
                and not self.is_moving(stream.stream_id)
            ):
                actions += self._move(stream, view, epochs.get(stream.stream_id, 0), now)
        return actions

    def _move(self, stream: Stream, view: ClusterView, epoch: int, now: float) -> list[Action]:
        publisher, stream_id = stream.publisher, stream.stream_id
        if publisher is None:
            return []
        was_left = stream_id in self._left
        self._left.discard(stream_id)
        self._until_s[stream_id] = now + AGAIN_S
        if publisher.by_host and not was_left:
            self._left.add(stream_id)
            self._until_s[stream_id] = now + LEAVE_S
            return []
        host = self._choices.choose(view.hosts, units_for(stream.template, stream.format), now)
        if host is None:
            return []
        if publisher.by_host:
            refusal = Refusal(RefusalReason.FULL, "the host that has the stream is being drained")
            return [Send(stream.ingest, EndStream(stream_id, refusal, HANDOVER_MS))]
        overrides, who = publisher.overrides, stream.owner
        request = PublishRequest(0, stream_id, stream.address, False, who, overrides)
        place = host.name, host.relay
        self._forwards.forget(stream.ingest, stream_id)
        return self._forwards.to(
            stream.ingest, request, place, replaces=epoch, is_cut=True, now=now
        )
