"""How many workers each device has."""

from dataclasses import replace

import pytest

from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.ipc.control_messages import DeviceInfo, Endpoint, Hello
from common.ipc.identity import BootId, ChildId, gpu_worker
from supervisor.processes.worker_counts import (
    further_workers,
    hybrid_workers,
    share_of,
    software_workers,
)
from tests.kit.children import CPU0, GPU1, dedicated

ONE, TWO = "GPU-1", "GPU-2"
AUTO = Settings()
THREE = replace(AUTO, devices=replace(AUTO.devices, hybrid_workers=3))


def hello(uuid: str, path: Pipeline = Pipeline.HYBRID, index: int = 0) -> Hello:
    name, boot_id = gpu_worker(uuid, index), BootId("0" * 16)
    device = DeviceInfo(uuid, "gpu", "toy", path)
    return Hello(name, boot_id, 1, 1, Endpoint(name, boot_id), device=device)


@pytest.mark.parametrize(
    ("worker", "device"),
    [
        (CPU0, "cpu:0"),
        (dedicated(3), "cpu:q3"),
        (GPU1, "GPU-1"),
        (gpu_worker("GPU-1", 2), "GPU-1"),
    ],
)
def test_a_workers_name_tells_its_device(worker: ChildId, device: str) -> None:
    assert worker.device_name == device


def test_the_first_worker_of_a_gpu_has_its_name_and_the_others_a_number() -> None:
    assert [gpu_worker(ONE, index) for index in range(3)] == [
        GPU1,
        gpu_worker("GPU-1", 1),
        gpu_worker("GPU-1", 2),
    ]


@pytest.mark.parametrize(("cores", "workers"), [(1, 2), (16, 2), (24, 3), (64, 8)])
def test_software_has_a_worker_a_few_cores_and_never_only_one(cores: int, workers: int) -> None:
    assert software_workers(AUTO, cores) == workers


def test_what_is_set_holds_whatever_the_cores() -> None:
    none = replace(AUTO, software=replace(AUTO.software, workers=0))
    assert software_workers(none, 64) == 0
    assert hybrid_workers(THREE, 2, 4) == 3


@pytest.mark.parametrize(
    ("cores", "gpus", "workers"), [(4, 1, 1), (16, 1, 4), (64, 1, 16), (64, 4, 4), (16, 8, 1)]
)
def test_hybrid_gpus_share_the_cores(cores: int, gpus: int, workers: int) -> None:
    assert hybrid_workers(AUTO, cores, gpus) == workers


def test_nothing_further_is_wanted_until_a_gpu_is_known_to_be_hybrid() -> None:
    assert further_workers(THREE, 16, [ONE], []) == []
    assert further_workers(THREE, 16, [ONE], [hello(ONE, Pipeline.GPU_ONLY)]) == []
    assert further_workers(THREE, 16, [ONE], [hello(ONE)]) == [
        gpu_worker("GPU-1", 1),
        gpu_worker("GPU-1", 2),
    ]


def test_a_gpu_that_is_not_known_yet_keeps_its_part_of_the_cores() -> None:
    both = [ONE, TWO]
    assert further_workers(AUTO, 16, both, [hello(ONE)]) == [gpu_worker("GPU-1", 1)]
    encodes = hello(TWO, Pipeline.GPU_ONLY)
    wanted = further_workers(AUTO, 16, both, [hello(ONE), encodes])
    assert wanted == [gpu_worker("GPU-1", 1), gpu_worker("GPU-1", 2), gpu_worker("GPU-1", 3)]
    wanted = further_workers(AUTO, 16, both, [hello(ONE), hello(TWO)])
    assert wanted == [gpu_worker("GPU-1", 1), gpu_worker("GPU-2", 1)]


def test_any_worker_of_a_gpu_tells_what_it_is() -> None:
    assert further_workers(THREE, 16, [ONE], [hello(ONE, index=2)])[0] == gpu_worker("GPU-1", 1)


def test_hybrid_workers_share_the_turns_of_the_cores() -> None:
    cpu = CPU0
    assert share_of(cpu, AUTO, 24, [ONE], []) == 1
    assert share_of(gpu_worker(ONE), AUTO, 16, [ONE, TWO], []) == 4, "both may be hybrid"
    assert share_of(gpu_worker(ONE, 1), THREE, 32, [ONE, TWO], [hello(ONE), hello(TWO)]) == 6
    assert share_of(gpu_worker(ONE), AUTO, 32, [ONE], [hello(ONE, Pipeline.GPU_ONLY)]) == 1
