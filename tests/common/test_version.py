"""One version."""

import tomllib
from pathlib import Path

from common.version import VERSION


def test_the_version_is_that_of_the_distribution() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert tomllib.loads(text)["project"]["version"] == VERSION
