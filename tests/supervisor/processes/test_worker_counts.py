"""How many workers each device has."""

from dataclasses import replace

import pytest

from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.ipc.control_messages import DeviceInfo, Endpoint, Hello
from common.ipc.identity import BootId, ChildId, gpu_worker
from supervisor.processes.worker_counts import (
    encoder_processes,
    encoders,
    software_workers,
    trial_processes,
)
from tests.kit.children import CPU0, GPU1, dedicated

ONE, TWO = "GPU-1", "GPU-2"
AUTO = Settings()
THREE = replace(AUTO, devices=replace(AUTO.devices, encoder_processes=3))


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
    assert encoder_processes(THREE, 64) == 3
    assert trial_processes(THREE, 2, 4) == 3


@pytest.mark.parametrize(("cores", "processes"), [(1, 2), (8, 2), (16, 4), (64, 16)])
def test_encoder_processes_are_one_for_a_few_cores_and_never_only_one(
    cores: int, processes: int
) -> None:
    assert encoder_processes(AUTO, cores) == processes


@pytest.mark.parametrize(
    ("cores", "gpus", "processes"), [(4, 1, 1), (16, 1, 4), (64, 1, 16), (64, 4, 4), (16, 8, 1)]
)
def test_gpus_that_are_calibrated_share_the_cores(cores: int, gpus: int, processes: int) -> None:
    assert trial_processes(AUTO, cores, gpus) == processes


def encoder(index: int) -> ChildId:
    return ChildId("encoder", index=index)


def test_there_are_encoder_processes_once_a_gpu_is_known_to_be_hybrid() -> None:
    assert encoders(AUTO, 16, []) == []
    assert encoders(AUTO, 16, [hello(ONE, Pipeline.GPU_ONLY)]) == []
    wanted = list(map(encoder, range(4)))
    assert encoders(AUTO, 16, [hello(ONE, Pipeline.GPU_ONLY), hello(TWO)]) == wanted
    assert encoders(AUTO, 16, [hello(ONE), hello(TWO)]) == wanted, "the host's, not a GPU's"
    assert encoders(THREE, 16, [hello(ONE)]) == wanted[:3]


def test_software_workers_have_them_where_it_is_set() -> None:
    name, boot_id = CPU0, BootId("0" * 16)
    device = DeviceInfo("cpu:0", "software", "toy")
    cpu = Hello(name, boot_id, 1, 1, Endpoint(name, boot_id), device=device)
    shared = replace(AUTO, software=replace(AUTO.software, encoder_processes=True))
    assert encoders(AUTO, 4, [cpu]) == []
    assert encoders(shared, 4, []) == []
    assert encoders(shared, 4, [cpu]) == [encoder(0), encoder(1)]
