"""common/srt/installed.py: the library is found where it can be loaded."""

import ctypes
from contextlib import suppress

from common.srt import installed as libsrt


def test_it_is_found_where_it_can_be_loaded() -> None:
    can_be_loaded = False
    for name in libsrt.NAMES:
        with suppress(OSError):
            ctypes.CDLL(name)
            can_be_loaded = True
    assert libsrt.is_there() == can_be_loaded
