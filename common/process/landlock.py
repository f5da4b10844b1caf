"""Landlock: the files that a process may still open (IO: system calls).

Only what is named stays open to the calling thread and to threads that it makes later; what it has
open stays so. TCP, abstract Unix sockets and signals to other processes are taken away where the
kernel can. Unix sockets with a path stay: Landlock has no word for them.

Sources: landlock(7); linux/landlock.h of Linux 6.12 (ABI 6).
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped; by ABI
_ATTRIBUTE_BYTES: Final = ((6, 24), (4, 16), (1, 8))
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH: Final = 1  # LANDLOCK_RULE_PATH_BENEATH
_PR_SET_NO_NEW_PRIVS: Final = 38

# LANDLOCK_ACCESS_FS_*
_EXECUTE, _WRITE_FILE, _READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 5, 1 << 7, 1 << 8
MAKE_SOCK: Final = 1 << 9
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
READ: Final = _READ_FILE | READ_DIR
WRITE: Final = _WRITE_FILE | _TRUNCATE
KEEP_FILES: Final = READ | WRITE | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG
DEVICE: Final = _READ_FILE | _WRITE_FILE | _IOCTL_DEV
_ON_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

# the highest access to files that an ABI knows, plus 1
_HANDLED: Final = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 4: 1 << 15, 5: 1 << 16}
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1  # ABI 4
_SCOPED: Final = 0b11  # abstract Unix sockets and signals, ABI 6

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Return the kernel's Landlock ABI; 0 where there is none, or where it is switched off."""
    version = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    return max(0, int(version))


def forbid_new_privileges() -> None:
    """Have no program that this process starts gain rights, which both filters ask for.

    Raises:
        OSError: the kernel refused.
    """
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def restrict(
    allowed: Iterable[tuple[Path, int]], *, may_bind: bool = False, may_connect: bool = False
) -> None:
    """Leave the calling thread these paths, each with what may be done beneath it.

    A path that does not exist is skipped. `forbid_new_privileges` comes first. `may_bind`: it may
    still bind a TCP address; `may_connect`: it may do both, and connect.

    Raises:
        OSError: the kernel has no Landlock, or refused.
    """
    version = abi()
    if not version:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    handled = _HANDLED[min(version, max(_HANDLED))] - 1
    size = next(size for since, size in _ATTRIBUTE_BYTES if version >= since)
    net = _CONNECT_TCP if may_bind else _CONNECT_TCP | _BIND_TCP
    net = 0 if may_connect else net
    attribute = struct.pack("=QQQ", handled, net, _SCOPED)[:size]
    ruleset = _check(
        _libc.syscall(_CREATE_RULESET, attribute, ctypes.c_size_t(size), ctypes.c_uint32(0))
    )
    try:
        for path, access in allowed:
            _allow(ruleset, path, access & handled)
        _check(_libc.syscall(_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            access &= _ON_FILES
        rule = struct.pack("=Qi", access, descriptor)
        _check(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, ctypes.c_uint32(0)))
    finally:
        os.close(descriptor)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
