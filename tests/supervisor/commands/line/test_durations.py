"""Durations on the command line."""

import pytest

from supervisor.commands.line.durations import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10 m", 600), ("10min", 600), (" 2h ", 7200), ("7d", 604_800), ("0s", 0)],
)
def test_a_duration_has_its_unit(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1.5h", "9999999s", "1h30m"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert seconds_of(text) is None
