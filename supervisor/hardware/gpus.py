"""Which GPUs the host has (IO: NVML, loaded only here and only when asked).

A host without an NVIDIA driver has none: that is no fault. What a GPU can be used as is not known
here; its worker finds that out.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from common.config.settings import Devices
from common.errors import ConfigFault
from supervisor.hardware.device_ids import is_called

log = logging.getLogger("tfarm.supervisor.hardware.gpus")

PCI_DEVICES = Path("/sys/bus/pci/devices")
_NVIDIA = "0x10de"
_DISPLAY = "0x03"  # VGA and 3D controllers


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as NVML names it."""

    uuid: str  # "GPU-4f2b…"
    pci_id: str  # "00000000:65:00.0"
    name: str  # "NVIDIA L4"
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver, and every GPU that it shows."""

    version: str = ""  # "580.159.04"; "": none that answers
    cuda: int = 0  # the newest CUDA that it supports, 13000 is 13.0
    problem: str = ""  # why there is none
    gpus: tuple[Gpu, ...] = ()


def find_gpus(devices: Devices) -> tuple[Gpu, ...]:
    """The GPUs that the settings let us use, in NVML's order."""
    if not devices.use_gpus:
        return ()
    gpus = look_up_driver().gpus
    for unused in unused_names(devices, gpus):
        log.warning("setting without effect key=%s why=%s", unused.path, unused.problem)
    return chosen(gpus, devices)


def look_up_driver() -> Driver:
    """The driver and its GPUs; one without either says why."""
    try:
        import pynvml
    except ImportError as error:
        return Driver(problem=f"nvidia-ml-py is missing: {error}")
    return ask_driver(pynvml)


def ask_driver(nvml: ModuleType) -> Driver:
    """The same, of a given NVML module."""
    try:
        nvml.nvmlInit()
    except Exception as error:  # pynvml's error classes come from the module that failed
        log.debug("no NVIDIA driver error=%s", error)
        return Driver(problem=str(error))
    try:
        version = cuda = None
        with contextlib.suppress(nvml.NVMLError):
            version = _text(nvml.nvmlSystemGetDriverVersion())
            cuda = int(nvml.nvmlSystemGetCudaDriverVersion())
        return Driver(version or "unknown", cuda or 0, gpus=tuple(_gpus(nvml)))
    except nvml.NVMLError as error:
        log.error("the NVIDIA driver does not answer error=%s", error)
        return Driver(problem=str(error))
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def chosen(gpus: tuple[Gpu, ...], devices: Devices) -> tuple[Gpu, ...]:
    """Those that are not excluded by UUID or PCI id, however these are written."""
    return tuple(gpu for gpu in gpus if not is_called(devices.exclude, names(gpu)))


def unused_names(devices: Devices, gpus: Sequence[Gpu]) -> list[ConfigFault]:
    """Find settings for GPUs that are not there: no fault, but hardly meant."""
    if not devices.use_gpus:
        return []
    written = [(f"devices.capacity.{name}", name) for name, _ in devices.capacity]
    if gpus:  # without any it is left alone, as it says
        written += [(f"devices.exclude[{i}]", name) for i, name in enumerate(devices.exclude)]
    return [
        ConfigFault(path, f"{name} is no GPU of this host")
        for path, name in written
        if not any(is_called([name], names(gpu)) for gpu in gpus)
    ]


def names(gpu: Gpu) -> tuple[str, str]:
    """All by which a person may call it."""
    return gpu.uuid, gpu.pci_id


def pci_gpus(folder: Path = PCI_DEVICES) -> tuple[str, ...]:
    """PCI ids of NVIDIA GPUs that the kernel sees, driver or not."""
    found = []
    with contextlib.suppress(OSError):
        for device in sorted(folder.iterdir()):
            with contextlib.suppress(OSError):
                vendor = (device / "vendor").read_text().strip()
                kind = (device / "class").read_text().strip()
                if vendor == _NVIDIA and kind.startswith(_DISPLAY):
                    found.append(device.name)
    return tuple(found)


def _gpus(nvml: ModuleType) -> Iterator[Gpu]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            yield Gpu(
                uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
                pci_id=_text(nvml.nvmlDeviceGetPciInfo(handle).busId),
                name=_text(nvml.nvmlDeviceGetName(handle)),
                memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
            )
        except nvml.NVMLError as error:
            # one GPU that fell off the bus must not hide the others
            log.error("a GPU cannot be used index=%d error=%s", index, error)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
