"""When a player that was sent nothing gets a sign of life."""

from itertools import pairwise

import pytest

from egress.rtmp.quiet import SilenceTimer


def told(seconds: int, sent_s: float, *, in_group: bool) -> list[float]:
    """When it was quiet, looked at once a second; its last media came at `sent_s`."""
    timer = SilenceTimer(0.0)
    quiet = []
    for now in range(seconds):
        media = min(float(now), sent_s)
        sends = int(media * 30) if in_group else 0
        if timer.is_quiet(float(now), 0.0 if in_group else media, sends):
            quiet.append(float(now))
    return quiet


@pytest.mark.parametrize("in_group", [False, True])
def test_one_that_gets_media_is_never_quiet(in_group: bool) -> None:
    assert told(300, 300.0, in_group=in_group) == []


@pytest.mark.parametrize("in_group", [False, True])
@pytest.mark.parametrize("sent_s", [0.0, 1.5, 7.0, 61.3])
def test_one_that_gets_nothing_is_told_at_least_every_20_s(sent_s: float, in_group: bool) -> None:
    times = [sent_s, *told(300, sent_s, in_group=in_group), 300.0]
    assert all(after - before <= 20 for before, after in pairwise(times))
    assert len(times) < 300 / 10
