"""From one installed version to the next, as docs/upgrade.md says, while streams run."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from common.version import VERSION
from tests.e2e.test_recovery import TWO_WORKERS, assert_whole, pid_of, started
from tests.kit.clients import Player, Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.installed import ROOT, install, make_environment, make_wheel
from tests.kit.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]  # two wheels are built and installed

NEXT = "99.0.0"


def next_version(folder: Path) -> Path:
    """A checkout of this code that calls itself a later version."""
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "tests", "docs")
    shutil.copytree(ROOT, folder, ignore=ignored)
    for name in ("pyproject.toml", "common/version.py"):
        text = (folder / name).read_text()
        assert f'"{VERSION}"' in text
        (folder / name).write_text(text.replace(f'"{VERSION}"', f'"{NEXT}"', 1))
    return folder


def children(farm: Farm) -> dict[str, int]:
    return {child["name"]: child["pid"] for child in farm.status()["children"]}


def replace_supervisor(farm: Farm) -> None:
    """As `systemctl kill --kill-whom=main --signal=KILL` does, and the unit's Restart."""
    assert farm.process is not None
    farm.process.kill()
    farm.process.wait()
    farm.start()


def replace_worker(farm: Farm, device: str) -> None:
    name = f"worker:{device}"
    before = pid_of(farm, name)
    drained = farm.cli("drain", device, "--timeout", "20")
    assert drained.returncode == 0, drained.stderr + drained.stdout
    os.kill(before, signal.SIGTERM)

    def is_back() -> bool:
        child = farm.child(name)
        return bool(child["state"] == "ready" and child["pid"] not in (0, before))

    until(is_back, 20, f"{name} runs again", every=0.1)
    undrained = farm.cli("undrain", device)
    assert undrained.returncode == 0, undrained.stderr


def test_supervisor_and_workers_are_replaced_by_the_next_version_and_no_picture_is_lost(
    clip: Callable[[ClipSpec], Path], tmp_path: Path
) -> None:
    environment = make_environment(tmp_path / "environment")
    install(environment, make_wheel(tmp_path / "now"))
    later = make_wheel(tmp_path / "later", next_version(tmp_path / "checkout"))
    tfarm = str(environment / "bin" / "tfarm")
    with Farm(TWO_WORKERS, supervisor=(tfarm, "supervisor")) as farm:
        path = clip(ClipSpec(seconds=16.0))
        publisher = Publisher(farm.url("cam"), path, loop=True)
        player = Player(farm.url("cam", "240p"))
        with publisher, player:
            farm.wait_stream("cam")
            started([player])
            before = children(farm)
            assert farm.status()["version"] == VERSION
            install(environment, later)
            said = subprocess.run([tfarm, "--version"], capture_output=True, text=True, check=True)
            assert said.stdout.strip() == f"tfarm {NEXT}"
            replace_supervisor(farm)
            assert farm.status()["version"] == NEXT
            assert children(farm) == before  # adopted
            for device in ("cpu:0", "cpu:1"):
                replace_worker(farm, device)
            after = children(farm)
            assert not set(after.values()) & {
                pid for name, pid in before.items() if name.startswith("worker")
            }
            assert {name: after[name] for name in ("ingest:0", "egress:0")} == {
                name: before[name] for name in ("ingest:0", "egress:0")
            }
            assert publisher.is_running
            assert player.is_running
            player.stop()
        assert_whole(player, 1000 / 30)
