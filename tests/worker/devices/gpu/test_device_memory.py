"""One context, on one GPU, and nothing left behind by sessions."""

import gc
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from common.config.ladder import SourceFormat, Template, fit_ladder
from common.config.settings import DEFAULT_RENDITIONS
from tests.kit.gpu_choice import gpus_for_tests
from tests.kit.gpu_units import Coded, code
from worker.devices.gpu.device import GpuBackend

pytestmark = pytest.mark.gpu

MIB = 1024**2

ONE_CONTEXT = """
import sys
import pynvml
pynvml.nvmlInit()
handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in sys.argv[1:]]
used = lambda: [pynvml.nvmlDeviceGetMemoryInfo(h).used for h in handles]
before = used()
from tests.worker.devices.gpu.test_device_memory import Session, coded_1080p
coded = coded_1080p()
from worker.devices.gpu.device import GpuBackend
uuid = sys.argv[-1]
device = GpuBackend(uuid)
assert device.context.uuid == uuid
from cuda.bindings import driver
status, flags, active = driver.cuDevicePrimaryCtxGetState(0)
assert active == 1
assert int(flags) & 7 == int(driver.CUctx_flags.CU_CTX_SCHED_BLOCKING_SYNC)
booted = used()
session = Session(device, coded)
session.run()
import cupy
cupy.zeros(1)
status, current = driver.cuCtxGetCurrent()
assert int(current) == device.context.pointer
after = used()
import json
print(json.dumps({"own": after[-1] - booted[-1],
                  "others": [b - a for a, b in zip(before[:-1], after[:-1])]}))
"""


class Session:
    """A 1080p stream with three renditions."""

    def __init__(self, device: GpuBackend, coded: Coded) -> None:
        self.coded = coded
        ladder = fit_ladder(Template("live", DEFAULT_RENDITIONS), SourceFormat(1920, 1080))
        self.decoder = device.open_decoder(coded.config, coded.sps)
        self.scaler = device.open_scaler(ladder, coded.sps)
        self.encoders = [
            device.open_encoder(rendition, coded.sps, Fraction(30))
            for rendition in ladder.renditions
        ]

    def run(self) -> None:
        for unit in self.coded.units:
            for picture in self.decoder.decode(unit.data, unit.dts_ms, unit.pts_ms):
                surfaces = self.scaler.scale(picture, range(len(self.encoders)))
                for encoder, surface in zip(self.encoders, surfaces, strict=True):
                    surface.prepare()
                    assert encoder.encode(surface, force_idr=False)

    def close(self) -> None:
        for encoder in self.encoders:
            encoder.close()
        self.scaler.close()
        self.decoder.close()


def coded_1080p(frames: int = 5) -> Coded:
    return code(1920, 1080, frames)


@pytest.fixture(scope="module")
def growth() -> dict[str, Any]:
    """Bytes by which a session grew the GPU that it is on, the last one, and every other.

    Its process sees all GPUs that tests may use, as one that is told its GPU may.
    """
    root = str(Path(__file__).parents[4])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": path, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus_for_tests())
    done = subprocess.run(
        [sys.executable, "-c", ONE_CONTEXT, *gpus_for_tests()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_there_is_one_context(growth: dict[str, Any]) -> None:
    assert growth["own"] < 250 * MIB, "another context beside that of the boot"


@pytest.mark.gpu(count=2)
def test_there_is_no_memory_on_another_gpu(growth: dict[str, Any]) -> None:
    assert max(growth["others"]) < 8 * MIB


def test_sessions_leave_no_memory_behind(device: GpuBackend) -> None:
    coded = coded_1080p()

    def rounds(count: int) -> int:
        for _ in range(count):
            session = Session(device, coded)
            session.run()
            session.close()
            del session
        gc.collect()
        free, _ = device.context.memory()
        return free

    settled = rounds(5)
    assert abs(settled - rounds(20)) < 32 * MIB
