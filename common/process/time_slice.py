"""How soon a thread gets a core that others are busy on: its time slice (IO: the scheduler).

Linux lets a waking thread go before a running one if its slice ends sooner (EEVDF; a slice of one's
own since 6.12, sched_setattr(2)). Whoever moves media runs for a moment at a time, and would else
wait for the end of an encoder's slice. Nothing of a core's share is taken by it: a lower
niceness of encoders would do the same, and cost 5 % of their time (docs/performance.md).

Encoders themselves have long slices: where there are more of them than cores, each is better done
with its picture before the next one empties its caches, than all of them later.
Older kernels, and others, go on as they are.
"""

import contextlib
import ctypes
import os
import platform
import sys

SHORT_NS = 100_000  # the shortest that there is
LONG_NS = 30_000_000
_USUAL_NS = 0
_NORMAL, _BATCH = 0, 3  # SCHED_OTHER, SCHED_BATCH
_NUMBERS = {"x86_64": 314, "aarch64": 274}  # of sched_setattr


class _Attributes(ctypes.Structure):
    """struct sched_attr, version 0."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def shorten() -> None:
    """Give this thread a short slice, and all that it starts from now on."""
    _set(SHORT_NS)


def lengthen(*, is_batch: bool = False) -> None:
    """Give this thread a long slice, and all that it starts from now on.

    `is_batch`: when it wakes it takes a core from nobody (SCHED_BATCH).
    """
    _set(LONG_NS, _BATCH if is_batch else _NORMAL)


def restore() -> None:
    """Give this thread the usual slice."""
    _set(_USUAL_NS)


def _set(slice_ns: int, policy: int = _NORMAL) -> None:
    number = _NUMBERS.get(platform.machine())
    if number is None or not sys.platform.startswith("linux"):
        return
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _Attributes(ctypes.sizeof(_Attributes), policy, 0, niceness, 0, slice_ns, 0, 0)
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).syscall(number, 0, ctypes.byref(attributes), 0)
