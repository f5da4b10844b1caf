"""Lines that fit a width, with whole words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.commands.terminal.layout import (
    Column,
    Row,
    Span,
    cells,
    line_cells,
    plain,
    render,
    shorten,
    table,
    wrap,
)

COLUMNS = (
    Column("name"),
    Column("size", priority=1),
    Column("n", is_number=True),
    Column("why", priority=2, is_text=True),
)
ROWS = [
    Row(("a", "1280x720", "5", "some words on it that are rather long")),
    Row((Span("b" * 30, "bold"), "1x1", "12345", ""), (Span("below it"),)),
]


def shown(width: int) -> list[str]:
    return [plain(line).rstrip() for line in table(COLUMNS, ROWS, width)]


def test_columns_are_left_away_by_their_priority() -> None:
    assert shown(80)[0].split() == ["name", "size", "n", "why"]
    assert shown(40)[0].split() == ["name", "size", "n"]
    assert shown(25)[0].split() == ["name", "n"]


def test_text_goes_on_below_itself_and_a_long_name_has_a_line_of_its_own() -> None:
    assert shown(66) == [
        "name                     size          n  why",
        "a                        1280x720      5  some words on it that",
        "                                          are rather long",
        "b" * 30,
        "                         1x1       12345",
        "    below it",
    ]
    assert "b" * 30 in shown(40)
    (row,) = [line for line in shown(120) if "b" * 30 in line]
    assert row.endswith("12345")


def test_where_nothing_fits_each_value_has_a_line() -> None:
    assert shown(8)[:2] == ["name a", "size"]
    assert all(len(line) <= 8 for line in shown(8))


@pytest.mark.parametrize(
    ("text", "size", "found"),
    [
        ("one two", 7, "one two"),
        ("one two three", 9, "one two …"),
        ("one two three", 8, "one …"),
        ("123456789", 5, "…"),
        ("", 0, ""),
        ("x", 0, ""),
    ],
)
def test_shortened_text_has_whole_words(text: str, size: int, found: str) -> None:
    assert shorten(text, size) == found


def test_wide_characters_take_two_columns_and_accents_none() -> None:
    assert [cells(text) for text in ("abc", "漢字", "e\u0301")] == [3, 4, 1]


@given(st.text(), st.integers(1, 40), st.integers(0, 8))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int, indent: int) -> None:
    made = wrap(text, width, indent=indent)
    room = max(1, width - indent)
    assert all(line_cells(line) - indent <= max(room, 2) for line in made)
    assert "".join("".join(map(plain, made)).split()) == "".join(text.split())


def test_colours_are_for_terminals_that_have_them() -> None:
    line = (Span("a", "red"), Span(" b  "))
    assert render(line, is_coloured=True) == "\x1b[31ma\x1b[0m b  "
    assert render(line, is_coloured=False) == "a b"
