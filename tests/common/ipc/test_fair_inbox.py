"""common/ipc/fair_inbox.py: turns, by a clock that each step of a message's work moves."""

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from common.ipc import fair_inbox
from common.ipc.fair_inbox import (
    MAX_KEPT,
    MAX_WAITING,
    PART_BYTES,
    PAUSE,
    SLICE_S,
    THROTTLED_S,
    TURN_S,
    FairInbox,
    weight,
)

SMALL = 1000
TENTH = MAX_WAITING // 10 + 1


class Work(NamedTuple):
    """A message: whose it is, how many steps it takes, and how long each is."""

    source: str
    number: int
    steps: int = 1
    step_s: float = 0.0001


class Rig:
    def __init__(self) -> None:
        self.now = 100.0
        self.done: list[tuple[Work, float]] = []  # and when
        self._steps: dict[Work, int] = {}
        self.inbox = FairInbox[Work](self._handle, lambda: self.now)

    def _handle(self, work: Work) -> bool:
        self.now += work.step_s
        self._steps[work] = self._steps.get(work, 0) + 1
        if self._steps[work] < work.steps:
            return False
        self.done.append((work, self.now))
        return True

    def put(self, *works: Work, cost: int = SMALL) -> None:
        for work in works:
            if self.inbox.has_room(work.source):
                self.inbox.put(work.source, work, cost)

    def run(self, each_turn: Callable[[], None] = lambda: None) -> list[float]:
        """Turns until nothing waits; how long each was."""
        turns = []
        while True:
            began = self.now
            wait_s = self.inbox.turn()
            turns.append(self.now - began)
            if wait_s is None:
                return turns
            self.now += wait_s
            each_turn()

    def times(self, source: str) -> list[float]:
        return [at for work, at in self.done if work.source == source]


def test_what_comes_is_handled_in_order_in_the_same_turn() -> None:
    rig = Rig()
    works = [Work("a", number, steps=3) for number in range(5)]
    rig.put(*works)
    assert len(rig.inbox) == 5
    assert rig.inbox.turn() is None
    assert [work for work, _ in rig.done] == works
    assert rig.inbox.turn() is None, "nothing waits"
    assert len(rig.inbox) == 0


def test_a_turn_ends_and_the_next_goes_on_in_the_middle_of_a_message() -> None:
    rig = Rig()
    rig.put(Work("a", 0, steps=500))
    assert rig.inbox.turn() == 0.0
    assert rig.now == 100.0 + TURN_S or rig.now < 100.0 + TURN_S + 0.001
    turns = rig.run()
    assert len(rig.done) == 1
    assert max(turns) < TURN_S + 0.001


def test_who_has_much_makes_nobody_wait_longer_than_a_slice_of_each_other_one() -> None:
    rig = Rig()
    for source in "abc":
        rig.put(*(Work(source, number, steps=100) for number in range(50)))
    rig.put(Work("late", 0))
    began = rig.now
    rig.run()
    (at,) = rig.times("late")
    assert at - began < 3 * (SLICE_S + 0.0002) + TURN_S
    assert rig.times("a") == sorted(rig.times("a"))


def test_what_waits_of_one_source_is_bounded_and_the_rest_is_dropped_and_counted() -> None:
    rig = Rig()
    works = [Work("a", number) for number in range(40)]
    rig.put(*works, cost=TENTH)
    assert len(rig.inbox) == 10
    assert rig.inbox.dropped == 30
    assert rig.inbox.has_room("b")
    rig.run()
    assert [work for work, _ in rig.done] == works[:10]


def test_who_sends_too_much_gets_a_tenth_of_the_time_until_he_has_kept_to_the_bound() -> None:
    rig = Rig()
    rig.put(*(Work("a", number) for number in range(11)), cost=TENTH)
    rig.put(*(Work("b", number) for number in range(200)))
    wait_s = rig.inbox.turn()
    while wait_s == 0.0:
        wait_s = rig.inbox.turn()
    assert len(rig.times("b")) == 200, "nobody else is paused"
    assert wait_s is None or wait_s <= PAUSE * SLICE_S + 0.001
    rig.now += THROTTLED_S
    rig.run()
    assert len(rig.times("a")) == 10
    began = rig.now
    rig.put(*(Work("a", 100 + number) for number in range(1000)))
    rig.run()
    assert rig.now - began < 1000 * 0.0001 + 0.01, "it is over"


def test_a_flood_takes_a_tenth_of_the_time() -> None:
    rig, number = Rig(), iter(range(10**9))

    def flood() -> None:
        rig.put(*(Work("flood", next(number), steps=10) for _ in range(30)), cost=TENTH // 2)

    flood()
    used = sum(rig.inbox.turn() or 0.0 for _ in range(1))
    began = rig.now
    spent = 0.0
    while rig.now - began < 5.0:
        before = rig.now
        wait_s = rig.inbox.turn()
        spent += rig.now - before
        rig.now += max(wait_s or 0.0, 0.0001)
        flood()
    assert used >= 0.0
    assert spent < 0.15 * (rig.now - began)


def test_sources_that_have_ended_are_forgotten() -> None:
    rig = Rig()
    for number in range(3 * MAX_KEPT):
        rig.put(Work(f"process {number}", 0))
        rig.run()
    assert len(rig.inbox._sources) <= MAX_KEPT + 1


def test_what_was_cleared_is_not_handled_also_from_within_a_message() -> None:
    done: list[int] = []

    def handle(number: int) -> bool:
        done.append(number)
        inbox.clear()
        return True

    inbox = FairInbox[int](handle, lambda: 0.0)
    inbox.put("a", 1, 1)
    inbox.put("a", 2, 1)
    inbox.put("b", 3, 1)
    assert inbox.turn() is None
    assert done == [1]


def test_many_empty_parts_cost_too() -> None:
    assert weight(0, 1000) == 1000 * PART_BYTES
    assert weight(5, 0) == 5


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(1, 40), st.floats(0.00001, 0.003)),
        max_size=60,
    )
)
def test_everything_is_handled_in_the_order_of_its_source_and_no_turn_is_long(
    works: list[tuple[str, int, float]],
) -> None:
    rig = Rig()
    given_works = [Work(name, i, steps, step) for i, (name, steps, step) in enumerate(works)]
    rig.put(*given_works)
    turns = rig.run()
    for name in "abcd":
        expected = [work for work in given_works if work.source == name]
        assert [work for work, _ in rig.done if work.source == name] == expected
    longest = max((step for _, _, step in works), default=0.0)
    assert max(turns) <= TURN_S + longest + 1e-6
    assert fair_inbox.SLICE_S < TURN_S


@given(st.integers(1, 8), st.integers(0, 30), st.floats(0.00001, 0.002))
def test_an_honest_source_waits_for_a_bounded_time_whatever_others_send(
    floods: int, after: int, step_s: float
) -> None:
    rig = Rig()
    for flood in range(floods):
        rig.put(*(Work(f"flood {flood}", n, 50, step_s) for n in range(20)))
    for _ in range(after):
        rig.inbox.turn()
    came = rig.now
    rig.put(Work("honest", 0))
    rig.run()
    (at,) = rig.times("honest")
    assert at - came <= (floods + 1) * (SLICE_S + step_s) + 0.0002
