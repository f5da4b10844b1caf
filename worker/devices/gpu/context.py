"""The GPU of this process: its one primary CUDA context, streams, events, memory (IO).

FFmpeg's NVENC accepts a primary context only with blocking synchronisation, and flags count only
before anything makes the context active: so `open_context` comes before CuPy, PyNvVideoCodec and
PyAV touch the GPU, and all of them work in what it retains. One GPU is visible to the process, as
logical device 0: PyAV takes a stream there only.

What happens for every frame (a launch, a copy, an event) goes to the driver by ctypes with the GIL
kept: these calls only queue something, and giving the GIL up for a microsecond costs a busy worker
far more than that, because getting it back takes its turn behind all other threads.

CuPy and cuda-python have no types; what they return is typed here and in `memory.py`, `scale.py`.
"""

import ctypes
import os
import sys
import threading
from functools import lru_cache
from typing import Any

from common.errors import BootFailed, DeviceLost, WorkerError

_CUDA_MODULES = ("cupy", "cuda.bindings", "PyNvVideoCodec")


class CudaError(Exception):
    """A driver call of the frame path failed."""


class Stream:
    """A stream of its own: it waits for no other, the legacy stream included."""

    def __init__(self) -> None:
        import cupy

        self.cupy: Any = cupy.cuda.Stream(non_blocking=True)
        self.pointer = int(self.cupy.ptr)

    def wait(self, event: "Event") -> None:
        """Run what is queued from now on after `event`."""
        status = _driver().cuStreamWaitEvent(self.pointer, event.pointer, 0)
        _check(status, "cuStreamWaitEvent")

    def synchronize(self) -> None:
        self.cupy.synchronize()


class Event:
    """A point in a stream. Waiting for it on the host sleeps instead of spinning."""

    def __init__(self) -> None:
        import cupy

        self.cupy: Any = cupy.cuda.Event(block=True, disable_timing=True)
        self.pointer = int(self.cupy.ptr)

    def record(self, stream: Stream) -> None:
        _check(_driver().cuEventRecord(self.pointer, stream.pointer), "cuEventRecord")

    def synchronize(self) -> None:
        if _driver().cuEventQuery(self.pointer):  # not there yet, or an error, which this tells
            self.cupy.synchronize()


class GpuContext:
    """The retained primary context, and what its device is. Made by `open_context`."""

    def __init__(
        self,
        pointer: int,
        name: str,
        uuid: str,
        pci_id: str,
        driver_version: int,
        compute_capability: tuple[int, int],
    ) -> None:
        self.pointer = pointer  # CUcontext
        self.name = name
        self.uuid = uuid
        self.pci_id = pci_id
        self.driver_version = driver_version  # 13000 is CUDA 13.0
        self.compute_capability = compute_capability
        self._entered = threading.local()

    def enter(self) -> None:
        """Make the context current on this thread; cheap when it is."""
        if not hasattr(self._entered, "done"):
            import cupy

            cupy.cuda.Device(0).use()
            cupy.cuda.runtime.free(0)  # the runtime is lazy: this makes it do it
            self._entered.done = True

    def memory(self) -> tuple[int, int]:
        """Free and total bytes of the device."""
        import cupy

        free, total = cupy.cuda.runtime.memGetInfo()
        return int(free), int(total)

    def is_lost(self) -> bool:
        """Return whether the context is dead, as after an illegal access: then all calls fail.

        Not asked in the frame path, only once something has failed.
        """
        import cupy

        try:
            cupy.cuda.runtime.memGetInfo()
            cupy.cuda.runtime.streamQuery(cupy.cuda.Stream.null.ptr)
        except cupy.cuda.runtime.CUDARuntimeError as error:
            return "cudaErrorNotReady" not in str(error)
        return False

    def failure(self, error: Exception, otherwise: WorkerError) -> WorkerError:
        """Return what to raise for `error`: DeviceLost if the device is gone, else `otherwise`."""
        if self.is_lost():
            return DeviceLost(f"{self.name}: {error}")
        return otherwise


def launch_kernel(
    function: int, blocks: int, threads: int, shared_bytes: int, stream: Stream, arguments: int
) -> None:
    """Queue a kernel; `arguments` points to an array of pointers to its arguments."""
    status = _driver().cuLaunchKernel(
        function, blocks, 1, 1, threads, 1, 1, shared_bytes, stream.pointer, arguments, None
    )
    _check(status, "cuLaunchKernel")


