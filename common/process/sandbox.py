"""The sandbox of a process that decodes what strangers send (IO: system calls).

A process that connects to other hosts has the second step alone, and keeps its sockets and files
(`STARTS_NOTHING`).

Two steps. `close_files`, while the process has one thread: from then on it opens its own code, the
system's libraries and what its kind names, and nothing else (Landlock). `close_calls`, when it has
opened what it needs: no program, no process, no socket but a Unix one, no new address
(`common/process/seccomp.py`), on all its threads. Neither can be taken back.

A bug in a decoder then costs that process: no file of the operator's is read, nobody outside is
reached, nothing is left behind for the next start.
"""

import ctypes
import errno
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.process import landlock
from common.process.seccomp import ARCHITECTURES, FORBIDDEN, Forbidden, filter_program

log = logging.getLogger("tfarm.common.process.sandbox")

_SET_MODE_FILTER: Final = 1
_THREAD_SYNC: Final = 1  # SECCOMP_FILTER_FLAG_TSYNC

# What could not be closed to this process, in words; each once.
_problems: dict[str, None] = {}

IO_URING: Final = tuple(call for call in FORBIDDEN if call.name.startswith("io_uring"))
_SOCKETS: Final = frozenset(("socket", "bind", "listen"))
# For who connects to other hosts, and reads files again that its configuration names.
STARTS_NOTHING: Final = tuple(call for call in FORBIDDEN if call.name not in _SOCKETS)
_SYSTEM: Final = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/sys/devices/system",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys/vm",
    "/proc/sys/kernel",
    "/dev/urandom",
    "/dev/zero",
)


@dataclass(frozen=True, slots=True)
class SandboxPaths:
    """What a kind, or its device, needs beyond Python and the system's libraries."""

    read: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()  # read, written, ioctl
    write: tuple[Path, ...] = ()  # directories: files and folders are made, named and removed there
    listens: bool = False  # it binds a TCP address before `close_calls`
    connects: bool = False  # it connects to other hosts, and listens for what they send


def missing() -> list[str]:
    """Name what this kernel lacks for a sandbox, in words; nothing where it has all."""
    lacks = []
    if not landlock.abi():
        lacks.append("Landlock (Linux 5.13, and `landlock` in the kernel's `lsm=`)")
    if os.uname().machine not in ARCHITECTURES:
        lacks.append(f"a list of system calls for {os.uname().machine}")
    elif not Path("/proc/sys/kernel/seccomp").exists():
        lacks.append("seccomp filters")
    return lacks


def problems() -> str:
    """Say what could not be closed to this process; "": nothing."""
    return "; ".join(_problems)


def close_files(run_dir: Path, paths: SandboxPaths, packages: Iterable[Path] = ()) -> bool:
    """Leave this process the files that it needs; False, with a line in the log, where it cannot.

    `packages` are the directories of its own code. It may make sockets in the run directory, until
    `close_calls`.
    """
    try:
        landlock.forbid_new_privileges()
        landlock.restrict(
            _allowed(run_dir, paths, packages), may_bind=paths.listens, may_connect=paths.connects
        )
    except OSError as error:
        log.warning("no sandbox for files reason=%s", error.strerror)
        _problems[f"its files are not closed ({error.strerror})"] = None
        return False
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:  # they keep all rights: the kernel restricts the calling thread alone
        log.warning("the sandbox for files leaves out threads count=%d", threads - 1)
        words = f"its files are not closed to {threads - 1} threads that a library had started"
        _problems[words] = None
    return True


def calls_of(paths: SandboxPaths) -> Sequence[Forbidden]:
    """The system calls that are closed to a process that needs these."""
    return STARTS_NOTHING if paths.connects else FORBIDDEN


def close_calls(forbidden: Sequence[Forbidden] = FORBIDDEN) -> bool:
    """Filter this process's system calls, on all threads; False, with a line, where it cannot."""
    uname = os.uname()
    try:
        architecture = ARCHITECTURES[uname.machine]
    except KeyError:
        reason = f"unknown machine {uname.machine}"
        log.warning("no sandbox for system calls reason=%s", reason)
        _problems[f"its system calls are not filtered ({reason})"] = None
        return False
    program = filter_program(uname.machine, os.getpid(), forbidden)
    code = ctypes.create_string_buffer(b"".join(each.pack() for each in program))

    class Program(ctypes.Structure):  # struct sock_fprog
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    argument = Program(len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        landlock.forbid_new_privileges()
        result = libc.syscall(
            architecture.seccomp, _SET_MODE_FILTER, _THREAD_SYNC, ctypes.byref(argument)
        )
        if result > 0:
            raise OSError(errno.EBUSY, f"thread {result} has a filter of its own")
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    except OSError as error:
        log.warning("no sandbox for system calls reason=%s", error.strerror)
        _problems[f"its system calls are not filtered ({error.strerror})"] = None
        return False
    return True


def _allowed(
    run_dir: Path, paths: SandboxPaths, packages: Iterable[Path]
) -> Iterable[tuple[Path, int]]:
    own = Path(f"/proc/{os.getpid()}")  # "self" would be asked for anew in each thread
    python = (Path(sys.prefix), Path(sys.base_prefix))
    for path in (*map(Path, _SYSTEM), own, *python, *packages, *paths.read):
        yield path, landlock.READ
    for entry in map(Path, sys.path):
        yield entry, landlock.READ_DIR
    for path in paths.devices:
        yield path, landlock.DEVICE
    for path in paths.write:
        yield path, landlock.KEEP_FILES
    yield Path("/dev/null"), landlock.READ | landlock.WRITE
    yield own / "task", landlock.READ | landlock.WRITE  # names of threads: CUDA insists
    yield run_dir, landlock.MAKE_SOCK
