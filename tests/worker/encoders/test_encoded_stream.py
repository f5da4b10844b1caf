"""One stream's pictures with an encoder process."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from common.ipc.identity import BootId, ChildId
from worker.encoders.encoded_stream import EncodedStream, HandedOver

A = (ChildId("encoder", index=0), BootId("a" * 16))
B = (ChildId("encoder", index=1), BootId("b" * 16))
FPS = (Fraction(30), Fraction(15))


def picture(rendition: int, slot: int, fps: Fraction | None = None) -> HandedOver:
    return HandedOver(rendition, slot, object(), b"", fps, False)


def stream() -> EncodedStream:
    return EncodedStream(FPS, 1.0)


def test_nothing_is_taken_without_a_process_nor_before_a_keyframe() -> None:
    one = stream()
    assert not one.takes(is_key=True)
    one.open_at(A)
    assert not one.takes(is_key=False)
    assert one.takes(is_key=True)
    one.hand_over([picture(0, 0)], is_key=True)
    assert one.takes(is_key=False)


def test_a_place_comes_back_once_and_with_its_own_opening_alone() -> None:
    one = stream()
    opening = one.open_at(A)
    one.hand_over([picture(0, 3), picture(1, 3)], is_key=True)
    assert not one.is_idle
    assert not one.done(opening - 1, (0, 3))
    assert not one.done(opening, (0, 4))
    assert one.done(opening, (0, 3))
    assert not one.done(opening, (0, 3))
    assert one.done(opening, (1, 3))
    assert one.is_idle


def test_a_lost_process_gives_all_back_and_its_late_answers_mean_nothing() -> None:
    one = stream()
    opening = one.open_at(A)
    one.hand_over([picture(0, 0), picture(1, 0)], is_key=True)
    one.hand_over([picture(0, 1)], is_key=False)
    assert sorted(one.lose()) == [0, 0, 1]
    assert one.is_idle
    assert one.process is None
    one.open_at(B)
    one.hand_over([picture(0, 0)], is_key=True)
    assert not one.done(opening, (0, 0)), "it is out with another opening now"
    assert not one.is_idle


def test_an_opening_numbers_from_beyond_all_that_was_handed_over() -> None:
    one = stream()
    one.open_at(A)
    assert one.first_numbers == (0, 0)
    one.hand_over([picture(0, 0), picture(1, 0)], is_key=True)
    one.hand_over([picture(0, 1)], is_key=False)
    one.lose()
    one.open_at(B)
    assert one.first_numbers == (2, 1)


def test_another_rate_holds_for_the_next_opening_too() -> None:
    one = stream()
    one.open_at(A)
    one.hand_over([picture(0, 0, Fraction(25)), picture(1, 0)], is_key=True)
    assert one.fps == [Fraction(25), Fraction(15)]


def test_the_surface_goes_with_its_place() -> None:
    one = stream()
    opening = one.open_at(A)
    gone: list[int] = []

    class Surface:
        def __init__(self, slot: int) -> None:
            self.slot = slot

        def __del__(self) -> None:
            gone.append(self.slot)

    one.hand_over(
        [HandedOver(0, slot, Surface(slot), b"", None, False) for slot in range(3)], is_key=True
    )
    assert one.done(opening, (0, 1))
    assert gone == [1]
    one.lose()
    assert sorted(gone) == [0, 1, 2]


@given(st.lists(st.sampled_from(["key", "picture", "done", "lose", "open"]), max_size=60))
def test_numbers_only_grow_and_every_place_comes_back_once(steps: list[str]) -> None:
    one = stream()
    given_out = returned = slot = 0
    openings: list[int] = []
    numbers = one.first_numbers
    for step in steps:
        match step:
            case "open":
                if one.process is None:
                    openings.append(one.open_at(A))
            case "lose":
                returned += len(one.lose())
            case "done":
                for place in [(0, number) for number in range(slot)]:
                    returned += one.done(one.opening, place)
            case _:
                if one.takes(is_key=step == "key"):
                    one.hand_over([picture(0, slot)], is_key=step == "key")
                    slot += 1
                    given_out += 1
        assert one.first_numbers >= numbers
        numbers = one.first_numbers
    returned += len(one.lose())
    assert returned == given_out == numbers[0]
    assert openings == sorted(set(openings))
