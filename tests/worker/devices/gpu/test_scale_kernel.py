"""The kernel's source, compiled for the CPU, against the float64 reference."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kit.needs import lacks
from tests.kit.scale_reference import psnr, scale_nv12
from worker.devices.gpu import plan as plan_module
from worker.devices.gpu.plan import Fit, PicturePlan, plan_picture, target_pitch

KERNEL = Path(plan_module.__file__).parent
POISON = 0xA5


@pytest.fixture(scope="module", params=["", "-DUNALIGNED"], ids=["aligned", "unaligned"])
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        lacks("g++", "g++")
    library = tmp_path_factory.mktemp("kernel") / "kernel.so"
    source = Path(__file__).parent / "kernel_on_cpu.cpp"
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-w", "-mf16c", "-pthread", f"-I{KERNEL}"]
    if request.param:
        flags.append(request.param)
    subprocess.run([compiler, *flags, "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library))


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """Detail at every scale, so that a wrong weight or row shows."""
    generator = np.random.default_rng(width * 10_000 + height)
    rows = np.arange(height * 3 // 2)[:, None]
    columns = np.arange(width)[None, :]
    waves = 60 * np.sin(rows / 7) * np.cos(columns / 11) + 40 * np.sin(rows * columns / 900)
    noise = generator.integers(-25, 26, (height * 3 // 2, width))
    return np.asarray(np.clip(128 + waves + noise, 0, 255), np.uint8)


def run(
    kernel: ctypes.CDLL, source: NDArray[np.uint8], height: int, made: PicturePlan, fits: list[Fit]
) -> list[NDArray[np.uint8]]:
    pitch = -(-source.shape[1] // 8) * 8 + 8
    held = np.full((source.shape[0], pitch), POISON, np.uint8)
    held[:, : source.shape[1]] = source
    targets = [
        np.full((fit.height * 3 // 2 + 1, target_pitch(fit.width)), POISON, np.uint8)
        for fit in fits
    ]
    launch = made.launch.copy()
    launch["luma"] = held.ctypes.data
    launch["chroma"] = held.ctypes.data + pitch * height
    launch["table"] = made.table.ctypes.data
    launch["pitch"] = pitch
    launch["targets"][0, : len(fits)] = [target.ctypes.data for target in targets]
    status = kernel.run_kernel(
        ctypes.c_void_p(launch.ctypes.data), launch.nbytes, made.blocks, made.shared_bytes
    )
    assert status == 0
    return targets


@pytest.mark.parametrize(
    ("width", "height", "fits"),
    [
        (192, 108, [Fit(128, 72, 0, 0, 128, 72), Fit(64, 36, 0, 0, 64, 36)]),
        (192, 108, [Fit(86, 48, 0, 0, 86, 48), Fit(300, 40, 114, 0, 70, 40)]),
        (108, 192, [Fit(72, 128, 0, 0, 72, 128), Fit(48, 86, 0, 0, 48, 86)]),  # upright
        (88, 192, [Fit(58, 128, 0, 0, 58, 128), Fit(40, 86, 0, 0, 40, 86)]),
        (250, 146, [Fit(320, 240, 0, 26, 320, 188)]),  # enlarged, odd pitches, bars
        (854, 48, [Fit(160, 90, 0, 40, 160, 10), Fit(16, 16, 0, 4, 16, 8)]),  # steep
        (16, 16, [Fit(16, 16, 0, 0, 16, 16)]),
    ],
)
def test_the_kernel_makes_the_reference_picture(
    kernel: ctypes.CDLL, width: int, height: int, fits: list[Fit]
) -> None:
    source = picture(width, height)
    targets = run(kernel, source, height, plan_picture(width, height, fits), fits)
    for fit, target in zip(fits, targets, strict=True):
        wanted = scale_nv12(source, height, fit)
        made = target[:-1, : fit.width]
        assert psnr(made, wanted) > 55
        assert np.abs(made - wanted).max() < 1.0
        assert (target[-1] == POISON).all(), "written beyond the frame"
        assert (target[:-1, fit.width :] == POISON).all(), "written beyond the rows"


def test_bars_are_black_of_the_range(kernel: ctypes.CDLL) -> None:
    source = np.full((24, 16), 255, np.uint8)
    fits = [Fit(64, 32, 16, 8, 32, 16)]
    for full_range, black in ((False, 16), (True, 0)):
        made = plan_picture(16, 16, fits, full_range=full_range)
        frame = run(kernel, source, 16, made, fits)[0][:-1, :64]
        luma, chroma = frame[:32], frame[32:]
        inside = np.zeros((32, 64), bool)
        inside[8:24, 16:48] = True
        assert (luma[inside] == 255).all()
        assert (luma[~inside] == black).all()
        assert (chroma[:4] == 128).all()
        assert (chroma[4:12, :16] == 128).all()
        assert (chroma[4:12, 16:48] == 255).all()
