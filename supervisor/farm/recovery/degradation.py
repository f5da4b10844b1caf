"""Carries out what `Overload` decides for each device that falls behind. Pure.

A worker gets `Degrade` to make fewer pictures of a stream, again with every heartbeat that does not
show it yet; renditions that are gone or back are announced to ingest, and with it to egress. A
stream that is passed through gives its room back and takes it again later, under another
generation.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

from common.config.ladder import Pipeline
from common.ipc import control_messages
from common.ipc.identity import ChildId
from common.ipc.status_messages import TranscodeStatus
from common.process.log import stream_label
from supervisor.farm.actions import Action, Send
from supervisor.farm.devices import Devices
from supervisor.farm.recovery.overload import CloseDevice, DegradationLevel, Degrade, Load
from supervisor.farm.state import FarmState
from supervisor.farm.stream import Stream
from supervisor.farm.stream_states import StreamState
from supervisor.farm.worker import Worker
from supervisor.placement.fleet import NoRoom, Room, move

log = logging.getLogger("tfarm.supervisor.farm.recovery.degradation")

_WORDS = {
    DegradationLevel.FULL: "all renditions at full rate again",
    DegradationLevel.HALF_RATE: "the largest rendition at half its frame rate",
    DegradationLevel.NO_TOP_RENDITION: "without its largest rendition",
    DegradationLevel.PASSTHROUGH: "source only",
}


class Degradation:
    """Takes from streams what overloaded workers need; the facts are the farm state's."""

    def __init__(self, state: FarmState, devices: Devices) -> None:
        self._state = state
        self._devices = devices

    def worker_lost(self, worker: ChildId) -> None:
        """It is gone: what it passes through waits for room, like any that lost its device."""
        for stream in self._passed_through_for(worker):
            stream.wait()

    def release(self, worker: ChildId) -> int:
        """It is drained: what it passes through may go on elsewhere; how many those are."""
        streams = [
            stream
            for stream in self._passed_through_for(worker)
            if Pipeline.REFUSE not in stream.policy()
        ]
        for stream in streams:
            stream.wait()
        return len(streams)

    def observe(
        self, worker: Worker, transcodes: tuple[TranscodeStatus, ...], now: float
    ) -> list[Action]:
        """A worker's heartbeat."""
        actions = self._remind(worker, transcodes)
        if not self._state.settings.worker.is_adapting:
            return actions
        for step in worker.overload.observe(self._loads(worker.name, transcodes), now):
            match step:
                case CloseDevice(is_closed):
                    self._close(worker.name, is_closed)
                case Degrade(stream_id, degradation):
                    stream = self._state.streams[stream_id]
                    actions += self._set(worker.name, stream, degradation, now)
        return actions

    def _passed_through_for(self, worker: ChildId) -> list[Stream]:
        streams = self._state.streams.values()
        return [stream for stream in streams if stream.overloaded_worker == worker]

    def _loads(self, worker: ChildId, transcodes: Iterable[TranscodeStatus]) -> list[Load]:
        reported = {(status.stream_id, status.generation): status for status in transcodes}
        loads = []
        for stream in self._state.streams.values():
            is_here = self._state.device_of(stream) == worker
            if not is_here and stream.overloaded_worker != worker:
                continue
            if is_here and stream.state is not StreamState.LIVE:
                continue
            status = reported.get((stream.stream_id, stream.generation)) if is_here else None
            loads.append(
                Load(
                    stream.stream_id,
                    stream.placed_s,
                    len(stream.renditions()),
                    status.queue_ms if status else 0.0,
                    status.dropped_by_renditions if status else 0,
                    status.overflows if status else 0,
                    stream.began_s,
                    stream.cost_here().total,
                )
            )
        return loads

    def _close(self, worker: ChildId, is_closed: bool) -> None:
        self._devices.overload(worker, is_overloaded=is_closed)
        if is_closed:
            log.warning("device is behind, it takes no new streams device=%s", worker)
        else:
            log.warning("device keeps up, it takes streams again device=%s", worker)

    def _set(
        self, worker: ChildId, stream: Stream, degradation: DegradationLevel, now: float
    ) -> list[Action]:
        state = self._state
        log.warning(
            "stream adapted to the load of its device device=%s stream=%s now=%s",
            worker,
            stream_label(stream.stream_id),
            _WORDS[degradation],
        )
        if degradation is DegradationLevel.PASSTHROUGH:
            room = state.no_device(stream, f"source only: {worker} is behind")
            state.put(stream, room, now, degradation, worker)
            return [state.announce(stream)]
        if stream.overloaded_worker is not None:
            return self._bring_back(worker, stream, degradation, now)
        before = stream.renditions()
        is_less = degradation is not DegradationLevel.FULL
        words = f"{worker} is behind: {_WORDS[degradation]}" if is_less else "keeps up again"
        stream.degrade(degradation, words)
        state.note(stream.stream_id, words, now)
        actions: list[Action] = [Send(worker, _degrade(stream))]
        if stream.renditions() != before:
            actions.append(state.announce(stream))
        return actions

    def _bring_back(
        self, worker: ChildId, stream: Stream, degradation: DegradationLevel, now: float
    ) -> list[Action]:
        """Transcode it again where it was; without room there it waits like any other."""
        state = self._state
        room = self._room_back(worker, stream)
        if room is None:
            stream.wait()
            return []
        state.put(stream, room, now, degradation)
        self._devices.open_or_close(worker)
        return [state.announce(stream)]

    def _room_back(self, worker: ChildId, stream: Stream) -> Room | None:
        """Room on the worker that was behind, though that takes no new streams."""
        state = self._state
        device = state.fleet.devices.get(worker)
        if device is None:
            return None
        others = {name: "" for name in state.fleet.devices if name != worker}
        fleet = state.fleet.with_device(replace(device, is_open=True))
        result = move(fleet, stream.generation, state.need(stream), others)
        return None if isinstance(result, NoRoom) or result.allocation.device is None else result

    def _remind(self, worker: Worker, transcodes: Iterable[TranscodeStatus]) -> list[Action]:
        """Tell a worker again what its heartbeat does not show."""
        actions: list[Action] = []
        for status in transcodes:
            stream = self._state.streams.get(status.stream_id)
            if stream is None or stream.generation != status.generation:
                continue
            wanted = _degrade(stream)
            reported = (status.top_rate_divisor, status.dropped_renditions)
            if reported != (wanted.top_rate_divisor, wanted.dropped_renditions):
                actions.append(Send(worker.name, wanted))
            if status.dropped_renditions > wanted.dropped_renditions:
                # an earlier supervisor may have taken renditions, and announced that
                actions.append(self._state.announce(stream))
        return actions


def _degrade(stream: Stream) -> control_messages.Degrade:
    divisor = 2 if stream.degradation is DegradationLevel.HALF_RATE else 1
    dropped = int(stream.degradation is DegradationLevel.NO_TOP_RENDITION)
    return control_messages.Degrade(stream.stream_id, stream.generation, divisor, dropped)