class HostRegistration:
    """Host memory that copies from the device go to at full speed, as long as this is kept.

    It must be given back before the memory is unmapped, and when no copy is under way.
    """

    def __init__(self, context: GpuContext, address: int, size: int) -> None:
        """Raises CudaError."""
        self._context = context
        self._address = address
        context.enter()
        status = _driver().cuMemHostRegister_v2(address, size, 0)
        _check(status, "cuMemHostRegister")

    def close(self) -> None:
        """May be called again."""
        address, self._address = self._address, 0
        if address:
            self._context.enter()
            _check(_driver().cuMemHostUnregister(address), "cuMemHostUnregister")


def copy_to_host(target: int, source: int, size: int, stream: Stream) -> None:
    """Queue a copy from device memory to pinned host memory."""
    status = _driver().cuMemcpyDtoHAsync_v2(target, source, size, stream.pointer)
    _check(status, "cuMemcpyDtoHAsync")


@lru_cache(maxsize=1)
def _driver() -> ctypes.PyDLL:
    library = ctypes.PyDLL("libcuda.so.1")
    pointer, unsigned = ctypes.c_void_p, ctypes.c_uint
    library.cuLaunchKernel.argtypes = (pointer, *[unsigned] * 7, pointer, pointer, pointer)
    library.cuEventRecord.argtypes = (pointer, pointer)
    library.cuEventQuery.argtypes = (pointer,)
    library.cuStreamWaitEvent.argtypes = (pointer, pointer, unsigned)
    library.cuMemcpyDtoHAsync_v2.argtypes = (pointer, pointer, ctypes.c_size_t, pointer)
    library.cuMemHostRegister_v2.argtypes = (pointer, ctypes.c_size_t, unsigned)
    library.cuMemHostUnregister.argtypes = (pointer,)
    return library


def _check(status: int, name: str) -> None:
    if status:
        raise CudaError(f"{name}: CUDA error {status}")


def open_context(device: str | None = None) -> GpuContext:
    """Show this process one GPU and retain its primary context.

    `device` is a UUID ("GPU-…") or a PCI id; None takes what CUDA_VISIBLE_DEVICES shows, which
    must be one. Raises BootFailed. The context lives as long as the process.
    """
    os.environ.setdefault("CUPY_CACHE_IN_MEMORY", "1")  # a service may have no home to write to
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if device is not None and os.environ.get("CUDA_VISIBLE_DEVICES") != device:
        loaded = [name for name in _CUDA_MODULES if name in sys.modules]
        if loaded:
            raise BootFailed(f"{', '.join(loaded)} was imported before the GPU was chosen")
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    try:
        from cuda.bindings import driver
    except (ImportError, RuntimeError) as error:
        wanted = "requirements/gpu12.txt or gpu13.txt, as the driver's CUDA is"
        raise BootFailed(f"cuda-python: {error}; install {wanted}") from error
    _call(driver, driver.cuInit(0), "cuInit")
    count = int(_call(driver, driver.cuDeviceGetCount(), "cuDeviceGetCount"))
    if count != 1:
        raise BootFailed(f"{count} GPUs are visible to this worker, 1 is needed")
    handle = _call(driver, driver.cuDeviceGet(0), "cuDeviceGet")
    flags = driver.CUctx_flags.CU_CTX_SCHED_BLOCKING_SYNC
    _call(driver, driver.cuDevicePrimaryCtxSetFlags(handle, flags), "cuDevicePrimaryCtxSetFlags")
    context = _call(driver, driver.cuDevicePrimaryCtxRetain(handle), "cuDevicePrimaryCtxRetain")
    _call(driver, driver.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    uuid = bytes(_call(driver, driver.cuDeviceGetUuid(handle), "cuDeviceGetUuid").bytes)
    attribute = driver.CUdevice_attribute
    capability = (
        attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
        attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
    )
    major, minor = (
        int(_call(driver, driver.cuDeviceGetAttribute(kind, handle), "cuDeviceGetAttribute"))
        for kind in capability
    )
    return GpuContext(
        pointer=int(context),
        name=_text(_call(driver, driver.cuDeviceGetName(128, handle), "cuDeviceGetName")),
        uuid=uuid_text(uuid),
        pci_id=_text(_call(driver, driver.cuDeviceGetPCIBusId(32, handle), "cuDeviceGetPCIBusId")),
        driver_version=int(_call(driver, driver.cuDriverGetVersion(), "cuDriverGetVersion")),
        compute_capability=(major, minor),
    )


def uuid_text(uuid: bytes) -> str:
    """The 16 bytes of a device's UUID as nvidia-smi writes them."""
    digits = uuid.hex()
    groups = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "GPU-" + "-".join(groups)


def _call(driver: Any, answer: tuple[Any, ...], name: str) -> Any:
    """The value of a driver call, which answers (status,) or (status, value)."""
    status, *values = answer
    if status != driver.CUresult.CUDA_SUCCESS:
        raise BootFailed(f"{name}: {status.name}")
    return values[0] if values else None


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")
