"""egress/record/disk.py: whole boxes on the disk, whatever fails."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from common.config.recording import Recording, Upload
from common.mp4.boxes import box
from egress.record import disk
from egress.record.disk import Done, Files, recover
from egress.record.names import finished_name, mark_of, part_name
from egress.record.recorder import Begin, Finish, Write

HEAD = box(b"ftyp", b"iso6") + box(b"moov", b"m")
FRAGMENT = box(b"moof", b"f") + box(b"mdat", bytes(20))


def part(folder: Path, at_unix: float = 1_764_500_000.0) -> Path:
    return folder / "cam1" / "720p" / part_name(at_unix)


def test_a_file_has_its_final_name_once_it_is_whole(tmp_path: Path) -> None:
    files, path = Files(tmp_path, lambda: Recording()), part(tmp_path)
    done = files.run([Begin(path), Write(HEAD), Write(FRAGMENT)])
    assert (done.problem, done.written, path.read_bytes()) == (
        "",
        len(HEAD + FRAGMENT),
        HEAD + FRAGMENT,
    )
    (finished,) = files.run([Finish(1.0, "r")]).finished
    assert not path.exists()
    assert finished.path.read_bytes() == HEAD + FRAGMENT
    assert finished.path.name == "20251130T105320.000Z.mp4"


def test_a_full_disk_leaves_what_was_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, path = Files(tmp_path, lambda: Recording()), part(tmp_path)
    files.run([Begin(path), Write(HEAD), Write(FRAGMENT)])
    room, write = [10], os.write

    def full(fd: int, data: memoryview) -> int:
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data[: room.pop()])

    monkeypatch.setattr(os, "write", full)
    done = files.run([Write(FRAGMENT), Write(FRAGMENT)])
    assert "no space left on device: make room" in done.problem
    (finished,) = done.finished
    assert finished.path.read_bytes() == HEAD + FRAGMENT
    assert files.run([Write(FRAGMENT), Finish(0.0, "")]) == Done(
        finished=[]
    )  # there is no file any more


def test_a_folder_that_is_none_is_a_problem_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "cam1").write_text("a file of somebody's")
    assert Files(tmp_path, lambda: Recording()).run([Begin(part(tmp_path)), Write(HEAD)]).problem


def test_the_oldest_are_removed_and_nothing_else(tmp_path: Path) -> None:
    files = Files(tmp_path, lambda: Recording(keep_bytes=3 * len(HEAD)))
    (tmp_path / "holiday.mp4").write_bytes(bytes(1000))
    for at in range(5):
        files.run([Begin(part(tmp_path, at)), Write(HEAD), Finish(1.0, "")])
    left = sorted(path.name for path in (tmp_path / "cam1" / "720p").iterdir())
    assert left == [f"19700101T00000{at}.000Z.mp4" for at in (2, 3, 4)]
    assert (tmp_path / "holiday.mp4").exists()


@pytest.mark.parametrize("torn", range(len(FRAGMENT)))
def test_what_a_process_left_behind_is_cut_to_whole_fragments(tmp_path: Path, torn: int) -> None:
    path = part(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(HEAD + FRAGMENT + FRAGMENT[:torn])
    (found,) = recover(tmp_path)
    assert found.path.read_bytes() == HEAD + FRAGMENT
    assert found.size == len(HEAD + FRAGMENT)
    assert recover(tmp_path) == []


def test_one_without_a_header_is_removed_and_one_that_is_written_stays(tmp_path: Path) -> None:
    empty, written = part(tmp_path), part(tmp_path, 1.0)
    empty.parent.mkdir(parents=True)
    empty.write_bytes(HEAD[:7])
    with written.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert recover(tmp_path) == []
    assert (empty.exists(), written.exists()) == (False, True)


@pytest.mark.parametrize("is_full", [False, True])
def test_what_is_not_uploaded_goes_only_when_the_disk_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    rule = Recording("/r", keep_bytes=1, upload=Upload("b"))
    files, made = Files(tmp_path, lambda: rule), []
    monkeypatch.setattr(disk, "NEARLY_FULL", 0.0)
    for at in range(3):
        path = part(tmp_path, 1_764_500_000.0 + at)
        files.run([Begin(path), Write(HEAD), Finish(1.0, "r")])
        made.append(finished_name(path))
    assert all(path.exists() for path in made)
    mark_of(made[0]).touch()
    monkeypatch.setattr(disk, "NEARLY_FULL", 1.1 if is_full else 0.0)
    done = files.run([Begin(part(tmp_path, 1_764_500_009.0)), Write(HEAD), Finish(1.0, "r")])
    assert not made[0].exists()
    assert not mark_of(made[0]).exists()
    assert [path.exists() for path in made[1:]] == [not is_full] * 2
    assert done.lost == (2 if is_full else 0)
