"""worker/devices/table.py: which device a name means, and how its process is set up."""

import os
import sys
from collections.abc import Iterator

import pytest

from worker.devices import table
from worker.devices.software.device import SoftBackend
from worker.threads import OwnThreads


@pytest.fixture(autouse=True)
def switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_the_hosts_cores_are_opened_by_their_name_with_threads_of_each_sessions_own() -> None:
    device = table.open_device("cpu", 1, name="cpu:3")
    assert isinstance(device.backend, SoftBackend)
    assert device.backend.info.name == "cpu:3"
    assert isinstance(device.threads, OwnThreads)


def test_every_other_name_is_a_gpus() -> None:
    assert table.device_kind("cpu").device == "cpu"
    assert table.device_kind("GPU-12ab").device == ""
    assert table.device_kind("").device == ""


def test_a_gpus_process_sees_that_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    table.prepare_device("cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert sys.getswitchinterval() == pytest.approx(table.SOFTWARE_SWITCH_INTERVAL_S)
    table.prepare_device("GPU-12ab")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-12ab"
