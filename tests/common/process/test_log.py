"""common/process/log.py: keys stay out of the log, and a flood of lines is held back."""

from hypothesis import given
from hypothesis import strategies as st

from common.process.log import (
    MAX_PEERS,
    PEER_BURST,
    PeerLines,
    RateLimit,
    key_hash,
    more,
    stream_label,
)


def test_a_label_shows_the_app_and_never_the_key() -> None:
    label = stream_label("live/secret")
    assert label == f"live/{key_hash('secret')}"
    assert "secret" not in label


def test_a_burst_passes_then_lines_are_held_back_and_counted() -> None:
    limit = RateLimit(burst=2, interval_s=1.0)
    assert [limit.allow(10.0), limit.allow(10.0)] == [0, 0]
    assert [limit.allow(10.1), limit.allow(10.2)] == [None, None]
    assert limit.allow(11.2) == 2
    assert limit.allow(60.0) == 0


def test_a_line_says_how_many_like_it_were_held_back() -> None:
    assert (more(0), more(3)) == ("", " (3 more like it)")


def test_one_noisy_peer_hides_nobody_elses_lines() -> None:
    lines = PeerLines()
    passed = [lines.allow("noisy", 10.0 + i / 1000) for i in range(1000)]
    assert passed[:PEER_BURST] == [0] * PEER_BURST
    assert passed.count(None) == 1000 - PEER_BURST
    assert lines.allow("quiet", 11.0) == 0
    assert lines.allow("noisy", 15.1) == 1000 - PEER_BURST


def test_many_noisy_peers_have_a_limit_together_and_wait_their_turn() -> None:
    lines = PeerLines(RateLimit(burst=10, interval_s=1.0))
    assert [lines.allow(peer, 5.0) for peer in range(12)] == [0] * 10 + [None] * 2
    assert lines.allow(11, 6.0) == 1


def test_the_table_of_peers_is_bounded_and_keeps_what_it_did_not_tell() -> None:
    lines = PeerLines(RateLimit(burst=10**9))
    for _ in range(PEER_BURST + 7):
        lines.allow("first", 1.0)
    for peer in range(MAX_PEERS - 1):
        assert lines.allow(peer, 2.0) == 0
    assert lines.allow("one too many", 2.0) == 7
    assert len(lines) == MAX_PEERS


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 5)), max_size=200))
def test_no_line_is_forgotten(said: list[tuple[int, float]]) -> None:
    """What passed, what was told as held back, and what is held back yet, is all that was said."""
    lines, now, told, passed = PeerLines(RateLimit(burst=3, interval_s=0.5)), 0.0, 0, 0
    for peer, pause in said:
        now += pause
        if (held := lines.allow(peer, now)) is not None:
            passed, told = passed + 1, told + held
    assert passed + told + lines.held == len(said)
