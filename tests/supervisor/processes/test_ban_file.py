"""The list of bans outlives its supervisor."""

from pathlib import Path

import pytest

from common.access.bans import Ban
from supervisor.processes.ban_file import NAME, BanFile

BANS = [
    Ban("203.0.113.0/24", until_unix=160.0, reason="a flood", by="uid 0", since_unix=100.0),
    Ban(stream="live/cam1"),
]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert BanFile(tmp_path).read() == []
    assert not BanFile(tmp_path).is_there()
    assert BanFile(tmp_path).write(BANS) == ""
    assert BanFile(tmp_path).read() == BANS
    assert BanFile(tmp_path).is_there()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "{}x",
        '[{"network": "203.0.113.7/32"}]',
        '[{"network": "no network", "stream": ""}]',
        '[{"network": "203.0.113.7/32", "stream": "", "until_unix": NaN, "reason": "", "by": "", '
        '"since_unix": 0}]',
    ],
)
def test_a_damaged_list_is_none_and_says_so(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).write_text(text)
    assert BanFile(tmp_path).read() == []
    assert "bans not read" in caplog.text


def test_a_list_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    assert "No such file" in BanFile(tmp_path / "gone").write(BANS)
