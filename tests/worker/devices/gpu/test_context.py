"""Whether a failure is the device's: a CUDA runtime that answers as a dead context's does."""

import sys
from types import SimpleNamespace

import pytest

from common.errors import DecodeFailed, DeviceLost, WorkerError
from worker.devices.gpu.context import GpuContext, open_context


class CudaRuntimeError(RuntimeError):
    """As CuPy raises it: the status' name comes first."""


class Runtime:
    """What is asked of CuPy's runtime; `memory` and `stream` are raised by the call."""

    CUDARuntimeError = CudaRuntimeError

    def __init__(self, memory: Exception | None = None, stream: Exception | None = None) -> None:
        self._memory = memory
        self._stream = stream

    def memGetInfo(self) -> tuple[int, int]:
        if self._memory:
            raise self._memory
        return 1 << 30, 2 << 30

    def streamQuery(self, stream: int) -> None:
        if self._stream:
            raise self._stream


@pytest.fixture
def context() -> GpuContext:
    return GpuContext(1, "NVIDIA L4", "GPU-a", "00000000:65:00.0", 13000, (8, 9))


def answer_with(monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    stream = SimpleNamespace(null=SimpleNamespace(ptr=0))
    cuda = SimpleNamespace(runtime=runtime, Stream=stream)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))


ILLEGAL = CudaRuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
OFF_THE_BUS = CudaRuntimeError("cudaErrorUnknown: unknown error")
BUSY = CudaRuntimeError("cudaErrorNotReady: device not ready")


@pytest.mark.parametrize(
    ("runtime", "is_lost"),
    [
        (Runtime(), False),
        (Runtime(stream=BUSY), False),  # work is queued: it lives
        (Runtime(stream=ILLEGAL), True),
        (Runtime(memory=ILLEGAL), True),
        (Runtime(memory=OFF_THE_BUS), True),
    ],
)
def test_a_context_is_dead_when_harmless_calls_fail(
    context: GpuContext, monkeypatch: pytest.MonkeyPatch, runtime: Runtime, is_lost: bool
) -> None:
    answer_with(monkeypatch, runtime)
    assert context.is_lost() is is_lost


def test_a_failure_is_the_streams_own_unless_the_context_is_dead(
    context: GpuContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, otherwise = RuntimeError("cuvidDecodePicture: 999"), DecodeFailed("a damaged unit")
    answer_with(monkeypatch, Runtime())
    assert context.failure(error, otherwise) is otherwise
    answer_with(monkeypatch, Runtime(memory=ILLEGAL))
    lost: WorkerError = context.failure(error, otherwise)
    assert isinstance(lost, DeviceLost)
    assert str(lost) == "NVIDIA L4: cuvidDecodePicture: 999"


def test_without_the_packages_it_says_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(WorkerError, match=r"install requirements/gpu12\.txt or gpu13\.txt, as"):
        open_context()
