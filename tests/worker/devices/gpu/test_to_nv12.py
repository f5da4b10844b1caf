"""worker/devices/gpu/to_nv12.cu, compiled for the CPU, against the float64 reference."""

import ctypes
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kit.coded_video import PLAIN_PICTURES
from tests.kit.needs import lacks
from tests.kit.scale_reference import psnr
from tests.kit.tone_reference import hdr_picture, sdr_planes
from worker.devices.gpu import to_nv12
from worker.devices.gpu.to_nv12 import CONVERSION, blocks_of, mapped_transfer
from worker.devices.tone_mapping import BT709, HLG, PQ

SDR = replace(PLAIN_PICTURES, colour_primaries=1, colour_transfer=1, colour_matrix=1)
POISON = 0xA5


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        lacks("g++", "g++")
    library = tmp_path_factory.mktemp("kernel") / "to_nv12.so"
    source = Path(__file__).parent / "to_nv12_on_cpu.cpp"
    folder = Path(to_nv12.__file__).parent
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-w", f"-I{folder}"]
    subprocess.run([compiler, *flags, "-o", str(library), str(source)], check=True)
    return ctypes.CDLL(str(library))


def convert(
    kernel: ctypes.CDLL, width: int, height: int, transfer: int, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Y', Cb, Cr as the kernel makes them of the HDR picture."""
    luma, blue, red = hdr_picture(width, height, seed)
    pitch = 2 * width + 64
    held = np.full((height * 3 // 2, pitch // 2), 0xFFFF, np.uint16)
    held[:height, :width] = luma.astype(np.uint16) << 6
    held[height:, 0:width:2] = blue.astype(np.uint16) << 6
    held[height:, 1:width:2] = red.astype(np.uint16) << 6
    target_pitch = width + 32
    target = np.full((height * 3 // 2 + 1, target_pitch), POISON, np.uint8)
    launch = np.zeros(1, CONVERSION)
    launch["luma"], launch["chroma"] = held.ctypes.data, held.ctypes.data + height * pitch
    launch["target_luma"] = target.ctypes.data
    launch["target_chroma"] = target.ctypes.data + height * target_pitch
    launch["pitch"], launch["target_pitch"] = pitch, target_pitch
    launch["width"], launch["height"] = width, height
    launch["transfer"], launch["matrix"] = transfer, 9
    status = kernel.run_conversion(
        ctypes.c_void_p(launch.ctypes.data), launch.nbytes, blocks_of(width, height)
    )
    assert status == 0
    assert (target[:, width:] == POISON).all()
    assert (target[-1] == POISON).all()
    chroma = target[height:-1, :width]
    return target[:height, :width], chroma[:, 0::2], chroma[:, 1::2]


@pytest.mark.parametrize(("width", "height"), [(320, 180), (130, 74), (16, 16)])
@pytest.mark.parametrize("transfer", [PQ, HLG, BT709])
def test_tones_are_mapped_as_the_reference_has_them(
    kernel: ctypes.CDLL, width: int, height: int, transfer: int
) -> None:
    made = convert(kernel, width, height, transfer)
    for plane, wanted in zip(made, sdr_planes(hdr_picture(width, height), transfer), strict=True):
        assert psnr(plane, wanted) > 55
        assert np.abs(plane - wanted).max() < 1.0


def test_ten_bits_of_sdr_are_rounded(kernel: ctypes.CDLL) -> None:
    made = convert(kernel, 130, 74, 0)
    for plane, ten in zip(made, hdr_picture(130, 74), strict=True):
        assert np.abs(plane - ten / 4).max() <= 0.5


@pytest.mark.parametrize(
    ("primaries", "transfer", "wanted"),
    [(9, 16, PQ), (9, 18, HLG), (9, 14, BT709), (1, 1, 0), (2, 2, 0), (1, 16, PQ)],
)
def test_what_is_mapped_is_named(primaries: int, transfer: int, wanted: int) -> None:
    pictures = replace(SDR, colour_primaries=primaries, colour_transfer=transfer)
    assert mapped_transfer(pictures) == wanted
