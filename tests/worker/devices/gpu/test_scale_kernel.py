"""The kernel's source, compiled for the CPU, against the float64 reference."""

import ctypes
import shutil
import subprocess
from dataclasses import dataclass
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


# What the kernel's source is compiled with, and the bits of a source's samples.
FORMS = {
    "aligned": ([], 8),
    "unaligned": (["-DUNALIGNED"], 8),
    "wide": (["-DWIDE"], 10),
    "wide, unaligned": (["-DWIDE", "-DUNALIGNED"], 10),
}


@dataclass(frozen=True)
class Kernel:
    library: ctypes.CDLL
    bits: int  # of a source's samples


@pytest.fixture(scope="module", params=FORMS)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kernel:
    compiler = shutil.which("g++")
    if compiler is None:
        lacks("g++", "g++")
    library = tmp_path_factory.mktemp("kernel") / "kernel.so"
    source = Path(__file__).parent / "kernel_on_cpu.cpp"
    form, bits = FORMS[request.param]
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-w", "-mf16c", "-pthread", f"-I{KERNEL}"]
    subprocess.run([compiler, *flags, *form, "-o", str(library), str(source)], check=True)
    return Kernel(ctypes.CDLL(str(library)), bits)


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """Detail at every scale, so that a wrong weight or row shows."""
    generator = np.random.default_rng(width * 10_000 + height)
    rows = np.arange(height * 3 // 2)[:, None]
    columns = np.arange(width)[None, :]
    waves = 60 * np.sin(rows / 7) * np.cos(columns / 11) + 40 * np.sin(rows * columns / 900)
    noise = generator.integers(-25, 26, (height * 3 // 2, width))
    return np.asarray(np.clip(128 + waves + noise, 0, 255), np.uint8)


def in_ten_bits(source: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Samples of which each rounds to that of 8 bits, from below, from above, and at the ends."""
    near = np.random.default_rng(1).integers(-2, 2, source.shape)
    ten = np.where(source == 255, 1023, 4 * source.astype(np.int32) + near)
    return np.asarray(np.clip(ten, 0, 1023), np.uint16)


def run(
    kernel: Kernel, source: NDArray[np.uint8], height: int, made: PicturePlan, fits: list[Fit]
) -> list[NDArray[np.uint8]]:
    samples = -(-source.shape[1] // 8) * 8 + 8
    if kernel.bits == 8:
        held = np.full((source.shape[0], samples), POISON, np.uint8)
        held[:, : source.shape[1]] = source
    else:
        held = np.full((source.shape[0], samples), 0xFFFF, np.uint16)
        held[:, : source.shape[1]] = in_ten_bits(source) << 6
    pitch = held.strides[0]
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
    status = kernel.library.run_kernel(
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
    kernel: Kernel, width: int, height: int, fits: list[Fit]
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


def test_bars_are_black_of_the_range(kernel: Kernel) -> None:
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
