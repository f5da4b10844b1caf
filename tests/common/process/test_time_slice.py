"""common/process/time_slice.py: threads that go before encoders."""

import ctypes
import os
import platform
import threading

import pytest

from common.process import time_slice

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}


def slice_ns() -> int:
    """Of this thread, as the kernel tells it; skips where it tells none."""
    number = _SCHED_GETATTR.get(platform.machine())
    attributes = time_slice._Attributes()
    size = ctypes.sizeof(attributes)
    if number is None or ctypes.CDLL(None).syscall(number, 0, ctypes.byref(attributes), size, 0):
        pytest.skip("no sched_getattr here")
    if not attributes.runtime:
        pytest.skip("a kernel before 6.12 knows no slice of a thread's own")
    return int(attributes.runtime)


def test_a_short_slice_is_inherited_until_it_is_restored() -> None:
    found: list[int] = []

    def child() -> None:
        found.append(slice_ns())
        time_slice.restore()
        found.append(slice_ns())

    def parent() -> None:
        usual = slice_ns()
        time_slice.shorten()
        found.append(slice_ns())
        thread = threading.Thread(target=child)
        thread.start()
        thread.join()
        found.append(usual)

    usual = slice_ns()  # skips here, in the test's own thread
    thread = threading.Thread(target=parent)
    thread.start()
    thread.join()
    assert found == [time_slice.SHORT_NS, time_slice.SHORT_NS, usual, usual]


def test_encoders_have_a_long_slice_in_the_batch_class_where_that_is_asked_for() -> None:
    found: list[tuple[int, int]] = []

    def encoder() -> None:
        time_slice.lengthen()
        found.append((slice_ns(), os.sched_getscheduler(0)))
        time_slice.lengthen(is_batch=True)
        found.append((slice_ns(), os.sched_getscheduler(0)))

    slice_ns()  # skips here, in the test's own thread
    thread = threading.Thread(target=encoder)
    thread.start()
    thread.join()
    assert found == [
        (time_slice.LONG_NS, os.SCHED_OTHER),
        (time_slice.LONG_NS, os.SCHED_BATCH),
    ]
