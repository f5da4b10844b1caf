"""Writes what documents take from declarations in the code: the tables of configuration keys."""

from pathlib import Path

from common.config.reference import with_tables

DOCUMENT = Path(__file__).parent.parent / "docs/configuration.md"

if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))
