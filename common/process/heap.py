"""Memory that codecs have freed, given back to the system (IO: the C library)."""

import contextlib
import ctypes
from typing import Final

IDLE_S: Final = 1.0  # without a stream, until it is given back


def give_back() -> None:
    """Give free pages back; glibc keeps most of them."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
