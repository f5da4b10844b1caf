"""The configuration that documents show is one that a farm takes."""

import re
from pathlib import Path

import pytest

from common.config.load import load

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
