"""The table of docs/sizing.md is what the cost model says."""

from pathlib import Path

import pytest

from supervisor.placement.sizing_table import with_sizing

PAGE = Path(__file__).parents[3] / "docs" / "sizing.md"


def test_the_page_has_the_numbers_of_today() -> None:
    """`make docs` writes them."""
    assert with_sizing(PAGE.read_text()) == PAGE.read_text()


def test_a_row_counts_what_is_let_in() -> None:
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith("| 720p30")]
    # 51 units of 100 a core, 900 a GPU; without NVENC the cores encode, at 2.2 units for one
    assert row == "| 720p30 | built-in | 51 | 3 | 7 | 15 | 31 | 62 | 17 | 15 |"


def test_a_page_without_the_table_is_a_fault() -> None:
    with pytest.raises(ValueError, match="unpack"):
        with_sizing("# How many streams fit\n")
