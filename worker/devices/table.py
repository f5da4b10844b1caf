"""The devices that a worker can have: one entry each (IO: a device's module opens it).

To add a device: a folder beside `software/` and `gpu/` whose classes are a
`worker.devices.backend.Backend`, a function here that imports and opens it, and an entry in
`DEVICES`. A device's modules are imported only inside that function: PyNvVideoCodec raises on a
machine without a driver, and CUDA must find its environment set.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

from common.config.ladder import Pipeline
from common.ipc.identity import CPU
from worker.devices.backend import Backend
from worker.threads import OwnThreads, SessionThreads, SharedThreads

GPU_DECODE_THREADS = 16
GPU_ENCODE_THREADS = 32
# Of a software worker, whose threads are few: one that waits for the GIL must not wait for 5 ms, a
# good part of a frame's delay. Of a GPU's dozens most wait at any time: all would wake so often,
# and make whoever has the GIL give it up. Python's own 5 ms gives less delay there (docs/gpu.md).
SOFTWARE_SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class OpenDevice:
    """A device, and where its sessions get their threads from."""

    backend: Backend
    threads: SessionThreads


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """A kind of device: how it is recognised and opened."""

    device: str  # as a `ChildId` has it; "": every one that no other kind is
    open: Callable[[str, int, int], OpenDevice]  # name, threads of an x264 encoder, share
    prepare: Callable[[str], None]  # before any of its modules is imported


def _open_software(name: str, encoder_threads: int, share: int) -> OpenDevice:
    from worker.devices.software.device import SoftBackend

    return OpenDevice(SoftBackend(name, encoder_threads), OwnThreads())


def _prepare_software(name: str) -> None:
    sys.setswitchinterval(SOFTWARE_SWITCH_INTERVAL_S)


def _open_gpu(name: str, encoder_threads: int, share: int) -> OpenDevice:
    from worker.devices.gpu.device import GpuBackend

    backend = GpuBackend(name, encoder_threads=encoder_threads, share=share)
    if backend.info.path is Pipeline.HYBRID:
        return OpenDevice(backend, OwnThreads(groups_small_encoders=True))
    return OpenDevice(backend, SharedThreads(GPU_DECODE_THREADS, GPU_ENCODE_THREADS))


def _prepare_gpu(name: str) -> None:
    # before any CUDA library is imported: no context, no memory on any other GPU
    os.environ["CUDA_VISIBLE_DEVICES"] = name


DEVICES = (
    DeviceKind(CPU, _open_software, _prepare_software),
    DeviceKind("", _open_gpu, _prepare_gpu),  # a GPU's UUID
)


def device_kind(device: str) -> DeviceKind:
    """The kind of the device that the command line names."""
    return next(kind for kind in DEVICES if kind.device in (device, ""))


def prepare_device(device: str) -> None:
    """Set this process up for the device, before `open_device` and before all other work."""
    device_kind(device).prepare(device)


def open_device(device: str, encoder_threads: int, share: int = 1, *, name: str = "") -> OpenDevice:
    """Open the device, under another name if one is given.

    `share` workers, this one included, encode on the host's cores.

    Raises BootFailed, DeviceLost.
    """
    return device_kind(device).open(name or device, encoder_threads, share)
