"""What processes use, from /proc."""

import os

from supervisor.processes.proc_stat import CpuMeter, cpu_seconds, pss_bytes, rss_bytes


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
