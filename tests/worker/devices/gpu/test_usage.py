"""What NVML says of a GPU's engines; NVML is made here."""

from types import SimpleNamespace

import pytest

from worker.devices.gpu import usage
from worker.devices.gpu.usage import GpuUsage


class Nvml:
    """Answers from lists, the last one for ever."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.memory = [1000, 1500, 1400]
        self.decoder = [20, 40]
        self.has_encoder = False

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(used=self.memory.pop(0))

    def nvmlDeviceGetDecoderUtilization(self, handle: str) -> list[int]:
        return [self.decoder.pop(0), 167000]

    def nvmlDeviceGetEncoderUtilization(self, handle: str) -> list[int]:
        raise self.NVMLError("not supported")

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(gpu=10)


def test_means_of_the_engines_and_the_most_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "SAMPLE_S", 0.0)
    found = GpuUsage("GPU-a", Nvml())
    found.sample()
    found.sample()
    assert found.means() == pytest.approx((0.3, 0.1, 0.0, 500))


def test_it_does_not_look_more_often_than_nvml_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "SAMPLE_S", 60.0)
    nvml = Nvml()
    found = GpuUsage("GPU-a", nvml)
    found.sample()
    found.sample()
    assert nvml.decoder == [40]


def test_no_look_is_no_use() -> None:
    assert GpuUsage("GPU-a", Nvml()).means() == (0.0, 0.0, 0.0, 0)
