"""common/link/backlog.py"""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from common.link.backlog import MAX_BYTES, MAX_TOTAL_BYTES, Backlog

STEP_MS = 100


class Wire:
    """What was written, and a link that takes some of it when it is told to."""

    def __init__(self, window: int = 1_000) -> None:
        self.sent: list[tuple[str, int]] = []
        self.backlog = Backlog(self._write, window)
        self._sizes: list[int] = []

    def media(
        self, key: str, number: int, *, begins: bool = False, size: int = 100, replay: bool = False
    ) -> None:
        self.backlog.put_media(
            key, [f"{key} {number} {size}".encode()], size, number * STEP_MS,
            begins=begins, is_replay=replay,
        )  # fmt: skip

    def take(self, count: int = 1 << 30) -> None:
        """The other end takes the next messages."""
        while self._sizes and count:
            count -= 1
            self.backlog.taken(self._sizes.pop(0))

    def numbers(self, key: str) -> list[int]:
        return [number for name, number in self.sent if name == key]

    def _write(self, parts: Sequence[bytes]) -> None:
        name, number, size = parts[0].decode().split()
        self.sent.append((name, int(number)))
        self._sizes.append(int(size))


def test_all_goes_at_once_until_the_window_is_full_and_on_in_order() -> None:
    wire = Wire()
    for number in range(15):
        wire.media("a", number, begins=number % 10 == 0)
    assert wire.numbers("a") == [*range(10)]
    wire.take(2)
    assert wire.numbers("a") == [*range(12)]
    wire.take()
    assert wire.numbers("a") == [*range(15)]
    assert (wire.backlog.dropped, wire.backlog.waiting_bytes, len(wire.backlog)) == (0, 0, 0)


def test_a_slow_link_costs_the_ends_of_gops_and_another_rendition_nothing() -> None:
    wire = Wire()
    for number in range(10):  # the window
        wire.media("a", number, begins=number == 0)
    for number in range(10, 50):
        wire.media("a", number, begins=number % 10 == 0)
        if number == 45:
            wire.media("b", number, begins=True)
    wire.take()
    assert wire.numbers("b") == [45]
    kept = wire.numbers("a")[10:]
    assert kept[0] % 10 == 0, "it goes on with a keyframe"
    assert kept == [*range(kept[0], 50)], "without a gap within a GOP"
    assert wire.backlog.dropped == 40 - len(kept) > 0


def test_without_a_keyframe_that_waits_nothing_goes_on_before_the_next_one() -> None:
    wire = Wire()
    for number in range(60):
        wire.media("a", number, begins=number == 0)
    wire.take()
    for number in range(60, 63):
        wire.media("a", number)
    wire.media("a", 63, begins=True)
    assert wire.numbers("a") == [*range(10), 63]


def test_a_gop_buffer_is_bounded_in_bytes_and_not_in_time() -> None:
    wire = Wire()
    for number in range(200):
        wire.media("a", number, begins=number == 0, replay=True)
    wire.take()
    assert wire.numbers("a") == [*range(200)]
    for number in range(200, 400):
        wire.media("a", number, begins=number == 200, size=MAX_BYTES // 100, replay=True)
    assert wire.backlog.waiting_bytes <= MAX_BYTES


def test_what_is_unwanted_is_forgotten_and_may_come_again() -> None:
    wire = Wire(window=0)
    wire.media("a", 1, begins=True)
    wire.media("b", 1, begins=True)
    wire.backlog.forget("a")
    assert len(wire.backlog) == 1
    wire.media("a", 2, begins=True)
    wire.backlog._window = 1_000  # the link is there
    wire.backlog.taken(0)
    assert wire.sent == [("b", 1), ("a", 2)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 400)),
            st.integers(1, 8),  # messages that the other end takes
        ),
        max_size=400,
    )
)
def test_whatever_comes_and_goes_a_gop_has_no_gap_and_memory_is_bounded(
    steps: list[tuple[str, bool, int] | int],
) -> None:
    wire, numbers = Wire(), dict.fromkeys("abc", 0)
    starts: dict[str, set[int]] = {key: set() for key in "abc"}
    for step in steps:
        if isinstance(step, int):
            wire.take(step)
            continue
        key, begins, size = step
        number = numbers[key] = numbers[key] + 1
        begins = begins or number == 1
        if begins:
            starts[key].add(number)
        wire.media(key, number, begins=begins, size=size)
        assert wire.backlog.waiting_bytes <= MAX_TOTAL_BYTES
    wire.take()
    for key in "abc":
        sent = wire.numbers(key)
        assert sent == sorted(set(sent))
        for before, after in pairwise(sent):
            assert after == before + 1 or after in starts[key]
    assert (len(wire.backlog), wire.backlog.waiting_bytes) == (0, 0)
