"""The devices that a worker can have: one entry each (IO: a device's module opens it).

To add a device: a folder beside `software/` and `gpu/` whose classes are a
`worker.devices.backend.Backend`, a function here that imports and opens it, and an entry in
`DEVICES`. A device's modules are imported only inside that function: PyNvVideoCodec raises on a
machine without a driver, and CUDA must find its environment set.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.config.ladder import Pipeline
from common.ipc.child import Sandbox
from common.ipc.identity import CPU
from common.process.sandbox import SandboxPaths
from worker.devices.backend import Backend
from worker.threads import OwnThreads, SessionThreads, SharedThreads

GPU_DECODE_THREADS = 16
GPU_ENCODE_THREADS = 32
# Of a software worker, whose threads are few: one that waits for the GIL must not wait for 5 ms, a
# good part of a frame's delay. Of a GPU's dozens most wait at any time: all would wake so often,
# and make whoever has the GIL give it up. Python's own 5 ms gives less delay there.
SOFTWARE_SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True, slots=True)
class OpenDevice:
    """A device, and where its sessions get their threads from."""

    backend: Backend
    threads: SessionThreads
    shares_pictures: bool = False  # with encoder processes, which encode them


@dataclass(frozen=True, slots=True)
class DeviceKind:
    """A kind of device: how it is recognised and opened."""

    device: str  # as a `ChildId` has it; "": every one that no other kind is
    # name, threads of an x264 encoder, share, whether pictures may go to encoder processes
    open: Callable[[str, int, int, bool], OpenDevice]
    prepare: Callable[[str], None]  # before any of its modules is imported
    modules: tuple[str, ...]  # to be imported before the sandbox closes
    paths: Callable[[], SandboxPaths]  # what it needs in the sandbox


def _open_software(
    name: str, encoder_threads: int, share: int, shares_pictures: bool
) -> OpenDevice:
    from worker.devices.software.device import SoftBackend

    threads = OwnThreads()
    return OpenDevice(SoftBackend(name, encoder_threads), threads, shares_pictures=shares_pictures)


def _prepare_software(name: str) -> None:
    sys.setswitchinterval(SOFTWARE_SWITCH_INTERVAL_S)


def _no_paths() -> SandboxPaths:
    return SandboxPaths()


def _open_gpu(name: str, encoder_threads: int, share: int, shares_pictures: bool) -> OpenDevice:
    from worker.devices.gpu.device import GpuBackend

    backend = GpuBackend(name, encoder_threads=encoder_threads, share=share)
    if backend.info.path is Pipeline.HYBRID:
        if shares_pictures:
            return OpenDevice(backend, SharedThreads(GPU_DECODE_THREADS, 0), shares_pictures=True)
        return OpenDevice(backend, OwnThreads(groups_small_encoders=True))
    return OpenDevice(backend, SharedThreads(GPU_DECODE_THREADS, GPU_ENCODE_THREADS))


def _prepare_gpu(name: str) -> None:
    # before any CUDA library is imported: no context, no memory on any other GPU
    os.environ["CUDA_VISIBLE_DEVICES"] = name


def _gpu_paths() -> SandboxPaths:
    """The driver's devices and facts; CUDA and NVDEC were tried with them on H200s."""
    if not Path("/dev/nvidia-uvm").exists():  # libcuda would have it made, and no longer can
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["nvidia-modprobe", "-c0", "-u"]  # wherever the driver has put it
            subprocess.run(command, timeout=10, check=False)
    devices = [path for path in Path("/dev").glob("nvidia*") if path != Path("/dev/nvidia")]
    read = map(Path, ("/proc/driver", "/proc/devices", "/proc/modules", "/sys", "/etc/nvidia"))
    return SandboxPaths(tuple(read), tuple(devices))


DEVICES = (
    DeviceKind(
        CPU, _open_software, _prepare_software, ("worker.devices.software.device",), _no_paths
    ),
    # a GPU's UUID
    DeviceKind(
        "",
        _open_gpu,
        _prepare_gpu,
        # their imports look for libraries by the compiler and by temporary files
        ("worker.devices.gpu.device", "cupy", "PyNvVideoCodec"),
        _gpu_paths,
    ),
)


def device_kind(device: str) -> DeviceKind:
    """The kind of the device that the command line names."""
    return next(kind for kind in DEVICES if kind.device in (device, ""))


def prepare_device(device: str) -> None:
    """Set this process up for the device, before `open_device` and before all other work."""
    device_kind(device).prepare(device)


def device_sandbox(device: str) -> Sandbox:
    """The sandbox of a worker with the device."""
    kind = device_kind(device)
    return Sandbox(kind.paths(), ("worker.run", *kind.modules))


def open_device(
    device: str,
    encoder_threads: int,
    share: int = 1,
    *,
    name: str = "",
    shares_pictures: bool = False,
) -> OpenDevice:
    """Open the device, under another name if one is given.

    `share` processes, this one included, encode on the host's cores. `shares_pictures`: what the
    host is to encode goes to encoder processes.

    Raises BootFailed, DeviceLost.
    """
    return device_kind(device).open(name or device, encoder_threads, share, shares_pictures)
