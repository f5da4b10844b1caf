"""Streams that get another session while the one they have runs. Pure.

Drains and rebalancing have them go to another device. A source that has turned (a phone) gets a new
session where it is, since its ladder was fitted to what the source was before.

A migration is a new generation with a splice point: a stream time ahead, on the grid of keyframes.
Ingest feeds both workers until then. The new one starts at the last GOP and shows nothing before
the splice point, the old one nothing from it on; so players get every picture once. A stream takes
its new room, and gives up its old, at once: until the splice point the new worker only decodes.

A drained device keeps what finds no room elsewhere; that is tried again whenever room comes. A GOP
that is longer than ingest keeps gives a new worker nothing to begin with: such a stream moves soon
after a keyframe, and waits for it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import PublisherStatus
from supervisor.farm.actions import Action
from supervisor.farm.devices import Devices
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Stream
from supervisor.placement.fleet import Fleet, NoRoom, Room, fullness, move_while_running

LEAD_MS = 700  # to open a session and have it decode up to now …
MAX_REPLAY_MS = 10_000  # … with half of the last GOP's length for that, as ingest keeps it
SETTLE_S = 1.5  # after a splice point: by then the old session has ended
REPORT_S = 0.25  # then look again what ingest has reported of a stream


@dataclass(frozen=True, slots=True)
class NotYet:
    """It cannot move at this moment, with the reason for people."""

    reason: str


class Migration:
    """Decides on migrations; the facts are the farm state's."""

    def __init__(self, state: FarmState, devices: Devices) -> None:
        self._state = state
        self._devices = devices
        self.stuck: dict[StreamId, str] = {}  # on drained devices, and why they are still there
        self.later: set[StreamId] = set()  # those of them that will need no room, but time
        self._look_again_s = math.inf  # at these

    def next_deadline(self) -> float:
        """When a stream of a drained device that could not move for a while may be able to."""
        waiting = (s.settles_s for s in self._to_move() if s.stream_id not in self.stuck)
        return min(self._look_again_s, min(waiting, default=math.inf))

    def drain(self, devices: Iterable[ChildId], now: float) -> list[Action]:
        """They take nothing more, and what they have moves away as far as there is room."""
        for device in devices:
            self._devices.drain(device)
        return self.retry(now)

    def undrain(self, device: ChildId) -> None:
        self._devices.drain(device, is_drained=False)
        for stream in self._state.on_device(device):
            self.stuck.pop(stream.stream_id, None)
            self.later.discard(stream.stream_id)

    def retry(self, now: float) -> list[Action]:
        """Room may have come: move what is still on drained devices."""
        return self._try(self._to_move(), {}, now)

    def tick(self, now: float) -> list[Action]:
        """Time has passed: move what needed no more than that, among many that need room."""
        if now < self.next_deadline():
            return []
        stuck = {name: why for name, why in self.stuck.items() if name not in self.later}
        due = [stream for stream in self._to_move() if stream.stream_id not in stuck]
        return self._try(due, stuck, now)

    def _try(
        self, streams: Iterable[Stream], stuck: dict[StreamId, str], now: float
    ) -> list[Action]:
        """Move these; `stuck` are those that stay where they are without another try."""
        actions: list[Action] = []
        self.later.clear()
        self._look_again_s = math.inf
        for stream in streams:
            if now < stream.settles_s:
                continue
            moved = self.move(stream, now)
            if isinstance(moved, NotYet):
                self.later.add(stream.stream_id)
                self._look_again_s = now + REPORT_S
            if isinstance(moved, NoRoom | NotYet):
                stuck[stream.stream_id] = moved.reason
                if self.stuck.get(stream.stream_id) != moved.reason:
                    self._state.note(stream.stream_id, f"cannot move: {moved.reason}", now)
            else:
                actions += moved
        self.stuck = stuck
        return actions

    def move(
        self, stream: Stream, now: float, only: ChildId | None = None
    ) -> list[Action] | NoRoom | NotYet:
        """Move a stream off its device, to any other or to the one named.

        One whose time ingest has not reported yet waits until it has: players may see it already.
        """
        state = self._state
        if state.is_adopting:
            return NotYet("what else runs is not known yet")
        publisher = stream.publisher
        if stream.format is not None and publisher is None:
            stream.settle_until(now + REPORT_S)
            return []
        if stream.format is not None and publisher is not None and not publisher.can_move:
            return NotYet(
                "its last keyframe is too long ago to begin with; it moves after the next"
            )
        here = state.device_of(stream)
        exclude = state.excluded(stream)
        if here is not None:
            exclude[here] = ""
        if only is not None:
            exclude |= {name: "" for name in state.fleet.devices if name != only}
        need = replace(state.need(stream), policy=stream.transcoding_policy())
        result = move_while_running(state.fleet, stream.generation, need, exclude)
        if isinstance(result, NoRoom):
            return result
        self._put(stream, result, "moved", now)
        if stream.format is None or publisher is None:
            return [state.announce(stream)]  # nothing of it can have reached a player
        return [self._splice(stream, publisher, now)]

    def renew(self, stream: Stream, now: float) -> list[Action]:
        """Give a stream a new session where it is, with the ladder that its source has by now.

        Without room for that, or at a bad moment, it stays as it is.
        """
        state, publisher = self._state, stream.publisher
        here = state.device_of(stream)
        if (
            here is None
            or publisher is None
            or not publisher.can_move
            or state.is_adopting
            or now < stream.settles_s
        ):
            return []
        exclude = {name: "" for name in state.fleet.devices if name != here}
        need = replace(state.need(stream), policy=stream.transcoding_policy())
        result = move_while_running(state.fleet, stream.generation, need, exclude)
        if isinstance(result, NoRoom):
            return []
        self._put(stream, result, "its source has turned", now)
        return [self._splice(stream, publisher, now)]

    def _put(self, stream: Stream, room: Room, why: str, now: float) -> None:
        reason = f"{why}; {room.allocation.reason}"
        self._state.put(stream, Room(room.fleet, replace(room.allocation, reason=reason)), now)

    def _splice(self, stream: Stream, publisher: PublisherStatus, now: float) -> Action:
        """Have the new session take over from the old one at a keyframe ahead."""
        splice_ms = next_splice(publisher, stream.template.gop_ms, now)
        stream.settle_until(time_of(publisher, splice_ms) + SETTLE_S)
        return self._state.announce(stream, splice_ms=splice_ms)

    def under_way(self, now: float) -> int:
        """Streams that have not settled after a move, so that none can move again yet."""
        return sum(now < stream.settles_s for stream in self._state.streams.values())

    def rebalance(self, now: float) -> list[Action]:
        """Even the load out: whatever makes the fullest device less full than it is."""
        state = self._state
        actions: list[Action] = []
        tried: set[StreamId] = set()
        while True:
            better = self._better(state.fleet, tried, now)
            if better is None:
                return actions
            stream, target = better
            tried.add(stream.stream_id)
            moved = self.move(stream, now, target)
            if isinstance(moved, list):
                actions += moved

    def _better(
        self, fleet: Fleet, tried: set[StreamId], now: float
    ) -> tuple[Stream, ChildId] | None:
        """The stream whose move evens the most out between two devices of one pipeline."""
        best: tuple[float, Stream, ChildId] | None = None
        devices = [d for d in fleet.devices.values() if d.is_up and d.reserved_for is None]
        for source in devices:
            for target in devices:
                if target is source or target.pipeline is not source.pipeline or not target.is_open:
                    continue
                for stream in self._state.served_by(source.name):
                    if now < stream.settles_s:
                        continue
                    if stream.stream_id in tried or stream.unfit.why(target.name):
                        continue
                    taken = fleet.allocations[stream.generation].amounts
                    before = fullness(fleet, source, taken) - fullness(fleet, target, taken)
                    size = fullness(fleet.with_only(stream.generation), source, taken)
                    gain = before - abs(before - 2 * size)
                    if gain > 1e-6 and (best is None or gain > best[0]):
                        best = gain, stream, target.name
        return best[1:] if best is not None else None

    def _to_move(self) -> list[Stream]:
        return [
            stream
            for device in sorted(self._state.drained)
            for stream in self._state.served_by(device)
        ] + [
            stream
            for stream_id in sorted(self._state.to_move)
            if (stream := self._state.streams.get(stream_id)) is not None
            and stream.is_on_worker
            and self._state.device_of(stream) not in self._state.drained
        ]


def next_splice(publisher: PublisherStatus, gop_ms: int, now: float) -> int:
    """A stream time on the grid of keyframes, far enough ahead for a worker to get ready."""
    now_ms = publisher.reference.lead_ms + now * 1000
    lead_ms = LEAD_MS + min(publisher.gop_ms, MAX_REPLAY_MS) / 2
    return math.ceil((now_ms + lead_ms) / gop_ms) * gop_ms


def time_of(publisher: PublisherStatus, stream_ms: int) -> float:
    """The CLOCK_MONOTONIC of a stream time."""
    return (stream_ms - publisher.reference.lead_ms) / 1000
