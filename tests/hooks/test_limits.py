"""hooks/limits.py: limits as the configuration has them; of answers: test_answers.py."""

import pytest

from common.config.limits import StreamLimits
from hooks.limits import limits_of


def test_what_is_not_said_stays() -> None:
    assert limits_of({"max_fps": 30}, StreamLimits(players=3)) == StreamLimits(fps=30, players=3)
    assert limits_of({}, StreamLimits()) == StreamLimits()


@pytest.mark.parametrize("value", [None, [], "x", {"max_fps": 0}, {"max_publishers": 1}])
def test_what_are_no_limits_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="limits"):
        limits_of(value, StreamLimits())
