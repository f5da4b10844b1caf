"""Carries out what `Overload` decides for each device that falls behind. Pure.

A worker is told with `Degrade` to make fewer pictures of a stream, again with every heartbeat that
does not show it yet; ingest, and with it egress, is told of renditions that are gone or back. A
stream that is passed through gives its room back and takes it again later, under another
generation.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from common.config.ladder import Pipeline
from common.ipc.control_messages import Degrade, TranscodeStatus
from common.ipc.identity import ChildId
from common.process.log import stream_label
from supervisor.farm.actions import Action, Send
from supervisor.farm.overload import Close, DegradationLevel, Load, Overload, SetLevel
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Stream, StreamState
from supervisor.placement.fleet import NoRoom, move

log = logging.getLogger("tfarm.supervisor.farm.degradation")

_WORDS = {
    DegradationLevel.FULL: "all renditions at full rate again",
    DegradationLevel.HALF_RATE: "the largest rendition at half its frame rate",
    DegradationLevel.NO_TOP_RENDITION: "without its largest rendition",
    DegradationLevel.PASSTHROUGH: "source only",
}


class Degradation:
    """The overload machines of all devices; the facts are the roster's."""

    def __init__(self, roster: FarmState) -> None:
        self._roster = roster
        self._machines: dict[ChildId, Overload] = {}

    def forget(self, worker: ChildId) -> None:
        """It is gone: its successor starts with nothing taken."""
        self._machines.pop(worker, None)
        self._roster.overloaded.discard(worker)
        self._roster.open_or_close(worker)
        self._set_waiting([s for s in self._roster.streams.values() if s.overloaded == worker])

    def let_go(self, worker: ChildId) -> int:
        """It is drained: what it passes through may go on elsewhere; how many those are."""
        streams = [
            stream
            for stream in self._roster.streams.values()
            if stream.overloaded == worker and Pipeline.REFUSE not in stream.policy()
        ]
        self._set_waiting(streams)
        return len(streams)

    def _set_waiting(self, streams: Sequence[Stream]) -> None:
        """For room, like any that lost its device."""
        for stream in streams:
            stream.overloaded = None
            stream.state = StreamState.WAITING

    def observe(
        self, worker: ChildId, transcodes: tuple[TranscodeStatus, ...], now: float
    ) -> list[Action]:
        """A worker's heartbeat."""
        machine = self._machines.setdefault(worker, Overload())
        actions = self._remind(worker, transcodes)
        for step in machine.observe(self._loads(worker, transcodes), now):
            match step:
                case Close(is_closed):
                    self._close(worker, is_closed)
                case SetLevel(stream_id, level):
                    stream = self._roster.streams[stream_id]
                    actions += self._set(worker, stream, level, now)
        return actions

    def _loads(self, worker: ChildId, transcodes: tuple[TranscodeStatus, ...]) -> list[Load]:
        told = {(status.stream_id, status.generation): status for status in transcodes}
        loads = []
        for stream in self._roster.streams.values():
            is_here = self._roster.device_of(stream) == worker
            if not is_here and stream.overloaded != worker:
                continue
            if is_here and stream.state is not StreamState.LIVE:
                continue
            status = told.get((stream.stream_id, stream.generation)) if is_here else None
            loads.append(
                Load(
                    stream.stream_id,
                    stream.placed_s,
                    len(stream.renditions()),
                    status.queue_ms if status else 0.0,
                    status.skipped if status else 0,
                    status.overflows if status else 0,
                )
            )
        return loads

    def _close(self, worker: ChildId, is_closed: bool) -> None:
        if is_closed:
            self._roster.overloaded.add(worker)
            log.warning("device is behind, it takes no new streams device=%s", worker)
        else:
            self._roster.overloaded.discard(worker)
            log.warning("device keeps up, it takes streams again device=%s", worker)
        self._roster.open_or_close(worker)

    def _set(
        self, worker: ChildId, stream: Stream, level: DegradationLevel, now: float
    ) -> list[Action]:
        roster = self._roster
        log.warning(
            "overload device=%s stream=%s now=%s",
            worker,
            stream_label(stream.stream_id),
            _WORDS[level],
        )
        before = stream.renditions()
        if level is DegradationLevel.PASSTHROUGH:
            need = replace(roster.need(stream), policy=(Pipeline.PASSTHROUGH,))
            result = move(roster.fleet, stream.generation, need)
            assert not isinstance(result, NoRoom)  # passthrough takes no room
            fleet, placement = result
            reason = f"source only: {worker} is behind"
            roster.put(stream, fleet, replace(placement, reason=reason), now)
            stream.level, stream.overloaded = level, worker
            return [roster.placed(stream, 0)]
        if stream.overloaded is not None:
            stream.overloaded = None
            return self._bring_back(worker, stream, level, now)
        stream.level = level
        stream.reason = f"{worker} is behind: {_WORDS[level]}" if level else "keeps up again"
        roster.note(stream.stream_id, stream.reason, now)
        actions: list[Action] = [Send(worker, _degrade(stream))]
        if stream.renditions() != before:
            actions.append(roster.placed(stream, 0))
        return actions

    def _bring_back(
        self, worker: ChildId, stream: Stream, level: DegradationLevel, now: float
    ) -> list[Action]:
        """Transcode it again where it was; without room there it waits like any other."""
        roster = self._roster
        others = {name: "" for name in roster.fleet.devices if name != worker}
        device = roster.fleet.devices.get(worker)
        result: object = None
        if device is not None:
            fleet = roster.fleet.with_device(replace(device, is_open=True))
            result = move(fleet, stream.generation, roster.need(stream), others)
        if not isinstance(result, tuple) or result[1].device is None:
            stream.state = StreamState.WAITING
            return []
        fleet, placement = result
        roster.put(stream, fleet, placement, now)
        roster.open_or_close(worker)
        stream.level = level
        return [roster.placed(stream, 0)]

    def _remind(self, worker: ChildId, transcodes: tuple[TranscodeStatus, ...]) -> list[Action]:
        actions: list[Action] = []
        for status in transcodes:
            stream = self._roster.streams.get(status.stream_id)
            if stream is None or stream.generation != status.generation:
                continue
            wanted = _degrade(stream)
            told = (status.top_rate_divisor, status.dropped_renditions)
            if told != (wanted.top_rate_divisor, wanted.dropped_renditions):
                actions.append(Send(worker, wanted))
            if status.dropped_renditions > wanted.dropped_renditions:
                # an earlier supervisor may have taken renditions, and told egress so
                actions.append(self._roster.placed(stream, 0))
        return actions


def _degrade(stream: Stream) -> Degrade:
    divisor = 2 if stream.level is DegradationLevel.HALF_RATE else 1
    dropped = int(stream.level is DegradationLevel.NO_TOP_RENDITION)
    return Degrade(stream.stream_id, stream.generation, divisor, dropped)
