"""Writes what documents take from declarations in the code: configuration keys, notices."""

from pathlib import Path

from common.config.reference import with_tables
from common.notices.reference import with_notices
from ingest.doctor.source_rules import SOURCE_EVENTS, SOURCE_RULES

DOCUMENTS = Path(__file__).parent.parent / "docs"
CONFIGURATION = DOCUMENTS / "configuration.md"
OPERATIONS = DOCUMENTS / "operations.md"

if __name__ == "__main__":
    CONFIGURATION.write_text(with_tables(CONFIGURATION.read_text()))
    OPERATIONS.write_text(with_notices(OPERATIONS.read_text(), SOURCE_RULES, SOURCE_EVENTS))
