"""docs/operations.md has a row for every notice; `make docs` writes them."""

from pathlib import Path

from common.notices.reference import with_notices
from ingest.doctor.source_rules import SOURCE_EVENTS, SOURCE_RULES
from worker.audio.level_rules import LEVEL_RULES
from worker.session.picture_rules import PICTURE_RULES

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def test_the_notices_are_documented() -> None:
    text = PAGE.read_text()
    assert with_notices(text, (*SOURCE_RULES, *PICTURE_RULES, *LEVEL_RULES), SOURCE_EVENTS) == text


def test_the_table_is_written_anew_between_its_marks() -> None:
    written = with_notices(
        "a\n<!-- notices -->\nold\n<!-- end -->\nb\n", SOURCE_RULES[:1], {"x": ("a", "b")}
    )
    assert written == (
        "a\n<!-- notices -->\n| code | what it means | set |\n|---|---|---|\n"
        f"| `long-gop` | {SOURCE_RULES[0].what} | {SOURCE_RULES[0].fix} |\n"
        "| `x` | a | b |\n<!-- end -->\nb\n"
    )
