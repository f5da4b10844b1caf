"""worker/devices/gpu/quality.cu, compiled for the CPU, against the comparison on the host."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.kit.needs import lacks
from worker.devices.gpu import quality
from worker.devices.gpu.device import GpuBackend
from worker.devices.gpu.quality import COMPARISON, THREADS, likeness_of, threads_of
from worker.devices.letterbox import Rectangle
from worker.quality.ssim import Likeness, compare, part_of

Luma = NDArray[np.uint8]
PADDING = 37


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        lacks("g++", "g++")
    library = tmp_path_factory.mktemp("kernel") / "quality.so"
    source = Path(__file__).parent / "quality_on_cpu.cpp"
    folder = Path(quality.__file__).parent
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-w", f"-I{folder}"]
    subprocess.run([compiler, *flags, "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library))


def pictures(width: int, height: int, seed: int, by: int = 20) -> tuple[Luma, Luma]:
    """Two that are alike, with rows that have something else behind them."""
    random = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(height), 2 * np.arange(width + PADDING)) % 256
    noise = random.integers(-by, by + 1, slope.shape)
    reference = slope.astype(np.uint8)
    coded = np.clip(slope + noise, 0, 255).astype(np.uint8)
    return reference[:, :width], coded[:, :width]


def by_kernel(kernel: ctypes.CDLL, reference: Luma, coded: Luma) -> Likeness:
    height, width = coded.shape
    threads = threads_of(width, height)
    poison = float("nan")
    windows, errors = np.full(threads + 8, poison, np.float32), np.full(threads + 8, 7, np.uint32)
    launch = np.zeros(1, COMPARISON)
    launch["reference"], launch["coded"] = reference.ctypes.data, coded.ctypes.data
    launch["windows"], launch["errors"] = windows.ctypes.data, errors.ctypes.data
    launch["reference_pitch"], launch["coded_pitch"] = reference.strides[0], coded.strides[0]
    launch["width"], launch["height"] = width, height
    blocks = -(-threads // THREADS)
    assert kernel.run_comparison(ctypes.c_void_p(launch.ctypes.data), launch.nbytes, blocks) == 0
    assert np.isnan(windows[threads:]).all()  # nothing is written behind the outputs
    assert (errors[threads:] == 7).all()
    return likeness_of(windows[:threads], errors[:threads], width, height)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(8, 200), st.integers(8, 90), st.integers(0, 9_999), st.integers(0, 120))
def test_it_is_what_the_host_finds(
    kernel: ctypes.CDLL, width: int, height: int, seed: int, by: int
) -> None:
    reference, coded = pictures(width, height, seed, by)
    found, wanted = by_kernel(kernel, reference, coded), compare(reference, coded)
    assert found.ssim == pytest.approx(wanted.ssim, abs=1e-5)
    assert found.psnr_db == pytest.approx(wanted.psnr_db, abs=1e-9)


@pytest.mark.parametrize("sides", [(1920, 1080), (1280, 720), (854, 480), (64, 64), (70, 9)])
def test_of_the_usual_sizes_too(kernel: ctypes.CDLL, sides: tuple[int, int]) -> None:
    reference, coded = pictures(*sides, 5)
    found, wanted = by_kernel(kernel, reference, coded), compare(reference, coded)
    assert found.ssim == pytest.approx(wanted.ssim, abs=1e-5)
    assert found.psnr_db == pytest.approx(wanted.psnr_db, abs=1e-9)


@pytest.mark.parametrize("is_bright", [False, True])
def test_sums_of_extreme_pictures_do_not_overflow(kernel: ctypes.CDLL, is_bright: bool) -> None:
    coded = np.full((40, 60), 255 if is_bright else 0, np.uint8)
    reference = np.full((40, 60), 255, np.uint8)
    found, wanted = by_kernel(kernel, reference, coded), compare(reference, coded)
    assert found.ssim == pytest.approx(wanted.ssim, abs=1e-5)
    assert found.psnr_db == pytest.approx(wanted.psnr_db, abs=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("sides", [(1920, 1080), (854, 480), (64, 64)])
def test_a_frame_on_the_device_is_compared_there(
    device: GpuBackend, sides: tuple[int, int]
) -> None:
    import cupy

    from worker.devices.gpu.context import Event, Stream
    from worker.devices.gpu.memory import DeviceFrame, FramePool, GpuSurface, Written

    device.context.enter()
    width, height = sides
    reference, coded = (np.ascontiguousarray(plane) for plane in pictures(width, height, 11))
    pool, free = FramePool(DeviceFrame, width, height), list[Event]()
    written, stream = Written(free), Stream()
    surface = GpuSurface(pool.take(), pool, 0, written)
    assert isinstance(surface.frame, DeviceFrame)
    with stream.cupy:
        surface.frame.array[:height, :width] = cupy.asarray(reference)
    written.event.record(stream)
    for place in (Rectangle(0, 0, width, height), Rectangle(8, 12, width - 16, height - 24)):
        found = surface.kept_luma().compare(coded, place)
        wanted = compare(part_of(reference, place), part_of(coded, place))
        assert found.ssim == pytest.approx(wanted.ssim, abs=1e-5)
        assert found.psnr_db == pytest.approx(wanted.psnr_db, abs=1e-9)
    with pytest.raises(ValueError, match="for one of"):
        surface.kept_luma().compare(coded[:-2], Rectangle(0, 0, width, height - 2))
