"""The run directory: where, whose, held by one, cleaned of the dead."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from common.ipc.control_link import CONTROL_SOCKET
from common.ipc.identity import BootId
from common.ipc.peer_credentials import PeerCredentials
from supervisor.processes.run_dir import (
    CHILDREN,
    LOCK,
    AlreadyRunning,
    ChildRecord,
    RunDirError,
    RunDirLock,
    clear,
    default_run_dir,
    find_run_dir,
    is_served,
    prepare,
    read_children,
    remove_sockets,
    remove_sockets_of,
    served_by,
    wait_gone,
    why_served_by_another,
    why_unserved,
    why_untrusted,
    write_children,
)
from tests.kit.children import INGEST0
from tests.kit.needs import needs_root


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for socket names."""
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        yield Path(name)


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_where_it_is_by_default() -> None:
    both = {"RUNTIME_DIRECTORY": "/run/tfarm", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert default_run_dir(both, 7) == Path("/run/tfarm")
    assert default_run_dir({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, 7) == Path("/run/a")
    assert default_run_dir({"XDG_RUNTIME_DIR": "/run/user/7"}, 7) == Path("/run/user/7/tfarm")
    assert default_run_dir({}, 7) == Path("/tmp/tfarm-7")


def test_a_command_finds_the_service_where_no_other_farm_runs(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, mine = short / "service", short / "mine" / "tfarm"
    service.mkdir()
    mine.mkdir(parents=True)
    monkeypatch.setattr("supervisor.processes.run_dir.SERVICE", service)
    session = {"XDG_RUNTIME_DIR": str(mine.parent)}
    assert find_run_dir(session, 7) == mine
    with socket.socket(socket.AF_UNIX) as theirs, socket.socket(socket.AF_UNIX) as ours:
        theirs.bind(str(service / CONTROL_SOCKET))
        theirs.listen()
        assert find_run_dir(session, 7) == service
        # a unit's own command is for its own farm, running or not
        assert find_run_dir({"RUNTIME_DIRECTORY": str(mine)}, 7) == mine
        ours.bind(str(mine / CONTROL_SOCKET))
        ours.listen()
        assert find_run_dir(session, 7) == mine


def test_it_is_made_for_its_owner_alone(short: Path) -> None:
    path = prepare(short / "a" / "b")
    assert path.stat().st_mode & 0o777 == 0o700
    assert prepare(path) == path


def test_an_empty_one_of_ours_is_closed_to_others_and_a_used_one_refused(short: Path) -> None:
    (short / "empty").mkdir(mode=0o755)
    assert prepare(short / "empty").stat().st_mode & 0o777 == 0o700
    used = short / "used"
    used.mkdir(mode=0o755)
    (used / "file").touch()
    with pytest.raises(RunDirError, match="chmod 700"):
        prepare(used)


def test_files_links_and_long_paths_are_refused(short: Path) -> None:
    (short / "file").touch()
    with pytest.raises(RunDirError):
        prepare(short / "file")
    (short / "link").symlink_to(short)
    with pytest.raises(RunDirError, match="no directory"):
        prepare(short / "link")
    with pytest.raises(RunDirError, match="longer than 48 bytes"):
        prepare(short / ("x" * 48))


@needs_root("it makes another user's directory")
def test_another_users_directory_is_refused(short: Path) -> None:
    other = short / "other"
    other.mkdir(mode=0o700)
    os.chown(other, 12345, 12345)
    with pytest.raises(RunDirError, match="another user"):
        prepare(other)


@needs_root("it makes another user's directory")
@pytest.mark.parametrize(
    ("owner", "mode", "uid", "is_named", "words"),
    [
        (0, 0o700, 0, False, ""),
        (0, 0o755, 0, False, ""),
        (7, 0o700, 7, False, ""),
        (0, 0o700, 7, False, ""),  # root may do everything anyway
        (12345, 0o700, 7, False, "belongs to user 12345"),
        (12345, 0o700, 7, True, "belongs to user 12345"),
        (12345, 0o700, 0, False, "--run-dir"),
        (12345, 0o700, 0, True, ""),
        (12345, 0o777, 0, True, "others may write"),
        (0, 0o1777, 0, True, "others may write"),
        (7, 0o770, 7, True, "others may write"),
    ],
)
def test_whose_directory_a_command_believes(
    short: Path, owner: int, mode: int, uid: int, is_named: bool, words: str
) -> None:
    path = short / "run"
    path.mkdir()
    os.chown(path, owner, 0)
    path.chmod(mode)
    why = why_untrusted(path, uid, is_named=is_named)
    assert words in why
    assert bool(why) == bool(words)


def test_a_directory_that_was_found_is_no_link_and_one_that_is_not_there_is_nobodys(
    short: Path,
) -> None:
    (short / "link").symlink_to(short)
    assert "no directory" in why_untrusted(short / "link", os.geteuid())
    assert why_untrusted(short / "link", os.geteuid(), is_named=True) == ""
    assert why_untrusted(short / "none", os.geteuid()) == ""


@needs_root("it makes another user's directory")
def test_root_believes_the_services_directory_and_no_other_that_is_only_found(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, made = short / "service", short / "tfarm"
    for path in (service, made):
        path.mkdir(mode=0o700)
        os.chown(path, 12345, 12345)
    monkeypatch.setattr("supervisor.processes.run_dir.SERVICE", service)
    assert why_untrusted(service, 0) == ""
    assert why_untrusted(made, 0) != ""
    with socket.socket(socket.AF_UNIX) as hers, socket.socket(socket.AF_UNIX) as ours:
        hers.bind(str(made / CONTROL_SOCKET))
        hers.listen()
        assert find_run_dir({"XDG_RUNTIME_DIR": str(short)}, 0) == made  # and is refused then
        ours.bind(str(service / CONTROL_SOCKET))
        ours.listen()
        assert find_run_dir({"XDG_RUNTIME_DIR": str(short)}, 0) == service


def test_who_may_serve_it(short: Path) -> None:
    owner = short.stat().st_uid
    assert why_served_by_another(short, owner) == ""
    assert why_served_by_another(short, 0) == ""
    assert "user 12345 listens in it" in why_served_by_another(short, 12345)
    assert served_by(short, 0.1) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short / CONTROL_SOCKET))
        listener.listen(0)
        assert served_by(short, 0.1) == PeerCredentials(os.getpid(), os.geteuid())


def test_a_lock_that_was_removed_is_missed_and_taken_again(short: Path) -> None:
    lock = RunDirLock(short)
    assert lock.is_in_place()
    (short / LOCK).unlink()
    assert not lock.is_in_place()
    lock.renew()
    assert lock.is_in_place()
    with pytest.raises(AlreadyRunning):
        RunDirLock(short)
    (short / LOCK).unlink()
    other = RunDirLock(short)
    assert not lock.is_in_place()
    with pytest.raises(AlreadyRunning):
        lock.renew()
    other.release()
    lock.release()


def test_one_supervisor_holds_it_and_the_second_is_told_by_whom(short: Path) -> None:
    lock = RunDirLock(short)
    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
        RunDirLock(short)
    lock.release()
    RunDirLock(short).release()


def test_nobody_listens_in_an_empty_one(short: Path) -> None:
    assert not is_served(short)
    bind(short / "control")  # the file is there, and nobody behind it
    assert not is_served(short)
    (short / "control").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short / "control"))
        listener.listen()
        assert is_served(short)


