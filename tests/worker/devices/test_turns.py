"""No more than so many are inside, all come in, and an error inside gives the turn back."""

import threading

import pytest

from tests.kit.waiting import patient
from worker.devices.turns import Turns

DEADLINE_S = patient(5.0)


def test_no_more_than_so_many_are_inside_and_all_get_their_turn() -> None:
    turns, lock = Turns(2), threading.Lock()
    inside = most = done = 0
    both = threading.Barrier(2)

    def work() -> None:
        nonlocal inside, most, done
        for _ in range(20):
            with turns:
                with lock:
                    inside += 1
                    most = max(most, inside)
                both.wait(DEADLINE_S)  # never passed unless two are inside at once
                with lock:
                    inside -= 1
                    done += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert (most, done) == (2, 80)


def test_an_error_inside_gives_the_turn_back() -> None:
    turns = Turns(1)
    with pytest.raises(ValueError, match="x"), turns:
        raise ValueError("x")
    with turns:
        pass
