"""What a hello means."""

import pytest

from supervisor.processes.hellos import HelloMeaning, meaning_of_hello
from supervisor.processes.lifecycle import RUNNING, ChildState


@pytest.mark.parametrize("state", [None, *sorted(set(ChildState) - RUNNING, key=str)])
def test_a_process_that_nobody_runs_is_adopted_if_it_lives_and_the_farm_goes_on(
    state: ChildState | None,
) -> None:
    def meaning(is_alive: bool, is_stopping: bool) -> HelloMeaning:
        return meaning_of_hello(state, None, 7, is_alive=is_alive, is_stopping=is_stopping)

    assert meaning(True, False) is HelloMeaning.ADOPT
    assert meaning(False, False) is meaning(True, True) is HelloMeaning.IGNORE


@pytest.mark.parametrize("state", sorted(RUNNING, key=str))
def test_a_second_process_of_a_child_is_ended(state: ChildState) -> None:
    for known in (None, 8):
        meaning = meaning_of_hello(state, known, 7, is_alive=True, is_stopping=False)
        assert meaning is HelloMeaning.SECOND


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ChildState.STARTING, HelloMeaning.KNOWN),
        (ChildState.READY, HelloMeaning.KNOWN),
        (ChildState.STOPPING, HelloMeaning.IGNORE),
    ],
)
def test_the_process_itself_is_welcome_until_it_is_told_to_end(
    state: ChildState, expected: HelloMeaning
) -> None:
    assert meaning_of_hello(state, 7, 7, is_alive=True, is_stopping=False) is expected
