"""The run directory of a running farm is removed, in part or whole: it heals, or the farm ends."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from supervisor.processes.run_dir import CHILDREN, LOCK, read_children
from tests.kit.toy_supervisor import DEADLINE_S, NAMES, TOY_FARM, ToyFarm, runs, sockets

pytestmark = pytest.mark.e2e


@pytest.fixture
def farm() -> Iterator[ToyFarm]:
    """One whose log and configuration are not in its run directory."""
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        farm = ToyFarm(Path(name))
        farm.run_dir = farm.run_dir / "run"
        try:
            yield farm
        finally:
            farm.clean_up()


def has_log(farm: ToyFarm, words: str) -> bool:
    return words in farm.log.read_text()


def all_sockets_are_there(farm: ToyFarm) -> bool:
    """Whether each child of the list has its socket's file, if it is looked after."""
    records = read_children(farm.run_dir)
    boots = [record.boot_id for record in records if record.child.kind != "ingest"]
    there = sockets(farm.run_dir)
    return len(records) == len(NAMES) and all(any(b and b in s for s in there) for b in boots)


def remove(run_dir: Path) -> None:
    """Remove a directory at one moment: a farm in it may be about to make files there."""
    aside = run_dir.with_name("gone")
    run_dir.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)
    if aside.exists():
        shutil.rmtree(aside)


def second(farm: ToyFarm) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(TOY_FARM), str(farm.config), "--run-dir", str(farm.run_dir)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_without_its_lock_a_second_supervisor_is_refused_all_the_same(farm: ToyFarm) -> None:
    farm.start()
    pids = {name: child["pid"] for name, child in farm.children().items()}
    (farm.run_dir / LOCK).unlink()
    for _ in range(2):
        other = second(farm)
        assert other.returncode == 1
        assert "already running" in other.stderr
        farm.until((farm.run_dir / LOCK).exists)
    assert {name: child["pid"] for name, child in farm.children().items()} == pids
    assert farm.end() == 0
    assert "Traceback" not in farm.log.read_text()


@pytest.mark.parametrize("how", ["removed", "moved away"])
def test_a_removed_directory_is_made_again_with_all_that_was_in_it(farm: ToyFarm, how: str) -> None:
    farm.start()
    if how == "removed":
        remove(farm.run_dir)
    else:
        farm.run_dir.rename(farm.run_dir.with_name("away"))
    farm.until(lambda: farm.is_ready() and all_sockets_are_there(farm))
    assert farm.run_dir.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in farm.run_dir.iterdir()} >= {LOCK, CHILDREN, "control"}
    assert "already running" in second(farm).stderr
    worker = farm.children()["worker:cpu:0"]
    os.kill(worker["pid"], signal.SIGKILL)
    farm.until(lambda: farm.is_ready() and farm.children()["worker:cpu:0"]["pid"] != worker["pid"])
    assert farm.end() == 0
    assert "Traceback" not in farm.log.read_text()
    assert sockets(farm.run_dir) == []


@pytest.mark.parametrize("name", ["control", CHILDREN])
def test_a_single_file_is_made_again(farm: ToyFarm, name: str) -> None:
    farm.start()
    (farm.run_dir / name).unlink()
    farm.until(lambda: (farm.run_dir / name).exists() and farm.is_ready())
    assert farm.end() == 0


def test_asked_to_stop_without_its_directory_it_ends_in_order(farm: ToyFarm) -> None:
    farm.start()
    pids = [child["pid"] for child in farm.children().values()]
    remove(farm.run_dir)
    assert farm.end() == 0
    assert not any(map(runs, pids))
    assert "Traceback" not in farm.log.read_text()


def test_where_the_place_is_taken_the_farm_ends_for_a_restart(farm: ToyFarm) -> None:
    farm.start()
    pids = [child["pid"] for child in farm.children().values()]
    remove(farm.run_dir)
    farm.run_dir.write_text("somebody's file")
    assert farm.process is not None
    assert farm.process.wait(DEADLINE_S) == 1
    farm.process = None
    assert has_log(farm, "the run directory is lost")
    assert "supervisor/run.py" not in farm.log.read_text()  # only toys have tracebacks
    assert not any(map(runs, pids))
    farm.run_dir.unlink()


def test_where_another_farm_has_begun_in_it_the_first_ends_and_leaves_it_alone(
    farm: ToyFarm,
) -> None:
    farm.start()
    remove(farm.run_dir)
    farm.run_dir.mkdir(mode=0o700)
    theirs = farm.run_dir / "control"
    with (farm.run_dir / LOCK).open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        theirs.touch()
        assert farm.process is not None
        assert farm.process.wait(DEADLINE_S) == 1
        farm.process = None
    assert theirs.exists()
    assert has_log(farm, "already running")
