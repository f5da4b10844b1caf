"""egress/upload/folders.py: what is still to be copied, by names and marks."""

import os
from pathlib import Path

from egress.record.names import mark_of
from egress.upload.folders import AppFolder, mark

LATER = 4e9  # nothing changed just now


def recording(app: Path, key: str = "a", at: int = 0) -> Path:
    path = app / key / "source" / f"20251130T1053{at:02}.000Z.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"m" * 7)
    return path


def waiting(folder: AppFolder) -> set[Path]:
    return {file.path for file in folder.waiting(LATER)}


def test_finished_recordings_without_a_mark_wait(tmp_path: Path) -> None:
    one, other, sent = recording(tmp_path), recording(tmp_path, "b"), recording(tmp_path, at=1)
    mark(sent, "{}\n")
    (one.parent / "20251130T105309.000Z.part.mp4").touch()
    (one.parent / "notes.txt").touch()
    folder = AppFolder(tmp_path)
    assert waiting(folder) == {one, other}
    assert {file.size for file in folder.waiting(LATER)} == {7}
    mark(one, "{}\n")
    os.utime(one.parent, ns=(1, 1))
    assert waiting(folder) == {other}


def test_a_folder_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    one = recording(tmp_path)
    os.utime(one.parent, ns=(5, 5))
    folder = AppFolder(tmp_path)
    assert waiting(folder) == {one}
    recording(tmp_path, at=1)
    os.utime(one.parent, ns=(5, 5))
    assert waiting(folder) == {one}
    os.utime(one.parent, ns=(6, 6))
    assert len(waiting(folder)) == 2


def test_one_that_changed_just_now_is(tmp_path: Path) -> None:
    """Two files of one tick of the file system's clock."""
    one = recording(tmp_path)
    os.utime(one.parent, ns=(5, 5))
    folder = AppFolder(tmp_path)
    assert len(folder.waiting(1.0)) == 1
    recording(tmp_path, at=1)
    os.utime(one.parent, ns=(5, 5))
    assert len(folder.waiting(1.0)) == 2


def test_links_lead_nowhere_and_a_mark_alone_goes(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    secret = recording(elsewhere)
    app = tmp_path / "live"
    recording(app)
    (app / "linked").symlink_to(elsewhere / "a")
    link = app / "a/source/20251130T105330.000Z.mp4"
    link.symlink_to(secret)
    lost = mark_of(app / "a/source/20251130T105340.000Z.mp4")
    lost.touch()
    assert len(waiting(AppFolder(app))) == 1
    assert not lost.exists()


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert AppFolder(tmp_path / "none").waiting(LATER) == []
