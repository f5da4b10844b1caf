"""Which children there are, and their command lines."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.identity import ChildName
from common.settings import Listen, Settings
from supervisor.child_plans import (
    child_command,
    child_environ,
    child_names,
    gpu_uuids,
    python_module,
)

UUID = "GPU-12345678-1234-1234-1234-123456789012"
RUN_DIR = Path("/run/farm")
SEVERAL = Settings(
    ingest=replace(Settings().ingest, processes=2),
    egress=replace(Settings().egress, processes=2),
    software=replace(Settings().software, workers=1, encoder_threads=3),
    orphan_timeout_s=7.5,
)


def command(name: str, settings: Settings = SEVERAL) -> list[str]:
    return child_command(
        ChildName(name), python_module, RUN_DIR, settings, Listen(host="::1", port=1936)
    )


def test_a_farm_has_its_servers_its_software_workers_and_one_worker_a_gpu() -> None:
    names = child_names(SEVERAL, [UUID])
    assert names == [
        "egress:0",
        "egress:1",
        "worker:cpu:0",
        f"worker:{UUID}",
        "ingest:0",
        "ingest:1",
    ]
    assert gpu_uuids(names) == [UUID]


def test_children_are_modules_in_a_python_of_their_own() -> None:
    assert command("egress:1") == [
        *(sys.executable, "-P", "-m", "egress"),
        *("--name", "egress:1", "--run-dir", "/run/farm", "--orphan-timeout", "7.5"),
    ]


def test_ingests_are_told_where_to_listen_and_whether_they_share_the_port() -> None:
    assert command("ingest:0")[-3:] == ["--listen", "[::1]:1936", "--share-port"]
    alone = replace(SEVERAL, ingest=replace(SEVERAL.ingest, processes=1))
    assert command("ingest:0", alone)[-2:] == ["--listen", "[::1]:1936"]


@pytest.mark.parametrize("device", ["cpu:0", UUID])
def test_workers_are_told_their_device_and_their_threads(device: str) -> None:
    assert command(f"worker:{device}")[-4:] == ["--device", device, "--threads", "3"]


@pytest.mark.parametrize(
    ("name", "visible"),
    [("ingest:0", ""), ("egress:0", ""), ("worker:cpu:0", ""), (f"worker:{UUID}", UUID)],
)
def test_a_gpus_worker_sees_its_gpu_and_everyone_else_none(name: str, visible: str) -> None:
    assert child_environ(ChildName(name)) == {"CUDA_VISIBLE_DEVICES": visible}
