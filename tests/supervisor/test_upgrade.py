"""A farm of toys that goes over to the next version, which is the same."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from common.ipc.envelope import VERSION as WIRE_VERSION
from common.version import VERSION
from supervisor.commands.line import client
from supervisor.commands.line.client import CommandFailed, NotRunning
from supervisor.upgrade import OPTION, PROBE, command_of, introduction, refusal
from tests.kit.farm import TFARM
from tests.kit.toy_supervisor import ROOT, ToyFarm

NEW_WORDS = "the new version does not start: "


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["python", "-P", "-m", "supervisor"], ["/new", "-P", "-m", "supervisor", PROBE]),
        (
            ["python", "-P", "-m", "supervisor", "a.toml", OPTION, "0", "--run-dir", "/run/a"],
            ["/new", "-P", "-m", "supervisor", "a.toml", "--run-dir", "/run/a", PROBE],
        ),
        (["python", "toy_farm.py", OPTION, "60"], ["/new", "toy_farm.py", PROBE]),
    ],
)
def test_the_next_version_is_run_as_this_one_was(argv: list[str], command: list[str]) -> None:
    assert command_of("/new", argv, PROBE) == command


@pytest.mark.parametrize(
    ("code", "said", "complaint", "why"),
    [
        (0, introduction(), "", ""),
        (0, f"a warning\n{introduction()}\n", "another", ""),
        (0, json.dumps({"version": "9", "wire": WIRE_VERSION, "more": 1}), "", ""),
        (0, json.dumps({"version": "9", "wire": WIRE_VERSION + 1}), "", "neither would understand"),
        (0, json.dumps({"version": "9"}), "", "says nothing of its version"),
        (0, "", "", "says nothing of its version"),
        (0, "[]", "", "says nothing of its version"),
        (0, '{"wire": null}', "", "says nothing of its version"),
        (2, "", "a.toml: listen.rtmp: no address\n\n", f"{NEW_WORDS}a.toml: listen.rtmp: no addr"),
        (1, "", "Traceback\n  File\nImportError: no module", f"{NEW_WORDS}ImportError: no module"),
        (-6, "", "", f"{NEW_WORDS}exit code -6"),
    ],
)
def test_a_version_that_does_not_start_or_speaks_otherwise_is_refused(
    code: int, said: str, complaint: str, why: str
) -> None:
    found = refusal(code, said, complaint)
    assert why in found
    assert bool(found) == bool(why)


@pytest.fixture
def farm() -> Iterator[ToyFarm]:
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        farm = ToyFarm(Path(name))
        try:
            farm.start()
            yield farm
        finally:
            farm.clean_up()


def upgrade(farm: ToyFarm, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [TFARM, "upgrade", "--run-dir", str(farm.run_dir)]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )


def document(farm: ToyFarm) -> dict[str, Any]:
    try:
        return client.ask_document(farm.run_dir, "upgrade")
    except NotRunning:
        return {"state": "away"}


@pytest.mark.e2e
def test_every_process_is_replaced_by_the_next_one_and_who_is_busy_stays(farm: ToyFarm) -> None:
    assert farm.process is not None
    supervisor = farm.process.pid
    before = farm.children()
    farm.mode("busy", "ingest:0")
    said = upgrade(farm, "--deadline", "1h")
    assert said.returncode == 0, said.stderr + said.stdout + farm.log.read_text()
    assert "worker:cpu:2 is started, to replace worker:cpu:0\n" in said.stdout
    assert f"the farm runs tfarm {VERSION}\n" in said.stdout
    assert "ingest:0 of the old version serves 0 connections until they end" in said.stdout
    assert farm.process.poll() is None, "the same process is another program"
    assert client.status(farm.run_dir)["supervisor"]["pid"] == supervisor
    environ = Path(f"/proc/{supervisor}/environ").read_bytes().split(b"\0")
    (path,) = (value for value in environ if value.startswith(b"PYTHONPATH="))
    assert path.startswith(f"PYTHONPATH={ROOT}".encode()), "its packages are the command's"
    after = farm.children()
    assert set(after) == {"ingest:0", "ingest:1", "egress:1", "worker:cpu:0", "worker:cpu:2"}
    assert {c["pid"] for c in after.values()} & {c["pid"] for c in before.values()} == {
        before["ingest:0"]["pid"]
    }
    assert after["ingest:0"]["state"] == "retiring"
    assert {c["version"] for c in after.values()} == {VERSION}
    (boot,) = farm.boots("ingest:1")
    assert boot.endswith(f"--listeners {farm.run_dir}/ingest-0-{boot_id(farm, 'ingest-0')}")

    # a supervisor that dies meanwhile: the next one knows who retires, and starts nobody in excess
    assert farm.end(9) == -9
    farm.start(wait=False)
    farm.until(lambda: farm.children().keys() == after.keys())
    again = farm.children()
    assert {n: c["pid"] for n, c in again.items()} == {n: c["pid"] for n, c in after.items()}
    farm.until(lambda: farm.children()["ingest:0"]["state"] == "retiring")
    assert document(farm)["state"] == "none"

    def workers() -> list[str]:
        return sorted(device["worker"] for device in client.status(farm.run_dir)["devices"])

    farm.until(lambda: workers() == ["worker:cpu:0", "worker:cpu:2"])

    # and it is not started again when it has ended
    os.kill(after["ingest:0"]["pid"], signal.SIGTERM)
    farm.until(lambda: farm.children().keys() == after.keys() - {"ingest:0"})
    assert farm.end() == 0
    assert "Traceback" not in farm.log.read_text()


def boot_id(farm: ToyFarm, name: str) -> str:
    (found,) = {path.name for path in farm.run_dir.glob(f"{name}-*.decrypted")}
    return found.removeprefix(f"{name}-").removesuffix(".decrypted") + ".listeners"


@pytest.mark.e2e
def test_a_successor_that_does_not_start_stops_it_and_who_served_serves_on(farm: ToyFarm) -> None:
    before = farm.children()
    farm.mode("exit3", "egress:1")
    said = upgrade(farm)
    assert said.returncode == 1
    assert "egress:1 does not start: the toy has no device; who served before" in said.stderr
    farm.until(lambda: "egress:1" not in farm.children())
    after = farm.children()
    assert {name: after[name]["pid"] for name in ("egress:0", "ingest:0")} == {
        name: before[name]["pid"] for name in ("egress:0", "ingest:0")
    }
    assert {child["state"] for child in after.values()} == {"ready"}
    assert "Retire 0" not in farm.heard(before["egress:0"]["pid"])


@pytest.mark.e2e
def test_a_version_that_cannot_begin_changes_nothing(farm: ToyFarm) -> None:
    before = farm.children()
    for executable, why in (
        ("python", "is no program that the farm's user can run"),
        ("/nowhere/python", "is no program"),
    ):
        with pytest.raises(CommandFailed, match=why):
            client.ask(farm.run_dir, "upgrade", {"executable": executable})
    with pytest.raises(CommandFailed, match="no number of seconds"):
        client.ask(farm.run_dir, "upgrade", {"executable": sys.executable, "deadline": "-1"})
    client.ask(farm.run_dir, "upgrade", {"executable": "/bin/false", "path": ""})
    farm.until(lambda: document(farm)["state"] == "refused")
    assert document(farm)["problem"] == f"{NEW_WORDS}exit code 1"
    farm.config.write_text("nonsense = 1\n")
    said = upgrade(farm)
    assert said.returncode == 1
    assert "nonsense" in said.stderr
    assert "nothing was changed" in said.stderr
    assert farm.children().keys() == before.keys()
    assert {c["pid"] for c in farm.children().values()} == {c["pid"] for c in before.values()}
