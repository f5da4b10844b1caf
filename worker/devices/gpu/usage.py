"""How busy a GPU's engines are, as NVML counts it (IO), for `tfarm calibrate`.

NVML averages over its own short window: it is asked a few times a second, and the mean over a trial
is what counts. Other programs on the GPU count too.
"""

import sys
import time
from typing import Any

SAMPLE_S = 0.25


class GpuUsage:
    """Samples one GPU; memory is counted from what was used when it was made."""

    def __init__(self, uuid: str, nvml: Any = None) -> None:
        """`nvml` is pynvml, or what stands in for it."""
        if nvml is None:
            import pynvml

            nvml = pynvml
        self._nvml = nvml
        nvml.nvmlInit()
        self._handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        if "cupy" in sys.modules:  # what closed sessions left in its pool is none of this trial's
            sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
        self._memory_before = self._memory()
        self._memory_most = self._memory_before
        self._sums = [0.0, 0.0, 0.0]
        self._samples = 0
        self._next_s = 0.0

    def sample(self) -> None:
        """Look, if the last look was long enough ago."""
        now = time.monotonic()
        if now < self._next_s:
            return
        self._next_s = now + SAMPLE_S
        nvml, handle = self._nvml, self._handle
        for index, ask in enumerate((self._decoder, self._cores, self._encoder)):
            try:
                self._sums[index] += ask(handle)
            except nvml.NVMLError:
                continue  # not supported there: it is no limit that we know
        self._samples += 1
        self._memory_most = max(self._memory_most, self._memory())

    def means(self) -> tuple[float, float, float, int]:
        """Shares of decoders, cores and encoders, and bytes of memory since the beginning."""
        decode, cores, encode = (total / max(1, self._samples) / 100 for total in self._sums)
        return decode, cores, encode, self._memory_most - self._memory_before

    def _decoder(self, handle: Any) -> float:
        return float(self._nvml.nvmlDeviceGetDecoderUtilization(handle)[0])

    def _encoder(self, handle: Any) -> float:
        return float(self._nvml.nvmlDeviceGetEncoderUtilization(handle)[0])

    def _cores(self, handle: Any) -> float:
        return float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)

    def _memory(self) -> int:
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used)
