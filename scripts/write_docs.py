"""Writes what documents take from declarations in the code: configuration keys, notices."""

from pathlib import Path

from common.config.reference import with_tables
from common.notices.reference import with_notices
from ingest.doctor.source_rules import SOURCE_EVENTS, SOURCE_RULES
from worker.audio.level_rules import LEVEL_RULES

DOCUMENTS = Path(__file__).parent.parent / "docs"
CONFIGURATION = DOCUMENTS / "configuration.md"
OPERATIONS = DOCUMENTS / "operations.md"

RULES = (*SOURCE_RULES, *LEVEL_RULES)

if __name__ == "__main__":
    CONFIGURATION.write_text(with_tables(CONFIGURATION.read_text()))
    OPERATIONS.write_text(with_notices(OPERATIONS.read_text(), RULES, SOURCE_EVENTS))
