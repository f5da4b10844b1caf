"""Which rendition a line takes: it begins low, goes up without trouble, and down at once."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.rtc.estimate import LOST, MAX_WAIT_S, Estimate, Step

LADDER = [Step("1080p", 5_000_000), Step("360p", 600_000), Step("720p", 2_500_000)]
BPS = {step.name: step.bps for step in LADDER}


def run(estimate, seconds, begin, *, lost=0.0, line_bps=None):
    """Report once a second, as a browser on a line of so many bit/s does; the renditions sent."""
    names = []
    for now in range(begin, begin + seconds):
        sent = BPS[estimate.rendition]
        over = line_bps is not None and sent > line_bps
        estimate.on_report(max(lost, 1 - line_bps / sent) if over else lost, now)
        if line_bps is not None:
            estimate.on_estimate(int(min(line_bps, 1.5 * sent)), min(sent, line_bps), now)
        estimate.check(sent, now)
        names.append(estimate.rendition)
    return names


def test_a_good_line_goes_up_step_by_step():
    names = run(Estimate(LADDER, 0), 12, 0)
    assert names[0] == "360p"
    assert names[-1] == "1080p"
    assert names.index("720p") <= 3
    assert names == sorted(names, key=BPS.__getitem__)


def test_it_begins_with_what_is_low_but_not_too_low():
    steps = [Step("a", 300_000), Step("b", 1_200_000), Step("c", 3_000_000)]
    assert Estimate(steps, 0).rendition == "b"
    assert Estimate(steps[2:], 0).rendition == "c"


@pytest.mark.parametrize(
    ("line_bps", "best"), [(400_000, "360p"), (1_500_000, "360p"), (4_000_000, "720p")]
)
def test_a_thin_line_has_what_it_takes_most_of_the_time(line_bps, best):
    names = run(Estimate(LADDER, 0), 600, 0, line_bps=line_bps)
    above = [name for name in names if BPS[name] > max(line_bps, 600_000)]
    assert names.count(best) > 0.9 * len(names)
    assert len(above) < 0.04 * len(names)


def test_a_line_that_always_loses_some_stays():
    estimate = Estimate(LADDER, 0)
    run(estimate, 5, 0)
    before = estimate.rendition
    assert set(run(estimate, 60, 5, lost=0.05)) == {before}


def test_what_is_too_much_ends_at_once():
    estimate = Estimate(LADDER, 0)
    run(estimate, 20, 0)
    assert estimate.rendition == "1080p"
    names = run(estimate, 4, 20, line_bps=900_000)
    assert names[-1] == "360p"


def test_a_step_that_failed_is_tried_again_later_each_time():
    names = run(Estimate(LADDER, 0), 1000, 0, line_bps=700_000)
    ups = [at for at in range(1, 1000) if (names[at - 1], names[at]) == ("360p", "720p")]
    waits = [later - at for at, later in itertools.pairwise(ups)]
    assert waits == sorted(waits)
    assert waits[-1] >= MAX_WAIT_S - 5


def test_another_ladder_takes_the_nearest_below():
    estimate = Estimate(LADDER, 0)
    run(estimate, 20, 0)
    estimate.replace([Step("480p", 1_000_000), Step("720p", 2_500_000)], 20)
    assert estimate.rendition == "720p"
    estimate.replace([Step("1080p", 5_000_000)], 20)
    assert estimate.rendition == "1080p"


@given(
    bps=st.lists(st.integers(1, 10_000_000), min_size=1, max_size=6),
    said=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 2**40), st.floats(0, 1e7)), max_size=60
    ),
)
def test_whatever_is_reported_it_is_one_of_the_ladder_and_moves_up_one_step_at_most(bps, said):
    steps = [Step(str(at), one) for at, one in enumerate(bps)]
    estimate = Estimate(steps, 0)
    order = [step.name for step in sorted(steps, key=lambda step: step.bps)]
    for now, (lost, estimated, sent) in enumerate(said):
        before = order.index(estimate.rendition)
        estimate.on_report(lost, now)
        estimate.on_estimate(estimated, sent, now)
        estimate.check(sent, now)
        assert order.index(estimate.rendition) <= before + 1
    assert LOST > 0.05
