"""egress/relay/still.py"""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from egress.relay.still import LAG_MS, MAX_STEP_MS, STEP_MS, Still


def test_a_small_picture_comes_five_times_a_second_on_the_grid_behind_the_clock() -> None:
    still = Still(last_ms=1_030, came_s=50.0, key_bytes=10_000, bps=1e6)
    looks = [50.0 + number / 10 for number in range(1, 11)]
    times = [found for now in looks if (found := still.take(now)) is not None]
    assert times == [1_200, 1_400, 1_600, 1_800]
    assert times[-1] <= 1_030 + 1_000 - LAG_MS


def test_a_large_one_comes_as_seldom_as_its_rate_asks_for() -> None:
    still = Still(0, 0.0, key_bytes=100_000, bps=1e6)  # 0.8 s of the rate
    looks = [still.take(now / 10) for now in range(30)]
    assert [found for found in looks if found is not None] == [800, 1_600, 2_400]
    assert Still(0, 0.0, 100_000, 1e6).take(5.0) == 4_800
    assert Still(0, 0.0, 10_000_000, 1e6).take(5.0) == 4_000  # MAX_STEP_MS
    assert Still(0, 0.0, 10, 0.0).take(2.0) is None


@given(
    st.integers(0, 10**9),
    st.integers(1, 10**7),
    st.floats(0, 1e8),
    st.lists(st.floats(0, 3), max_size=50),
)
def test_times_only_grow_and_are_never_ahead(
    last_ms: int, size: int, bps: float, waits: list[float]
) -> None:
    still, now, times = Still(last_ms, 10.0, size, bps), 10.0, [last_ms]
    for wait_s in waits:
        now += wait_s
        if (found := still.take(now)) is not None:
            assert found <= last_ms + (now - 10.0) * 1000 + 1 - LAG_MS
            assert found % STEP_MS == 0
            times.append(found)
    assert all(before < after for before, after in pairwise(times))
    assert MAX_STEP_MS % STEP_MS == 0
