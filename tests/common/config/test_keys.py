"""Declarations of keys: what they are made of, and where a table is found."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from common.config.keys import (
    HOLDS_MEAN,
    Holds,
    Table,
    description,
    key,
    needed,
    table_at,
    tables,
)
from common.config.values import Integer, Milliseconds


@dataclass(frozen=True, slots=True)
class Shelf:
    name_length: int
    wait_ms: int = 1500
    sizes: tuple[int, ...] = (1, 2)
    count: int | None = None


class ShelfTable(Table):
    name: Annotated[int, Integer(0, 9)] = needed(
        Shelf, "name_length", "how long its name is", Holds.RESTART, example=3
    )
    wait: Annotated[int, Milliseconds(0, 9000)] = key(
        Shelf, "wait_ms", "how long it waits", Holds.NOW
    )
    sizes: tuple[Annotated[int, Integer(0, 9)], ...] = key(
        Shelf, "sizes", "the sizes it has", Holds.NOW
    )
    count: Annotated[int, Integer(0, 9)] = key(
        Shelf, "count", "how many", Holds.NEW_STREAMS, default="by the cores", example=4
    )


class Room(Table):
    shelf: ShelfTable = tables()
    shelves: tuple[ShelfTable, ...] = tables()
    by_name: dict[str, ShelfTable] = tables()


def test_the_default_of_a_key_is_that_of_its_setting() -> None:
    declared = {one.name: one for one in ShelfTable.declared()}
    assert {name: one.raw_default() for name, one in declared.items()} == {
        "name": None,
        "wait": "1.5s",
        "sizes": [1, 2],
        "count": None,
    }
    assert [name for name, one in declared.items() if one.is_needed] == ["name"]


def test_only_what_the_file_says_becomes_a_setting() -> None:
    table = ShelfTable.model_validate({"name": 2, "wait": "1s"})
    assert table.settings() == {"name_length": 2, "wait_ms": 1000}
    assert Shelf(**table.settings()) == Shelf(2, 1000)


def test_a_key_is_described_in_sentences() -> None:
    name, wait, sizes, count = (description(one) for one in ShelfTable.declared())
    assert name == "How long its name is. Range: 0 to 9. Needed. Takes effect: after a restart."
    assert wait == "How long it waits. Range: 0s to 9s. Takes effect: at once."
    assert sizes == "The sizes it has. Each range: 0 to 9. Takes effect: at once."
    assert count == "How many. Range: 0 to 9. Default: by the cores. Takes effect: for new streams."


def test_a_table_is_found_by_its_place() -> None:
    assert table_at(Room, ()) is Room
    assert table_at(Room, ("shelf",)) is ShelfTable
    assert table_at(Room, ("shelves", 7)) is ShelfTable
    assert table_at(Room, ("by_name", "any")) is ShelfTable
    for place in (("shelves",), ("shelf", "wait"), ("nothing",), ("shelf", "sizes", 0, "x")):
        assert table_at(Room, place) is None


def test_a_field_without_a_kind_of_value_is_a_mistake() -> None:
    class Wrong(Table):
        name: int = key(Shelf, "wait_ms", "how long", Holds.NOW)

    with pytest.raises(TypeError, match="no kind of value"):
        Wrong.declared()


def test_every_word_for_from_when_a_key_holds_is_explained() -> None:
    assert set(HOLDS_MEAN) == set(Holds)
