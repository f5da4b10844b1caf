"""Which GPUs are used; there may be none. NVML is a module object made here."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from common.config.settings import Devices
from supervisor.hardware import gpus as devices_module
from supervisor.hardware.gpus import Gpu, ask_driver, chosen, find_gpus, pci_gpus, unused_names

UUIDS = [f"GPU-{n}f2b7a10-0c2d-4e5f-8a9b-0123456789ab" for n in "abc"]
GPUS = (
    Gpu(UUIDS[0], "00000000:65:00.0", "NVIDIA L4", 1),
    Gpu(UUIDS[1], "00000000:66:00.0", "NVIDIA L4", 1),
)


class NVMLError(Exception):
    """As pynvml has one."""


def fake_nvml(
    count: int = 2, *, as_bytes: bool = False, lost: int | None = None, **functions: Any
) -> ModuleType:
    """An NVML with `count` GPUs; the one with index `lost` has fallen off the bus."""

    def text(value: str) -> str | bytes:
        return value.encode() if as_bytes else value

    def handle(index: int) -> int:
        if index == lost:
            raise NVMLError("GPU is lost")
        return index

    module = ModuleType("pynvml")
    values: dict[str, Any] = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: text("580.159.04"),
        "nvmlSystemGetCudaDriverVersion": lambda: 13000,
        "nvmlDeviceGetCount": lambda: count,
        "nvmlDeviceGetHandleByIndex": handle,
        "nvmlDeviceGetUUID": lambda index: text(UUIDS[index]),
        "nvmlDeviceGetPciInfo": lambda index: SimpleNamespace(
            busId=text(f"00000000:{0x65 + index:02X}:00.0")
        ),
        "nvmlDeviceGetName": lambda index: text("NVIDIA L4"),
        "nvmlDeviceGetMemoryInfo": lambda index: SimpleNamespace(total=24 << 30),
    }
    for name, value in (values | functions).items():
        setattr(module, name, value)
    return module


def fails(words: str) -> Callable[[], Any]:
    def call() -> Any:
        raise NVMLError(words)

    return call


@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_driver_names_its_gpus_in_text_or_bytes(as_bytes: bool) -> None:
    driver = ask_driver(fake_nvml(as_bytes=as_bytes))
    assert (driver.version, driver.cuda, driver.problem) == ("580.159.04", 13000, "")
    assert [gpu.uuid for gpu in driver.gpus] == UUIDS[:2]
    assert driver.gpus[1].pci_id == "00000000:66:00.0"


def test_a_gpu_off_the_bus_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    driver = ask_driver(fake_nvml(3, lost=1))
    assert [gpu.uuid for gpu in driver.gpus] == [UUIDS[0], UUIDS[2]]
    assert "index=1 error=GPU is lost" in caplog.text


def test_a_driver_that_does_not_load_or_answer_says_why() -> None:
    absent = ask_driver(fake_nvml(nvmlInit=fails("NVML Shared Library Not Found")))
    assert (absent.version, absent.problem) == ("", "NVML Shared Library Not Found")
    broken = ask_driver(fake_nvml(nvmlDeviceGetCount=fails("Unknown Error")))
    assert (broken.gpus, broken.problem) == ((), "Unknown Error")


@pytest.mark.parametrize(
    "name",
    [UUIDS[0], UUIDS[0].upper(), UUIDS[0][4:], "00000000:65:00.0", "0000:65:00.0", "65:00.0"],
)
def test_excluded_gpus_are_left_out_however_they_are_called(name: str) -> None:
    gpus = ask_driver(fake_nvml()).gpus
    assert [gpu.uuid for gpu in chosen(gpus, Devices(exclude=(name,)))] == [UUIDS[1]]
    assert chosen(gpus, Devices()) == gpus


def test_what_names_no_gpu_of_the_host_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices_module, "look_up_driver", lambda: ask_driver(fake_nvml()))
    capacity = (("65:00.0", 900.0), ("foo", 3.0))
    with caplog.at_level(logging.WARNING):
        found = find_gpus(Devices(exclude=("67:00.0", "66:00.0"), capacity=capacity))
    assert [gpu.uuid for gpu in found] == [UUIDS[0]]
    assert [record.getMessage() for record in caplog.records] == [
        "setting without effect key=devices.capacity.foo why=foo is no GPU of this host",
        "setting without effect key=devices.exclude[0] why=67:00.0 is no GPU of this host",
    ]


def test_on_a_host_without_gpus_there_is_nothing_to_exclude() -> None:
    asked = Devices(exclude=("67:00.0",), capacity=(("foo", 3.0),))
    assert [fault.path for fault in unused_names(asked, ())] == ["devices.capacity.foo"]
    assert unused_names(replace(asked, use_gpus=False), ()) == []


def test_unused_gpus_are_not_looked_for() -> None:
    assert find_gpus(Devices(use_gpus=False)) == ()


def test_a_host_without_a_driver_has_none_and_that_is_no_fault() -> None:
    assert isinstance(find_gpus(Devices()), tuple)


def test_gpus_are_seen_on_the_bus_without_a_driver(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("0000:65:00.0", "0x10de", "0x030200"),
        ("0000:65:00.1", "0x10de", "0x040300"),  # its sound
        ("0000:00:02.0", "0x8086", "0x030000"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    assert pci_gpus(tmp_path) == ("0000:65:00.0",)
    assert pci_gpus(tmp_path / "none") == ()
