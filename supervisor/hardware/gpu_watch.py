"""Whether the GPUs are still there (IO: NVML, on a thread of its own, since its calls may hang).

A worker finds out by itself that its context is dead, and ends. This finds what a worker may not
see: a GPU that fell off the bus while idle, or one on which calls no longer return. Xids that only
end the program that caused them are logged; that program hears of them.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from supervisor.hardware.energy import EnergyMeter

log = logging.getLogger("tfarm.supervisor.hardware.gpu_watch")

LOOK_S = 2.0
EVENT_WAIT_MS = 500
# After these the GPU is gone, or wrong until it is reset (NVIDIA's table of Xids).
FATAL_XIDS = {
    48: "double-bit ECC error",
    62: "its microcontroller has halted",
    64: "memory rows cannot be remapped",
    79: "it fell off the bus",
    95: "uncontained memory error",
    119: "its system processor does not answer",
    120: "its system processor failed",
    140: "unrecovered ECC error",
}
# NVML's errors for a GPU that is no more; others (not supported, …) mean nothing of the kind.
_LOST = ("NVML_ERROR_GPU_IS_LOST", "NVML_ERROR_RESET_REQUIRED", "NVML_ERROR_NOT_FOUND")

OnLost = Callable[[str, str], None]


class GpuUse(NamedTuple):
    """How busy a GPU is, as NVML counts it: of all programs on it."""

    compute: float  # the share of time that kernels ran
    decode: float  # of its decoders, likewise
    encode: float
    memory_bytes: int
    watts: float | None = None  # now; None: this GPU does not tell
    watt_hours: float | None = None  # since it is watched, likewise


class GpuWatch:
    """Looks at GPUs until `stop`; `on_lost(uuid, reason)` is called on its thread, once a loss."""

    def __init__(self, nvml: ModuleType, uuids: Sequence[str], on_lost: OnLost) -> None:
        self._nvml = nvml
        self._on_lost = on_lost
        self.use: dict[str, GpuUse] = {}  # by UUID, as of the last look; another thread reads it
        self._lost: dict[str, str] = {}
        self._energy: dict[str, EnergyMeter] = {uuid: EnergyMeter() for uuid in uuids}
        self._uuids = tuple(uuids)
        self._codes = {getattr(nvml, name, None) for name in _LOST} - {None}
        self._events: Any = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Not waited for: the thread may be inside a driver that hangs."""
        self._stopped.set()

    def look(self) -> None:
        """Ask every GPU for something that only a working one answers."""
        for uuid in self._uuids:
            try:
                handle = self._nvml.nvmlDeviceGetHandleByUUID(uuid)
                memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
                self.use[uuid] = self._use(uuid, handle, int(memory.used))
            except self._nvml.NVMLError as error:
                self.use.pop(uuid, None)
                if getattr(error, "value", None) in self._codes:
                    self._report(uuid, f"NVML: {error}")
            else:
                self._lost.pop(uuid, None)  # back, after a reset

    def _use(self, uuid: str, handle: Any, memory_bytes: int) -> GpuUse:
        nvml: Any = self._nvml

        def asked(ask: Callable[[], Any]) -> int | None:
            try:
                return int(ask())
            except nvml.NVMLError as error:
                if getattr(error, "value", None) in self._codes:
                    raise
                return None  # it is not counted on this GPU

        milliwatts = asked(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        watts = milliwatts / 1000 if milliwatts is not None else None
        counter_mj = asked(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        return GpuUse(
            (asked(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu) or 0) / 100,
            (asked(lambda: nvml.nvmlDeviceGetDecoderUtilization(handle)[0]) or 0) / 100,
            (asked(lambda: nvml.nvmlDeviceGetEncoderUtilization(handle)[0]) or 0) / 100,
            memory_bytes,
            watts,
            self._energy[uuid].note(time.monotonic(), watts, counter_mj),
        )

    def take_event(self, wait_ms: int = EVENT_WAIT_MS) -> None:
        """Wait for one Xid, not for long."""
        nvml = self._nvml
        try:
            event = nvml.nvmlEventSetWait_v2(self._events, wait_ms)
            uuid = nvml.nvmlDeviceGetUUID(event.device)
        except nvml.NVMLError as error:
            if getattr(error, "value", None) != nvml.NVML_ERROR_TIMEOUT:
                # With a GPU gone, NVML does not wait: it fails at once, and each time.
                self._stopped.wait(wait_ms / 1000)
            return
        uuid = uuid.decode() if isinstance(uuid, bytes) else uuid
        xid = int(event.eventData)
        if xid in FATAL_XIDS:
            self._report(uuid, f"Xid {xid}: {FATAL_XIDS[xid]}")
        else:
            log.warning("Xid of a program uuid=%s xid=%d", uuid, xid)

    def register(self) -> bool:
        """Ask for Xids; False where the driver or the container gives none."""
        nvml = self._nvml
        try:
            self._events = nvml.nvmlEventSetCreate()
            for uuid in self._uuids:
                handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
                nvml.nvmlDeviceRegisterEvents(
                    handle, nvml.nvmlEventTypeXidCriticalError, self._events
                )
        except nvml.NVMLError as error:
            log.info("no Xids from this driver error=%s", error)
            return False
        return True

    def _report(self, uuid: str, reason: str) -> None:
        if uuid not in self._lost:
            self._lost[uuid] = reason
            self._on_lost(uuid, reason)

    def _run(self) -> None:
        nvml = self._nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            log.warning("GPUs are not watched error=%s", error)
            return
        try:
            has_events = self.register()
            while not self._stopped.wait(0 if has_events else LOOK_S):
                self.look()
                if has_events:
                    for _ in range(round(LOOK_S * 1000 / EVENT_WAIT_MS)):
                        self.take_event()
        except Exception:
            log.exception("the watch of the GPUs failed")
        finally:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()


def watch_gpus(uuids: Sequence[str], on_lost: OnLost) -> GpuWatch | None:
    """A running watch; None without GPUs or NVML."""
    if not uuids:
        return None
    try:
        import pynvml
    except ImportError:
        return None
    watch = GpuWatch(pynvml, uuids, on_lost)
    watch.start()
    return watch
