"""hooks/limits.py: limits as the configuration has them; of answers: test_answers.py."""

import pytest

from common.config.limits import StreamLimits
from hooks.limits import limits_of


def test_what_is_not_said_stays() -> None:
    app = StreamLimits(bitrate_bps=7)
    assert limits_of({"max_fps": 30}, app) == StreamLimits(bitrate_bps=7, fps=30)
    assert limits_of({}, StreamLimits()) == StreamLimits()


def test_players_are_those_of_the_answer_since_the_apps_are_of_all_its_streams() -> None:
    app = StreamLimits(players=3)
    assert limits_of({"max_fps": 30}, app).players == 0
    assert limits_of({"max_players": 7}, app).players == 7


@pytest.mark.parametrize("value", [None, [], "x", {"max_fps": 0}, {"max_publishers": 1}])
def test_what_are_no_limits_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="limits"):
        limits_of(value, StreamLimits())
