"""Which children there are, and their command lines."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.config.settings import Listen, Settings
from common.extras import WEBRTC, is_installed
from common.ipc.identity import ChildId, cpu_worker, gpu_worker
from supervisor.processes.launch import (
    child_command,
    child_environ,
    child_ids,
    gpu_uuids,
    python_module,
)
from tests.kit.children import API0, CPU0, EGRESS0, EGRESS1, INGEST0, INGEST1, RTC0, SOUND0, WEB0

UUID = "GPU-12345678-1234-1234-1234-123456789012"
RUN_DIR = Path("/run/farm")
SEVERAL = Settings(
    ingest=replace(Settings().ingest, processes=2),
    egress=replace(Settings().egress, processes=2),
    software=replace(Settings().software, workers=1, encoder_threads=3),
    orphan_timeout_s=7.5,
)


def command(
    child: ChildId, settings: Settings = SEVERAL, share: int = 1, *, shares_port: bool = False
) -> list[str]:
    listen = Listen(host="::1", port=1936)
    return child_command(
        child, python_module, RUN_DIR, settings, listen, share, shares_port=shares_port
    )


def test_a_farm_has_its_servers_its_software_workers_and_one_worker_a_gpu() -> None:
    names = child_ids(SEVERAL, [UUID], 64)
    assert names == [
        EGRESS0,
        EGRESS1,
        SOUND0,
        *((RTC0,) if is_installed(WEBRTC) else ()),
        WEB0,
        CPU0,
        gpu_worker(UUID),
        INGEST0,
        INGEST1,
        API0,
    ]
    assert gpu_uuids([*names, gpu_worker(UUID, 1)]) == [UUID]


def test_the_number_of_software_workers_may_go_by_the_cores() -> None:
    settings = replace(SEVERAL, software=replace(SEVERAL.software, workers=None))
    names = child_ids(settings, [], 24)
    assert [name for name in names if name.kind == "worker"] == [
        cpu_worker(index) for index in range(3)
    ]


def test_children_are_modules_in_a_python_of_their_own() -> None:
    assert command(EGRESS1) == [
        *(sys.executable, "-P", "-m", "egress"),
        *("--index", "1", "--run-dir", "/run/farm", "--orphan-timeout", "7.5"),
    ]


def test_ingests_are_told_where_to_listen_and_whether_they_share_the_port() -> None:
    assert command(INGEST0, shares_port=True)[-3:] == ["--listen", "[::1]:1936", "--share-port"]
    assert command(INGEST0)[-2:] == ["--listen", "[::1]:1936"]


@pytest.mark.parametrize(("child", "device"), [(CPU0, "cpu"), (gpu_worker(UUID), UUID)])
def test_workers_are_told_their_device_and_their_threads(child: ChildId, device: str) -> None:
    argv = command(child, share=2)
    assert argv[argv.index("--device") + 1] == device
    shared = [] if child.is_software else ["--pictures", "shared"]
    assert argv[-2 - len(shared) :] == ["--threads", "3", *shared]


def test_encoder_processes_are_told_with_how_many_they_share_the_cores() -> None:
    argv = command(ChildId("encoder", index=1), share=2)
    assert argv[-4:] == ["--threads", "3", "--share", "2"]


def test_software_workers_share_pictures_where_it_is_set() -> None:
    shared = replace(SEVERAL, software=replace(SEVERAL.software, encoder_processes=True))
    assert command(CPU0, shared)[-2:] == ["--pictures", "shared"]


def test_further_workers_of_a_gpu_are_told_the_gpu_and_their_number() -> None:
    argv = command(gpu_worker(UUID, 1))
    assert argv[argv.index("--device") + 1] == UUID
    assert argv[argv.index("--index") + 1] == "1"


@pytest.mark.parametrize(
    ("child", "visible"),
    [
        (INGEST0, ""),
        (EGRESS0, ""),
        (CPU0, ""),
        (gpu_worker(UUID), UUID),
        (gpu_worker(UUID, 2), UUID),
    ],
)
def test_a_gpus_worker_sees_its_gpu_and_everyone_else_none(child: ChildId, visible: str) -> None:
    assert child_environ(child) == {"CUDA_VISIBLE_DEVICES": visible}
