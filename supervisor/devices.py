"""Which GPUs the host has (IO: NVML, loaded only here and only when asked).

A host without an NVIDIA driver has none: that is no fault. What a GPU can be used as is not known
here; its worker finds that out.
"""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from common.settings import Devices

log = logging.getLogger("tfarm.supervisor.devices")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as NVML names it."""

    uuid: str  # "GPU-4f2b…"
    pci_id: str  # "00000000:65:00.0"
    name: str  # "NVIDIA L4"
    memory_bytes: int


def find_gpus(devices: Devices) -> tuple[Gpu, ...]:
    """The GPUs that the settings let us use, in NVML's order."""
    if not devices.use_gpus:
        return ()
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # pynvml's error classes come from the module that failed
        log.debug("no NVIDIA driver error=%s", error)
        return ()
    try:
        return chosen(tuple(_gpus(pynvml)), devices)
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def chosen(gpus: tuple[Gpu, ...], devices: Devices) -> tuple[Gpu, ...]:
    """Those that are not excluded by UUID or PCI id (with or without the long domain)."""
    excluded = {name.lower() for name in devices.exclude}
    return tuple(gpu for gpu in gpus if not names(gpu) & excluded)


def names(gpu: Gpu) -> set[str]:
    """All by which a person may call it, in lower case."""
    domain, _, rest = gpu.pci_id.lower().partition(":")
    return {gpu.uuid.lower(), gpu.pci_id.lower(), f"{domain[-4:]}:{rest}", rest}


def _gpus(pynvml: ModuleType) -> Iterator[Gpu]:
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            yield Gpu(
                uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
                pci_id=_text(pynvml.nvmlDeviceGetPciInfo(handle).busId),
                name=_text(pynvml.nvmlDeviceGetName(handle)),
                memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
            )
        except pynvml.NVMLError as error:
            # one GPU that fell off the bus must not hide the others
            log.error("a GPU cannot be used index=%d error=%s", index, error)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
