"""Times of sound by counting samples: no jitter, and no drift from the stream's time."""

from hypothesis import given
from hypothesis import strategies as st

from worker.sound.sample_times import SampleTimes

PACKET = 960


def test_packets_follow_each_other_while_times_jitter() -> None:
    times, ahead, made = SampleTimes(), 0, []
    for number in range(200):
        assert times.jumps(number * 1024 * 1000 // 48_000, ahead) == (number == 0)
        ahead += 1024
        while ahead >= PACKET:
            ahead -= PACKET
            made.append(times.take(PACKET))
    assert made == list(range(0, made[-1] + 1, PACKET))


def test_a_gap_is_a_jump() -> None:
    times = SampleTimes()
    times.jumps(1000, 0)
    assert times.take(PACKET) == 48_000
    assert times.jumps(3000, 0)
    assert times.take(PACKET) == 3000 * 48


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 5)), max_size=60))
def test_times_never_go_back(steps: list[tuple[int, int]]) -> None:
    times, last = SampleTimes(), -1
    for time_ms, packets in steps:
        times.jumps(time_ms, 0)
        for _ in range(packets):
            at = times.take(PACKET)
            assert at > last
            last = at
