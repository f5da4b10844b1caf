"""GPUs that go away, as NVML tells it; NVML is a module object made here."""

import logging
import threading
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from supervisor.hardware.gpu_watch import GpuUse, GpuWatch, watch_gpus


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


TIMEOUT, LOST, UNSUPPORTED = 10, 15, 3


class Nvml(ModuleType):
    """Two GPUs, `a` and `b`, with what is wrong with each."""

    NVMLError = NVMLError
    NVML_ERROR_GPU_IS_LOST = LOST
    NVML_ERROR_TIMEOUT = TIMEOUT
    nvmlEventTypeXidCriticalError = 8

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.wrong: dict[str, int] = {}
        self.xids: list[tuple[str, int]] = []
        self.has_no_encoder = ""
        self.gives_events = True
        self.energy_mj = 1_000
        self.waits_end_with = TIMEOUT
        self.waits = 0
        self.is_shut = threading.Event()

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None:
        self.is_shut.set()

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:
        return handle.encode()

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        if handle in self.wrong:
            raise NVMLError(self.wrong[handle])
        return SimpleNamespace(used=3 << 20)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return self._of_a(handle, 310_500)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return self._of_a(handle, self.energy_mj)

    def _of_a(self, handle: str, value: int) -> int:
        if handle != "a":
            raise NVMLError(UNSUPPORTED)
        return value

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return SimpleNamespace(gpu=25)

    def nvmlDeviceGetDecoderUtilization(self, handle: str) -> list[int]:
        return [50, 166_000]

    def nvmlDeviceGetEncoderUtilization(self, handle: str) -> list[int]:
        if handle == self.has_no_encoder:
            raise NVMLError(UNSUPPORTED)
        return [75, 166_000]

    def nvmlEventSetCreate(self) -> str:
        if not self.gives_events:
            raise NVMLError(UNSUPPORTED)
        return "set"

    def nvmlDeviceRegisterEvents(self, handle: str, kinds: int, events: str) -> None: ...

    def nvmlEventSetWait_v2(self, events: str, wait_ms: int) -> Any:
        self.waits += 1
        if not self.xids:
            if self.waits_end_with == TIMEOUT:
                time.sleep(wait_ms / 1000)
            raise NVMLError(self.waits_end_with)
        uuid, xid = self.xids.pop(0)
        return SimpleNamespace(device=uuid, eventData=xid)


@pytest.fixture
def told() -> list[tuple[str, str]]:
    return []


def watch_of(nvml: Nvml, told: list[tuple[str, str]]) -> GpuWatch:
    return GpuWatch(nvml, ["a", "b"], lambda uuid, reason: told.append((uuid, reason)))


def test_a_lost_gpu_is_told_once_and_again_after_it_was_back(told: list[tuple[str, str]]) -> None:
    nvml = Nvml()
    watch = watch_of(nvml, told)
    watch.look()
    assert told == []
    nvml.wrong["b"] = LOST
    watch.look()
    watch.look()
    assert told == [("b", "NVML: error 15")]
    del nvml.wrong["b"]
    watch.look()
    nvml.wrong["b"] = LOST
    watch.look()
    assert len(told) == 2


def test_a_question_that_is_not_supported_says_nothing_of_the_gpu(
    told: list[tuple[str, str]],
) -> None:
    nvml = Nvml()
    nvml.wrong["a"] = UNSUPPORTED
    watch_of(nvml, told).look()
    assert told == []


def test_an_xid_of_the_gpu_is_a_loss_and_one_of_a_program_is_logged(
    told: list[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    nvml = Nvml()
    nvml.xids = [("a", 31), ("b", 79)]
    watch = watch_of(nvml, told)
    assert watch.register()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            watch.take_event(1)
    assert told == [("b", "Xid 79: it fell off the bus")]
    assert "uuid=a xid=31" in caplog.text


def test_a_driver_without_events_is_watched_all_the_same(told: list[tuple[str, str]]) -> None:
    nvml = Nvml()
    nvml.gives_events = False
    assert not watch_of(nvml, told).register()


def test_the_thread_tells_and_ends() -> None:
    nvml = Nvml()
    nvml.wrong["a"] = LOST
    heard = threading.Event()
    watch = GpuWatch(nvml, ["a", "b"], lambda uuid, reason: heard.set())
    watch.start()
    assert heard.wait(10)
    watch.stop()
    assert nvml.is_shut.wait(10)


def test_a_wait_that_fails_at_once_is_not_repeated_at_once() -> None:
    nvml = Nvml()
    nvml.wrong["a"] = nvml.waits_end_with = LOST
    watch = watch_of(nvml, [])
    watch.start()
    time.sleep(0.2)
    assert nvml.waits == 1
    watch.stop()
    assert nvml.is_shut.wait(10)


def test_nothing_is_watched_without_gpus() -> None:
    assert watch_gpus((), lambda uuid, reason: None) is None


def test_how_busy_each_gpu_is_is_known_until_it_is_lost(told: list[tuple[str, str]]) -> None:
    nvml = Nvml()
    nvml.has_no_encoder = "b"
    watch = watch_of(nvml, told)
    watch.look()
    assert watch.use == {
        "a": GpuUse(0.25, 0.5, 0.75, 3 << 20, 310.5, 0.0),
        "b": GpuUse(0.25, 0.5, 0.0, 3 << 20, None, None),
    }
    nvml.energy_mj += 7_200_000
    watch.look()
    assert watch.use["a"].watt_hours == 2.0
    nvml.wrong["a"] = LOST
    watch.look()
    assert [*watch.use] == ["b"]
