"""supervisor/additions/kept_file.py: what was added, for the next supervisor."""

import stat
from pathlib import Path
from typing import Any

import pytest

from supervisor.additions.kept_file import NAME, KeptFile


def test_what_is_kept_is_read_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    kept = KeptFile(tmp_path)
    assert kept.read() == {}
    (tmp_path / "additions.new").write_text("an earlier supervisor died while it wrote this")
    some: list[dict[str, Any]] = [{"app": "live", "url": "rtsp://u:p@h/1"}]
    both: list[dict[str, list[dict[str, Any]]]] = [{"pulls": some}, {"pulls": []}]
    for requests in both:
        assert kept.write(requests) == ""
        assert KeptFile(tmp_path).read() == requests
        assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"pulls": 7}', '{"pulls": [7]}', '{"pulls": [["a"]]}', "\xff" * 9]
)
def test_a_damaged_file_adds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_bytes(text.encode("latin-1"))
    assert KeptFile(tmp_path).read() == {}


def test_a_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    assert KeptFile(tmp_path / "gone").write({}) == "No such file or directory"
