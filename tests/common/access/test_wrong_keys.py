"""How long an answer to a wrong key waits."""

from hypothesis import given
from hypothesis import strategies as st

from common.access.peer_address import Networks
from common.access.wrong_keys import FORGET_S, FREE, LONGEST_S, MAX_ADDRESSES, WrongKeys


class Around:
    def __init__(self) -> None:
        self.now = 100.0
        self.keys = WrongKeys()

    def guess(self, host: str = "203.0.113.7") -> float:
        return self.keys.delay(host, self.now)


def test_a_typing_error_costs_nothing_and_a_guesser_waits_twice_as_long_each_time() -> None:
    around = Around()
    waits = []
    for _ in range(FREE + 7):
        waits.append(around.guess())
        around.now += waits[-1]
    assert waits == [0.0] * FREE + [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_S, LONGEST_S]


def test_twenty_guesses_a_second_get_a_few_answers_a_minute() -> None:
    around = Around()
    answers = 0
    until = around.now + 600.0
    while around.now < until:  # one connection: it asks when it has been answered
        around.now += max(0.05, around.guess())
        answers += 1
    assert answers <= FREE + 5 + 600 / LONGEST_S + 1


def test_many_connections_of_an_address_are_answered_one_after_the_other() -> None:
    around = Around()
    due = sorted(around.now + around.guess() for _ in range(FREE + 5))
    assert due == [100.0] * FREE + [101.0, 103.0, 107.0, 115.0, 100.0 + LONGEST_S]
    assert around.guess() == LONGEST_S, "nobody waits longer, and no connection is kept longer"


def test_it_is_forgotten_step_by_step() -> None:
    around = Around()
    for _ in range(FREE + 2):
        around.guess()
    around.now += 2 * FORGET_S
    assert around.guess() == 1.0
    around.now += 10 * FORGET_S
    assert around.guess() == 0.0


def test_an_address_is_its_holders_and_no_other_waits_for_it() -> None:
    around = Around()
    for _ in range(FREE + 3):
        around.guess("2001:db8::1")
    assert around.guess("2001:db8::2") > 0
    assert around.guess("2001:db8:0:1::1") == 0.0
    assert around.guess("203.0.113.8") == 0.0


def test_exempt_networks_wait_for_nothing() -> None:
    around = Around()
    around.keys.configure(Networks(("127.0.0.0/8",)))
    assert not any(around.guess("127.0.0.1") for _ in range(50))
    assert len(around.keys) == 0


def test_very_many_addresses_take_no_more_memory_than_the_limit() -> None:
    around = Around()
    for number in range(MAX_ADDRESSES + 10):
        around.guess(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(around.keys) == MAX_ADDRESSES


@given(st.lists(st.floats(0.0, 100.0), max_size=60))
def test_a_wait_is_never_negative_nor_longer_than_the_longest(pauses: list[float]) -> None:
    around = Around()
    due = 0.0
    for pause in pauses:
        around.now += pause
        wait = around.guess()
        assert 0.0 <= wait <= LONGEST_S
        if wait:
            assert around.now + wait >= due - 1e-6, "no answer overtakes another"
            due = around.now + wait
