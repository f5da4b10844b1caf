"""What counts as waiting for a time, and as holding a state against the clock."""

import pytest

from tests.repository.waits import durations, unreasoned_sleeps


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("time.sleep(1)", True),
        ("await asyncio.sleep(0.1)", True),
        ("time.sleep(1)  # for the others", True),
        ("time.sleep(1)  # sleep: the pace of what is sent", False),
        ("until(lambda: is_there(), 5)", False),
    ],
)
def test_a_sleep_gives_its_reason(line: str, *, is_found: bool) -> None:
    assert unreasoned_sleeps(f"first()\n    {line}\n") == ([2] if is_found else [])


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("assert time.monotonic() - began < 4", True),
        ("assert 1.0 < time.monotonic() - began_s <= 3.5", True),
        ("assert time.monotonic() - began > 1.0", False),
        ("assert time.monotonic() - began < patient(4)", False),
        ("assert let_in <= 21 + 10 * (time.monotonic() - began)", False),
    ],
)
def test_a_duration_is_for_a_patient_reader(line: str, *, is_found: bool) -> None:
    assert durations(f"first()\n    {line}\n") == ([2] if is_found else [])
