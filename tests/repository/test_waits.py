"""What counts as waiting for a time, and as holding a state against the clock."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.repository.waits import durations, unreasoned_sleeps

TESTS = Path(__file__).parents[1]


def test_tests_with_real_processes_wait_for_states_and_hold_nothing_against_the_clock() -> None:
    def lines(folder: str, find: Callable[[str], list[int]]) -> list[str]:
        found = sorted((TESTS / folder).rglob("test_*.py"))
        return [f"{path.name}:{number}" for path in found for number in find(path.read_text())]

    assert lines("e2e", unreasoned_sleeps) == []
    folders = ("e2e", "ingest", "egress", "supervisor", "worker", "api", "hooks", "cluster")
    assert [line for folder in folders for line in lines(folder, durations)] == []


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