def test_what_is_no_run_directory_is_said_to_be_none(short: Path) -> None:
    assert why_unserved(short / "none") == f"there is no {short / 'none'}"
    (short / "file").touch()
    assert why_unserved(short / "file") == f"{short / 'file'} is no directory"
    assert why_unserved(short) == f"{short} is no run directory: no farm has run in it"
    RunDirLock(short).release()
    assert why_unserved(short) == f"nothing listens in {short}"


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    """Root, who may enter every directory, is nobody meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65_534, 65_534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_closed_run_directory_is_told_from_none(short: Path) -> None:
    short.chmod(0)
    with another_user():
        assert why_unserved(short) == f"{short} is closed to this user"
    short.chmod(0o700)


def test_the_list_of_children_is_read_back_and_damage_is_no_list(short: Path) -> None:
    records = [ChildRecord(INGEST0, 12, 345, BootId("ab" * 8))]
    assert read_children(short) == []
    write_children(short, records)
    assert read_children(short) == records
    for damaged in ("", "{", "[3]", '[{"name": "x"}]', '{"a": 1}'):
        (short / CHILDREN).write_text(damaged)
        assert read_children(short) == []


def test_only_dead_childrens_sockets_are_removed(short: Path) -> None:
    dead, living = "0" * 16, "1" * 16
    for name in (f"worker-cpu-0-{dead}.media", f"egress-0-{living}.tags", "control", "other.sock"):
        bind(short / name)
    (short / f"log-{dead}.txt").touch()
    assert remove_sockets(short, [BootId(living)]) == 1
    left = {path.name for path in short.iterdir()}
    assert left == {f"egress-0-{living}.tags", "control", "other.sock", f"log-{dead}.txt"}
    remove_sockets_of(short, BootId(living))
    assert f"egress-0-{living}.tags" not in {path.name for path in short.iterdir()}


def test_after_a_clean_end_only_what_is_not_ours_is_left(short: Path) -> None:
    bind(short / "control")
    bind(short / f"ingest-0-{'2' * 16}.media")
    write_children(short, [])
    (short / "mine").touch()
    clear(short)
    assert [path.name for path in short.iterdir()] == ["mine"]
    clear(short)


def test_waiting_for_a_process_to_go() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert not wait_gone(child.pid, 0.05)
    child.communicate()
    assert wait_gone(child.pid, 0.05)
