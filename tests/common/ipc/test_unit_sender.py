"""What a publisher sends, when the other end takes all of it, some of it, or nothing."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from common.ipc.unit_messages import LOST, MAX_ITEMS, VIDEO, UnitItem
from common.ipc.unit_sender import UnitSender
from common.media.units import Data


class ToyWay:
    """Takes what it is told to take."""

    def __init__(self, takes: Sequence[bool]) -> None:
        self._takes = list(takes)
        self.taken: list[list[str]] = []
        self.refused: list[list[str]] = []
        self.lengths: list[int] = []

    def send(self, items: Sequence[UnitItem], payloads: Sequence[Data]) -> bool:
        assert len(items) == len(payloads)
        self.lengths.append(len(items))
        is_taken = self._takes.pop(0) if self._takes else True
        (self.taken if is_taken else self.refused).append([item.kind for item in items])
        return is_taken

    def over(self, reason: str, *, is_meant: bool = False, goes_on: bool = False) -> None:
        raise AssertionError(reason)


def send(sender: UnitSender, way: ToyWay, count: int) -> None:
    sender.send(way, [UnitItem(VIDEO)] * count, [b"a picture"] * count)


def test_what_is_taken_has_no_loss_in_it() -> None:
    sender, way = UnitSender(), ToyWay(())
    send(sender, way, 3)
    send(sender, way, 2)
    assert way.taken == [[VIDEO] * 3, [VIDEO] * 2]
    assert (sender.skipped, sender.is_behind) == (0, False)


def test_a_loss_stands_in_front_of_what_follows_what_was_not_taken() -> None:
    sender, way = UnitSender(), ToyWay((False, True))
    send(sender, way, 1)
    assert (sender.skipped, sender.is_behind) == (1, True)
    send(sender, way, 1)
    send(sender, way, 1)
    assert way.taken == [[LOST, VIDEO], [VIDEO]]


def test_a_new_ingest_lacks_nothing() -> None:
    sender, way = UnitSender(), ToyWay((False,))
    send(sender, way, 1)
    sender.begin_anew()
    send(sender, way, 1)
    assert way.taken == [[VIDEO]]


def test_a_loss_makes_no_message_longer_than_one_may_be() -> None:
    """Seen in the code: as many units as fit, and a loss in front of them, were one too many."""
    sender, way = UnitSender(), ToyWay((False,))
    send(sender, way, 1)
    send(sender, way, MAX_ITEMS)
    assert max(way.lengths) <= MAX_ITEMS


@given(st.lists(st.integers(1, 3 * MAX_ITEMS), max_size=6), st.lists(st.booleans(), max_size=12))
def test_every_unit_is_taken_or_counted_and_losses_are_never_silent(
    counts: list[int], takes: list[bool]
) -> None:
    sender, way = UnitSender(), ToyWay(takes)
    for count in counts:
        send(sender, way, count)
    assert all(length <= MAX_ITEMS for length in way.lengths)
    taken = sum(kinds.count(VIDEO) for kinds in way.taken)
    refused = sum(kinds.count(VIDEO) for kinds in way.refused)
    assert taken + refused == sum(counts)
    assert sender.skipped == sum(map(len, way.refused))
    losses = sum(kinds.count(LOST) for kinds in way.taken)
    runs = sum(kinds.count(LOST) for kinds in way.refused)
    assert losses + runs == len(way.refused) - sender.is_behind
