"""What a GPU can do, for `tfarm doctor`: a process of its own that answers in JSON (IO).

`python -P -m worker.gpu.probe [--device UUID]` opens the device as a worker would, and makes one
real round of decode, scale and encode. Its answer is one JSON object on stdout: a `GpuReport`, or
`{"error": why}` with exit code 3.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import metadata

import av
import numpy as np

from common.avc import (
    AvcConfig,
    SpsInfo,
    join_avcc,
    parameter_sets_in,
    parse_sps,
    split_annexb,
    split_avcc,
)
from common.errors import BootFailed, ExitCode, TfarmError
from common.ladder import SourceFormat, Template, fit_ladder
from common.settings import DEFAULT_RENDITIONS
from worker.gpu.caps import CODECS, ask_caps
from worker.gpu.device import GpuBackend

ROUND_SECONDS = 2.0
_WIDTH, _HEIGHT, _FPS, _FRAMES = 1920, 1080, 30, 30
_PACKAGES = ("av", "PyNvVideoCodec", "cuda-bindings", "cupy-cuda13x", "cupy-cuda12x")


@dataclass(frozen=True, slots=True)
class CodecCaps:
    """One codec, 8-bit 4:2:0."""

    is_supported: bool
    max_width: int
    max_height: int


@dataclass(frozen=True, slots=True)
class GpuReport:
    """What `tfarm doctor` shows of one GPU."""

    name: str
    uuid: str
    pci_id: str
    cuda_driver: str  # the CUDA version that the driver supports, "13.0"
    compute_capability: str
    memory_free: int
    memory_total: int
    decode_engines: int
    decodes: dict[str, CodecCaps]
    used_as: str  # "gpu-only" or "hybrid"
    notes: tuple[str, ...]
    round_fps: float  # 1080p H.264 → 720p, 480p, 360p H.264, one stream as fast as it goes
    packages: dict[str, str]


def probe(device: str) -> GpuReport:
    """Open `device` ("" for the one that is visible) and try it. Raises TfarmError."""
    backend = GpuBackend(device)
    context = backend.context
    free, total = context.memory()
    report = GpuReport(
        name=context.name,
        uuid=context.uuid,
        pci_id=context.pci_id,
        cuda_driver=f"{context.driver_version // 1000}.{context.driver_version % 1000 // 10}",
        compute_capability=".".join(map(str, context.compute_capability)),
        memory_free=free,
        memory_total=total,
        decode_engines=backend.caps.engines,
        decodes={codec: _codec_caps(codec) for codec in CODECS},
        used_as=backend.info.path.value,
        notes=backend.info.notes,
        round_fps=round(_round(backend), 1),
        packages=_versions(),
    )
    backend.close()
    return report


def _codec_caps(codec: str) -> CodecCaps:
    caps = ask_caps(codec)
    return CodecCaps(caps.is_supported, caps.max_width, caps.max_height)


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _round(backend: GpuBackend) -> float:
    """Frames a second through all three stages."""
    units, config, sps = test_units()
    ladder = fit_ladder(Template("doctor", DEFAULT_RENDITIONS), SourceFormat(_WIDTH, _HEIGHT))
    decoder = backend.open_decoder(config, sps)
    scaler = backend.open_scaler(ladder, sps)
    encoders = [backend.open_encoder(rung, sps, Fraction(_FPS)) for rung in ladder.rungs]
    wanted = range(len(encoders))
    frames = 0
    try:
        begin = time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < ROUND_SECONDS or not frames:
            for unit in units:
                for picture in decoder.decode(unit, frames * 33, frames * 33):
                    surfaces = scaler.scale(picture, wanted)
                    for encoder, surface in zip(encoders, surfaces, strict=True):
                        surface.prepare()
                        if not encoder.encode(surface, force_idr=frames == 0):
                            raise BootFailed("the encoder gave no packet for a frame")
                    frames += 1
            if not frames and elapsed > ROUND_SECONDS:
                raise BootFailed("the decoder gave no picture")
        return frames / (time.perf_counter() - begin)
    finally:
        for encoder in encoders:
            encoder.close()
        scaler.close()
        decoder.close()


def test_units() -> tuple[list[bytes], AvcConfig, SpsInfo]:
    """A second of moving picture, coded here: AVCC units, the first an IDR."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = _WIDTH, _HEIGHT, "nv12"
    codec.time_base, codec.framerate = Fraction(1, _FPS), Fraction(_FPS)
    codec.bit_rate = 6_000_000
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(_FRAMES)}
    units = []
    for frame in _moving_pictures():
        units += [join_avcc(split_annexb(bytes(packet))) for packet in codec.encode(frame)]
    sps, pps = parameter_sets_in(split_avcc(units[0]))
    config = AvcConfig.from_parameter_sets(sps, pps)
    return units, config, parse_sps(config.sps[0])


def _moving_pictures() -> Iterator[av.VideoFrame]:
    rows, columns = np.mgrid[0 : _HEIGHT * 3 // 2, 0:_WIDTH]
    for index in range(_FRAMES):
        waves = np.sin((columns + 16 * index) / 40.0) * np.cos((rows + 4 * index) / 25.0)
        frame = av.VideoFrame.from_ndarray((128 + 90 * waves).astype(np.uint8), format="nv12")
        frame.pts = index
        yield frame


def main() -> None:
    parser = argparse.ArgumentParser(prog="worker.gpu.probe", description=__doc__)
    parser.add_argument("--device", default="", help="a GPU's UUID or PCI id")
    device = parser.parse_args().device
    logging.disable(logging.CRITICAL)
    try:
        answer = asdict(probe(device))
    except TfarmError as error:
        json.dump({"error": str(error)}, sys.stdout)
        sys.exit(ExitCode.BOOT_FAILED)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
