"""Rows in a document: whole, and some of them anew."""

from dataclasses import dataclass

from tests.kit.measured_table import MeasuredTable, holds


@dataclass
class Result:
    name: str
    ok: bool = True


TABLE = MeasuredTable(
    "trials",
    ("trial", "holds"),
    lambda row: (row.name, holds(row.ok)),
    lambda name, _: Result(name),
)
DOCUMENT = "before\n<!-- trials: begin -->\n<!-- trials: end -->\nafter\n"


def test_a_whole_table_stands_between_its_markers() -> None:
    written = TABLE.written(DOCUMENT, [Result("a"), Result("b", ok=False)], is_whole=True)
    assert written.startswith("before\n<!-- trials: begin -->\n")
    assert "| trial | holds |\n|---|---|\n| a | yes |\n| b | **no** |\n<!-- trials: end" in written
    assert written.endswith("<!-- trials: end -->\nafter\n")


def test_rows_run_by_themselves_take_their_places_and_new_ones_go_behind() -> None:
    first = TABLE.written(DOCUMENT, [Result("a"), Result("b")], is_whole=True)
    machine = first.splitlines()[2]
    again = TABLE.written(first, [Result("c"), Result("a", ok=False)], is_whole=False)
    assert "| a | **no** |\n| b | yes |\n| c | yes |\n<!--" in again
    assert again.splitlines()[2] == machine  # the others' machine


def test_the_first_rows_of_an_empty_table_need_not_be_all() -> None:
    assert "| a | yes |" in TABLE.written(DOCUMENT, [Result("a")], is_whole=False)
