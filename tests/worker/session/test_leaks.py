"""Sessions that come and go leave nothing in use: by the allocator's own count, not by pages."""

import ctypes
import gc
import threading
from fractions import Fraction

import pytest

from common.config.ladder import Rendition
from common.media.clock import ClockReference
from tests.kit.session_driver import Driver, SourceSpec, join_all_but, make_source, template

FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
ROUNDS = 40
RENDITION = Rendition("360p", 640, 360, 500_000, Fraction(25))


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS.split()]


def bytes_in_use() -> int:
    """Of all arenas; pages that glibc keeps of what was freed are not among them."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("this C library does not count its memory")
    library.mallinfo2.restype = _Mallinfo2
    gc.collect()
    info = library.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def test_sessions_that_come_and_go_leave_no_memory_in_use() -> None:
    """Ended in order and at once, the publisher away or not."""
    source = make_source(SourceSpec(frames=6, width=640, height=360))
    others = set(threading.enumerate())

    def rounds(count: int) -> None:
        for index in range(count):
            with Driver(source, template((RENDITION,))) as driver:
                driver.feed(source)
                if index % 2:
                    driver.session.freeze(ClockReference(1000, 0.0))
                if index % 3:
                    driver.finish()
        join_all_but(others)  # what the last threads have counts until they have ended

    rounds(10)
    before = bytes_in_use()
    rounds(ROUNDS)
    grown = bytes_in_use() - before
    assert grown < ROUNDS * 4096, f"{grown // ROUNDS} bytes a session"
