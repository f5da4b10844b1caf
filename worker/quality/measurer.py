"""The thread that measures how good keyframes look (IO: a thread, the CPU's clock).

One a process, started with the first measurement: a farm that measures nothing has none. It is of
the scheduler's batch class, as threads that encode for GPUs are, so it takes no core from a thread
that wakes. Its niceness is the usual one: where cores are short, a thread that is nice would keep
all others waiting for the GIL whenever it loses its core with it. What is measured is bounded by
`MAX_WAITING`; whoever finds no room tries again with the next keyframe.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from common.codecs.table import CodecConfig
from common.process import time_slice
from worker.devices.letterbox import Rectangle
from worker.quality.kept_luma import KeptLuma
from worker.threads import JobThread

if TYPE_CHECKING:
    from worker.quality.ssim import Likeness, Luma

MAX_WAITING: Final = 4  # the one that is measured included: their pictures take memory

Decode = Callable[[CodecConfig, bytes, int, int], "Luma"]  # raises DecodeFailed


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a measurement."""

    likeness: "Likeness | None"  # None: it failed
    reason: str  # of a failure
    cpu_s: float
    lasted_s: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """A keyframe to be compared with the picture that it was made of."""

    reference: KeptLuma
    place: Rectangle  # that shows the source
    config: CodecConfig
    unit: bytes  # as in `EncodedUnit`
    width: int
    height: int
    ended: Callable[[Measured], None]  # called in the thread that measures


class Measurer:
    """All measurements of a process. `post` from any thread."""

    def __init__(self, decode: Decode | None = None) -> None:
        """`decode` instead of libavcodec."""
        self.done = 0  # measurements; the thread's
        self.cpu_s = 0.0  # that they took; likewise
        self._decode = decode
        self._lock = threading.Lock()
        self._thread: JobThread | None = None
        self._waiting = 0
        self._is_closed = False

    def post(self, measurement: Measurement) -> bool:
        """Have a keyframe measured; False: too many wait, or it is closed."""
        with self._lock:
            if self._is_closed or self._waiting >= MAX_WAITING:
                return False
            self._waiting += 1
            if self._thread is None:
                self._thread = JobThread("quality", partial(time_slice.lengthen, is_batch=True))
            self._thread.post(partial(self._measure, measurement))
        return True

    def counters(self) -> dict[str, int]:
        """For heartbeats: how many there were, and what they took of a core."""
        return {"measurements": self.done, "measuring_ms": round(1000 * self.cpu_s)}

    def close(self, timeout_s: float = 1.0) -> None:
        """Measure nothing more; what waits is dropped. May be called again."""
        with self._lock:
            self._is_closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()
            thread.join(timeout_s)

    def _measure(self, measurement: Measurement) -> None:
        began_s, began_cpu_s = time.monotonic(), time.thread_time()
        likeness, reason = None, ""
        try:
            if self._is_closed:
                return
            likeness = self._compare(measurement)
        except Exception as error:  # of a codec, a device, or a bug: one rendition is not measured
            reason = f"{type(error).__name__}: {error}"
        finally:
            with self._lock:
                self._waiting -= 1
        cpu_s, lasted_s = time.thread_time() - began_cpu_s, time.monotonic() - began_s
        self.done += 1
        self.cpu_s += cpu_s
        measurement.ended(Measured(likeness, reason, cpu_s, lasted_s))

    def _compare(self, measurement: Measurement) -> "Likeness":
        decode = self._decode
        if decode is None:
            from worker.devices.software.luma import decode_keyframe

            decode = self._decode = decode_keyframe
        coded = decode(measurement.config, measurement.unit, measurement.width, measurement.height)
        return measurement.reference.compare(coded, measurement.place)
