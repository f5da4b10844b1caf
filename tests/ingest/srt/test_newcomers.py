"""ingest/srt/newcomers.py: how long a handshake may wait, and what is remembered of callers."""

from hypothesis import given
from hypothesis import strategies as st

from common.access.credentials import IN_USE
from ingest.srt.newcomers import MAX_REMEMBERED, MOST_S, REMEMBER_S, SHARE, WAIT_S, Newcomers


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=200))
def test_all_handshakes_together_wait_for_a_share_of_the_time(gaps: list[float]) -> None:
    newcomers, now, waited = Newcomers(), 0.0, 0.0
    for gap in gaps:
        now += gap
        may_s = newcomers.may_wait_s(now)
        newcomers.waited(may_s)
        waited += may_s
        now += may_s
    assert waited <= MOST_S + SHARE * now + WAIT_S


def test_after_a_rest_one_may_wait_again() -> None:
    newcomers = Newcomers()
    while newcomers.may_wait_s(0.0):
        newcomers.waited(WAIT_S)
    assert newcomers.may_wait_s(WAIT_S / SHARE / 2) == 0.0
    assert newcomers.may_wait_s(WAIT_S / SHARE * 1.1) == WAIT_S


def test_a_late_refusal_is_told_at_the_next_attempt_once() -> None:
    newcomers = Newcomers()
    newcomers.refused("192.0.2.1", "publish:live/cam", IN_USE, 0.0)
    assert newcomers.recall("192.0.2.2", "publish:live/cam", 1.0) is None
    assert newcomers.recall("192.0.2.1", "publish:live/other", 1.0) is None
    assert newcomers.recall("192.0.2.1", "publish:live/cam", 1.0) is IN_USE
    assert newcomers.recall("192.0.2.1", "publish:live/cam", 1.0) is None


def test_it_is_forgotten_in_time_and_the_oldest_first() -> None:
    newcomers = Newcomers()
    newcomers.refused("192.0.2.1", "a", IN_USE, 0.0)
    assert newcomers.recall("192.0.2.1", "a", REMEMBER_S) is None
    for number in range(MAX_REMEMBERED + 1):
        newcomers.refused("192.0.2.1", str(number), IN_USE, 0.0)
    assert newcomers.recall("192.0.2.1", "0", 1.0) is None
    assert newcomers.recall("192.0.2.1", "1", 1.0) is IN_USE
