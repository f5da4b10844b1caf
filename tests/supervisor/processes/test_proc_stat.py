"""What processes use, from /proc."""

import os

from supervisor.processes.proc_stat import (
    SAME_S,
    CpuMeter,
    MemoryMeter,
    OutOfMemory,
    cpu_seconds,
    oom_kills,
    pss_bytes,
    rss_bytes,
)


def test_this_process_has_memory_and_time() -> None:
    assert 1024**2 < pss_bytes(os.getpid()) <= 2 * rss_bytes(os.getpid())
    assert cpu_seconds(os.getpid()) > 0


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert pss_bytes(2**22 + 1) == rss_bytes(2**22 + 1) == 0
    assert cpu_seconds(2**22 + 1) == 0.0


def test_percent_is_taken_between_samples_and_the_gone_are_forgotten() -> None:
    meter = CpuMeter()
    meter.sample([os.getpid()], 0.0)
    assert meter.percent == {os.getpid(): 0.0}
    sum(range(3_000_000))
    meter.sample([os.getpid()], 1.0)
    assert meter.percent[os.getpid()] > 0
    meter.sample([], 2.0)
    assert meter.percent == {}


def test_memory_is_measured_anew_when_it_is_too_old() -> None:
    measured: list[int] = []

    def measure(pid: int) -> int:
        measured.append(pid)
        return 1000 * len(measured) + pid

    meter = MemoryMeter(measure)
    assert meter.bytes([1, 2], 0.0, 60.0) == {1: 1001, 2: 2002}
    assert meter.bytes([2, 3], 30.0, 60.0) == {2: 2002, 3: 3003}
    assert meter.bytes([1, 2], 59.0, 60.0) == {1: 4001, 2: 2002}  # 1 was forgotten meanwhile
    assert meter.bytes([2], 60.0, 60.0) == {2: 5002}
    assert meter.bytes([2], 60.0, 0.0) == {2: 6002}


def test_the_kernel_says_how_many_it_killed_for_memory() -> None:
    assert oom_kills() is not None


def test_a_kill_may_have_killed_when_the_kernel_has_killed_or_does_not_say() -> None:
    count: list[int | None] = [3]
    memory = OutOfMemory(lambda: count[0])
    assert not memory.may_have_killed(10.0)
    count[0] = 5
    assert memory.may_have_killed(20.0)
    assert memory.may_have_killed(20.0 + SAME_S)
    assert not memory.may_have_killed(20.1 + SAME_S)
    count[0] = None
    assert memory.may_have_killed(30.0)
