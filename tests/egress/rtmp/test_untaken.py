"""When a socket is given up whose peer takes nothing."""

import itertools

import pytest

from egress.rtmp.untaken import MAX_LINGER_S, UNTAKEN_S, Untaken

LOOK_S = 0.5


@pytest.mark.parametrize(
    ("left", "closes_s"),
    [
        pytest.param([0], LOOK_S, id="all was taken"),
        pytest.param([300, 200, 100, 0], 4 * LOOK_S, id="a slow link"),
        pytest.param([300], UNTAKEN_S + LOOK_S, id="a closed window"),
        pytest.param([300, 300, 200, 200], UNTAKEN_S + 3 * LOOK_S, id="one that stops to read"),
        pytest.param(range(10_000, 0, -1), MAX_LINGER_S, id="a byte now and then"),
    ],
)
def test_it_stays_while_the_peer_takes_some(left, closes_s):
    untaken, now = Untaken(0.0), 0.0
    counts = itertools.chain(left, itertools.repeat([*left][-1]))
    while True:
        now += LOOK_S
        if not untaken.may_go_on(next(counts), now):
            break
    assert now == pytest.approx(closes_s)
