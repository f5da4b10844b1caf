"""Workers and their devices, as they come, go, and take streams or not. Pure.

Keeps each `Worker` of the farm's state in step with its device in the fleet.
"""

import logging
import math
from collections.abc import Collection
from dataclasses import replace

from common.config.ladder import Pipeline
from common.config.settings import Calibration, Settings
from common.ipc.identity import ChildId, StreamId
from common.media.pictures import DecodeLimits
from common.media.units import VideoCodec
from supervisor.farm.actions import Action
from supervisor.farm.state import FarmState, SessionLimit
from supervisor.farm.worker import Worker
from supervisor.hardware.device_ids import is_called, value_of
from supervisor.placement.cost import CAPACITY_PER_CORE, ENGINES, GPU_CAPACITY, Resource
from supervisor.placement.encoding import not_encoded
from supervisor.placement.fleet import Device

log = logging.getLogger("tfarm.supervisor.farm.devices")

IDLE_WORKER_BYTES = 80 * 1024**2  # of a process without a session
HOST_SHARE = 0.8  # of the host's memory that one worker may have
SESSION_LIMIT_S = 600.0  # one that was met holds so long: other programs' sessions end


class Devices:
    """Changes the workers and devices of a farm state."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._warned_of: set[tuple[str, str]] = set()  # devices, and keys of renditions
        self._use_host_limits()

    def configure(self, settings: Settings) -> None:
        """New settings: templates hold for new streams, capacities at once."""
        self._state.settings = settings
        self._use_host_limits()

    # ---- workers ----------------------------------------------------------------------------

    def expect(
        self,
        name: ChildId,
        pipeline: Pipeline,
        now: float,
        reserved_for: StreamId | None = None,
    ) -> None:
        """A worker is being started; until it is up its device takes nothing."""
        state = self._state
        if name not in state.fleet.devices:
            state.fleet = state.fleet.with_device(expected(name, pipeline, reserved_for))
            state.workers[name] = Worker(name, down_since_s=now)

    def up(
        self,
        name: ChildId,
        pipeline: Pipeline,
        aliases: tuple[str, ...] = (),
        memory_bytes: int = 0,
        decodes: tuple[DecodeLimits, ...] = (),
        encodes: tuple[VideoCodec, ...] = (),
    ) -> None:
        """A worker's hello reports what its device is."""
        state = self._state
        state.workers.setdefault(name, Worker(name, down_since_s=None)).come_up()
        limits = self.memory_limit(pipeline, memory_bytes)
        if pipeline is not Pipeline.SOFTWARE:
            by_hand = value_of(dict(state.settings.devices.capacity), aliases)
            limits[Resource.LOAD] = GPU_CAPACITY if by_hand is None else by_hand
            limits |= dict.fromkeys(ENGINES, 1.0)
            if memory_bytes:
                limits[Resource.MEMORY] = float(memory_bytes)
        known = state.fleet.devices.get(name)
        reserved_for = known.reserved_for if known is not None else None
        measured = self.measured(pipeline, aliases)
        device = Device(
            name,
            pipeline,
            limits,
            reserved_for=reserved_for,
            measured=measured,
            encoder_threads=state.settings.software.encoder_threads,
            unbooked_bytes=known.unbooked_bytes if known is not None else 0.0,
            decodes=decodes,
            encodes=encodes,
        )
        self._warn_of_codecs(name, encodes)
        state.fleet = state.fleet.with_device(device)
        self.open_or_close(name)
        for allocation in state.fleet.on_device(name):
            is_measured_anew = known is not None and known.measured != measured
            if allocation.pipeline is not pipeline or is_measured_anew:
                # adopted before its worker was up, or calibrated since
                taken = device.amounts(state.streams[allocation.stream_id].cost_here())
                state.fleet = state.fleet.with_allocation(
                    replace(allocation, pipeline=pipeline, amounts=taken)
                )

    def _warn_of_codecs(self, name: ChildId, encodes: tuple[VideoCodec, ...]) -> None:
        """Say once which renditions a device does not make: their streams go to others, or nowhere.

        Once for each key: workers of one device come and go, and others may be like it.
        """
        for key, codec in not_encoded(self._state.settings.templates, encodes):
            if (name.device_name, key) not in self._warned_of:
                self._warned_of.add((name.device_name, key))
                log.warning(
                    "device encodes no such codec key=%s codec=%s device=%s",
                    key,
                    codec.value,
                    name.device_name,
                )

    def memory_limit(self, pipeline: Pipeline, host_bytes: int = 0) -> dict[Resource, float]:
        """What one worker's streams may take of its process's memory.

        `host_bytes`: what the host has, where a worker on the host's cores says so; 0: not known.
        """
        limit = float(self._state.settings.worker.max_memory_bytes)
        if pipeline is Pipeline.SOFTWARE and host_bytes:
            limit = min(limit, HOST_SHARE * host_bytes)
        return {Resource.WORKER_MEMORY: max(0.0, limit - IDLE_WORKER_BYTES)}

    def measure(self, name: ChildId, used_bytes: int) -> None:
        """A worker's process has so much memory, however little its streams have booked.

        One that has none keeps what its codecs freed: that is there for the next.
        """
        state = self._state
        worker, device = state.workers.get(name), state.fleet.devices.get(name)
        if worker is None or device is None:
            return
        worker.memory_bytes = used_bytes
        booked = state.fleet.used(Resource.WORKER_MEMORY, name)
        unbooked = max(0.0, used_bytes - IDLE_WORKER_BYTES - booked) if booked else 0.0
        if unbooked != device.unbooked_bytes:
            state.has_freed |= unbooked < device.unbooked_bytes
            state.fleet = state.fleet.with_device(replace(device, unbooked_bytes=unbooked))

    def measured(self, pipeline: Pipeline, aliases: tuple[str, ...]) -> dict[str, Calibration]:
        """What `tfarm calibrate` says of such a device, by template."""
        names = ("cpu",) if pipeline is Pipeline.SOFTWARE else aliases
        return {
            calibration.template: calibration
            for calibration in self._state.settings.calibration
            if calibration.path is pipeline and is_called([calibration.device], names)
        }

    def lost(self, name: ChildId, reason: str, *, for_sure: bool = False) -> None:
        """The device itself is gone or broken; until its worker says hello again.

        `for_sure`: the GPU watch says so. A worker knows no more than that its context is dead,
        which a stream can bring about.
        """
        worker = self._state.workers.get(name)
        if worker is not None:
            worker.lose_device(reason, for_sure=for_sure)
            self.open_or_close(name)

    def down(self, name: ChildId, now: float) -> None:
        """A worker's process is gone."""
        state = self._state
        worker = state.workers.get(name)
        if worker is not None:  # a dedicated worker is removed before it ends
            worker.end_process(now)
            device = replace(state.fleet.devices[name], is_up=False, unbooked_bytes=0.0)
            state.fleet = state.fleet.with_device(device)
            self.open_or_close(name)
        for stream in state.streams.values():
            stream.unfit.forget_worker(name)

    def remove(self, name: ChildId) -> None:
        """A worker is not wanted any more."""
        self._state.fleet = self._state.fleet.without_device(name)
        self._state.workers.pop(name, None)

    def forget_unused(self, wanted: Collection[ChildId]) -> None:
        """Remove the workers that are not wanted and have no stream."""
        for name in [name for name in self._state.workers if name not in wanted]:
            if not self._state.on_device(name):
                self.remove(name)

    def drain(self, name: ChildId, *, is_drained: bool = True) -> None:
        """Let a device take nothing more, or again."""
        self._state.workers[name].is_drained = is_drained
        self.open_or_close(name)

    def overload(self, name: ChildId, *, is_overloaded: bool) -> None:
        """Let a device that is behind take nothing more, or again."""
        self._state.workers[name].is_overloaded = is_overloaded
        self.open_or_close(name)

    def open_or_close(self, name: ChildId) -> None:
        """Let a device take new streams, or not, by what is known of its worker."""
        state = self._state
        why = state.workers[name].why_closed
        device = replace(state.fleet.devices[name], is_open=not why, why_closed=why)
        state.fleet = state.fleet.with_device(device)

    # ---- the host's limits ------------------------------------------------------------------

    def next_deadline(self) -> float:
        limit = self._state.session_limit
        return limit.until_s if limit is not None else math.inf

    def tick(self, now: float) -> list[Action]:
        """Let the next stream try how many encoder sessions there are."""
        if now >= self.next_deadline():
            self.forget_session_limit()
            self._state.has_freed = True
        return []

    def refuse_session(self, worker: ChildId, open_there: int, reason: str, now: float) -> None:
        """A driver gave this worker no encoder session beyond those open there, and elsewhere."""
        state = self._state
        used = state.fleet.used(Resource.SESSIONS)
        elsewhere = used - state.fleet.used(Resource.SESSIONS, worker)
        sessions = open_there + round(elsewhere)
        known = state.session_limit
        is_known = known is not None and known.sessions == sessions
        state.session_limit = SessionLimit(sessions, now + SESSION_LIMIT_S, reason)
        self._use_host_limits()
        log.log(
            logging.DEBUG if is_known else logging.WARNING,
            "encoder sessions limited sessions=%d for_s=%d worker=%s reason=%s",
            sessions,
            SESSION_LIMIT_S,
            worker,
            reason,
        )

    def forget_session_limit(self) -> None:
        log.info("encoder sessions no longer limited by what a driver refused")
        self._state.session_limit = None
        self._use_host_limits()

    def _use_host_limits(self) -> None:
        state = self._state
        state.fleet = replace(state.fleet, host=self._host_limits())

    def _host_limits(self) -> dict[Resource, float]:
        settings = self._state.settings
        by_hand = settings.software.capacity
        cores = CAPACITY_PER_CORE * self._state.cores if by_hand is None else by_hand
        limits = {Resource.CORES: cores}
        hybrid = settings.devices.hybrid_capacity
        if hybrid is not None:
            limits[Resource.HYBRID_CORES] = hybrid
        sessions = [settings.devices.max_encoder_sessions]
        if self._state.session_limit is not None:
            sessions.append(self._state.session_limit.sessions)
        known = [float(limit) for limit in sessions if limit is not None]
        if known:
            limits[Resource.SESSIONS] = min(known)
        return limits


def expected(name: ChildId, pipeline: Pipeline, reserved_for: StreamId | None = None) -> Device:
    """The device of a worker that is not up yet."""
    return Device(name, pipeline, is_up=False, reserved_for=reserved_for)
