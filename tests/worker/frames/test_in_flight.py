"""Facts of units, found again by the times of their pictures."""

from worker.frames.in_flight import MAX_IN_FLIGHT, UNKNOWN, UnitFacts, UnitsInFlight

FACTS = UnitFacts(1.5, True, b"said")


def test_a_pictures_facts_are_its_units_once() -> None:
    units = UnitsInFlight()
    units.put(40, FACTS)
    assert units.take(40) == FACTS
    assert units.take(40) == UNKNOWN


def test_pictures_come_in_another_order_than_units() -> None:
    units = UnitsInFlight()
    for pts_ms in (0, 120, 40, 80):
        units.put(pts_ms, UnitFacts(pts_ms / 1000, False, b""))
    assert [units.take(pts_ms).received_s for pts_ms in (0, 40, 80, 120)] == [0, 0.04, 0.08, 0.12]


def test_units_that_never_give_a_picture_are_forgotten_oldest_first() -> None:
    units = UnitsInFlight()
    for pts_ms in range(MAX_IN_FLIGHT + 1):
        units.put(pts_ms, FACTS)
    assert units.take(0) == UNKNOWN
    assert units.take(1) == units.take(MAX_IN_FLIGHT) == FACTS
