"""The configuration that documents show is one that a farm takes."""

import re
from pathlib import Path

import pytest

from common.config.load import load
from common.config.reference import tables

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^( *)```toml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
BLOCKS = {
    f"{path.name}:{number}": block
    for path in sorted(DOCS.glob("*.md"))
    for number, (_, block) in enumerate(BLOCK.findall(path.read_text()), 1)
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_it_has_no_fault(block: str, tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text(block)
    load(file)


def test_there_are_some() -> None:
    assert len(BLOCKS) > 10


def test_keys_that_documents_name_exist() -> None:
    """`egress.queue` and `fps = 30` in a sentence; what stands in a block is loaded above."""
    of = {
        name.strip("[]").rpartition(".")[2]: {declared.name for declared in table.declared()}
        for name, table in tables().items()
    }
    every = set[str]().union(*of.values())
    for path in sorted(DOCS.glob("*.md")):
        text = BLOCK.sub("", path.read_text())
        named = set(re.findall(rf"`({'|'.join(of)})\.(?!py`)([a-z_0-9]+)`", text))
        assert {f"{table}.{key}" for table, key in named if key not in of[table]} == set(), path
        set_there = set(re.findall(r"`([a-z][a-z_0-9]+) = ", text))
        assert set_there - every - {"cam1"} == set(), path
