"""Damage that NVDEC concealed, read from what PyNvVideoCodec prints (IO: the C library's stdout).

The package asks the driver for each picture's decode status and tells of a bad one by a printf
within `Decode()`, in the caller's thread, and in no other way: its decoder's handle, with which one
could ask oneself, is not to be had. So the C library's `stdout` is put by for a stream of our own,
whose writes come to a callback in the thread that printed: that thread's decoder it was. All other
text goes on to file descriptor 1. Python's own output does not pass here.

The stream is unbuffered, and its locking is left out: a callback waits for the GIL, and a thread
that holds the GIL and prints would wait for the stream's lock. Writers at the same time are no
matter, for without a buffer there is nothing that they share.
"""

import atexit
import ctypes
import logging
import os
import threading
from typing import Any

log = logging.getLogger("tfarm.worker.devices.gpu.nvdec_errors")

_MARK = b"Decode Error occurred for picture"
_UNBUFFERED = 2  # _IONBF
_NO_LOCKING = 2  # FSETLOCKING_BYCALLER
_Write = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class _CookieFunctions(ctypes.Structure):
    """cookie_io_functions_t of glibc."""

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", _Write),
        ("seek", ctypes.c_void_p),
        ("close", ctypes.c_void_p),
    )


_counts: dict[int, int] = {}  # by thread; each thread's entry is its own
_installed: list[Any] = []  # what must live as long as the stream


def watch_damage() -> bool:
    """From now on `damaged_pictures` tells; False with another C library than glibc."""
    if _installed:
        return True
    library = ctypes.CDLL(None)
    try:
        stdout = ctypes.c_void_p.in_dll(library, "stdout")
        library.fopencookie.restype = ctypes.c_void_p
        library.fopencookie.argtypes = (ctypes.c_void_p, ctypes.c_char_p, _CookieFunctions)
        library.setvbuf.argtypes = (
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_size_t,
        )
        set_locking = library["__fsetlocking"]
        set_locking.argtypes = (ctypes.c_void_p, ctypes.c_int)
    except (AttributeError, ValueError) as error:
        log.warning("concealed damage is not seen reason=%s", error)
        return False
    functions = _CookieFunctions(write=_Write(_on_write))
    stream = library.fopencookie(None, b"w", functions)
    if not stream:
        log.warning("concealed damage is not seen reason=%s", "the C library makes no stream")
        return False
    library.setvbuf(stream, None, _UNBUFFERED, 0)
    set_locking(stream, _NO_LOCKING)
    before = stdout.value
    library.fflush(ctypes.c_void_p(before))
    stdout.value = stream
    _installed.extend((functions, stdout))

    def restore() -> None:
        # what prints after the interpreter's end must not come to a callback
        stdout.value = before

    atexit.register(restore)
    return True


def damaged_pictures() -> int:
    """Return how many pictures this thread's decoder calls have named since it last asked."""
    return _counts.pop(threading.get_ident(), 0) if _counts else 0


def _on_write(cookie: int | None, data: int | None, size: int) -> int:
    text = ctypes.string_at(data, size) if data and size else b""
    count = text.count(_MARK)
    if count:
        thread = threading.get_ident()
        _counts[thread] = _counts.get(thread, 0) + count
    elif text:
        try:
            os.write(1, text)
        except OSError:
            log.debug("stdout is closed")
    return size
