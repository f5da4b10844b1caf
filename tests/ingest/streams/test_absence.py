"""ingest/streams/absence.py: how long a publisher is waited for, and when it is silent."""

from fractions import Fraction

import pytest

from ingest.streams.absence import SILENT_S, Absence, is_silent


def test_a_stream_is_held_for_so_long_and_never_for_nothing() -> None:
    absence = Absence(until_s=110.0)
    assert not absence.is_over(109.9)
    assert absence.left_ms(104.0) == 6_000
    assert absence.is_over(110.0)
    assert absence.left_ms(111.0) == 1, "0 would end the stream at egress"


@pytest.mark.parametrize(
    ("fps", "silent_s"),
    [(None, SILENT_S), (Fraction(25), SILENT_S), (Fraction(1), 3.0), (Fraction(1, 2), 6.0)],
)
def test_a_source_of_few_pictures_is_waited_for_longer(
    fps: Fraction | None, silent_s: float
) -> None:
    assert not is_silent(100.0, fps, 100.0 + silent_s - 0.01)
    assert is_silent(100.0, fps, 100.0 + silent_s)
