"""What a process uses (IO: /proc): memory as PSS, CPU as a share of one core.

PSS, not RSS: the children share the interpreter's and the libraries' pages, and RSS would count
these once a child.
"""

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from supervisor.processes.hang import ThreadState

SAME_S = 2.0  # kills that come together are of one shortage

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def pss_bytes(pid: int) -> int:
    """Proportional set size; 0 when the process is gone or may not be looked at."""
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open("rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


class MemoryMeter:
    """Proportional set sizes that may be some time old: the kernel takes 1 to 3 ms for one."""

    def __init__(self, measure: Callable[[int], int] = pss_bytes) -> None:
        self._measure = measure
        self._known: dict[int, tuple[int, float]] = {}

    def bytes(self, pids: Iterable[int], now: float, oldest_s: float) -> dict[int, int]:
        """Return that of these processes, measured at most `oldest_s` ago; others are forgotten."""
        found = {}
        for pid in pids:
            known = self._known.get(pid)
            is_good = known is not None and now - known[1] < oldest_s
            found[pid] = known if known is not None and is_good else (self._measure(pid), now)
        self._known = found
        return {pid: size for pid, (size, _) in found.items()}


def _read(path: str) -> bytes:
    """Read a small file of /proc; a fifth of what `Path.read_text` takes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def rss_bytes(pid: int) -> int:
    """Resident set size, far cheaper to ask than PSS; 0 when the process is gone."""
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def cpu_seconds(pid: int) -> float:
    """User and system time so far; 0 when the process is gone."""
    try:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    except (OSError, ValueError, IndexError):
        return 0.0


def read_thread_state(pid: int) -> ThreadState | None:
    """The state of its main thread; None when it is gone or the kernel gives none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        slices = Path(f"/proc/{pid}/schedstat").read_text().split()[2]
        return ThreadState(stat.rpartition(")")[2].split()[0], int(slices))
    except (OSError, ValueError, IndexError):
        return None


def oom_kills() -> int | None:
    """How many processes the kernel has killed for memory since boot; None: it does not say."""
    try:
        with Path("/proc/vmstat").open() as file:
            return next(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


class OutOfMemory:
    """Tells if a SIGKILL may have been the kernel's, for memory."""

    def __init__(self, count: Callable[[], int | None] = oom_kills) -> None:
        self._count = count
        self._known = count()
        self._short_until_s = -math.inf

    def may_have_killed(self, now: float) -> bool:
        """Tell it of a kill that was just seen; so is the next one, if it comes at once."""
        count = self._count()
        if count is None:
            return True
        if count != self._known:
            self._known = count
            self._short_until_s = now + SAME_S
        return now <= self._short_until_s


class CpuMeter:
    """Percent of one core between samples, by pid."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, float]] = {}
        self.percent: dict[int, float] = {}

    def sample(self, pids: list[int], now: float) -> None:
        """Measure these processes; others are forgotten."""
        measured: dict[int, tuple[float, float]] = {}
        percent: dict[int, float] = {}
        for pid in pids:
            used = cpu_seconds(pid)
            measured[pid] = (used, now)
            before, then = self._last.get(pid, (used, now))
            percent[pid] = 100.0 * (used - before) / (now - then) if now > then else 0.0
        self._last, self.percent = measured, percent
