"""What a GPU can do, for `tfarm doctor` (IO). `worker/probe.py` is the process that asks."""

from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata

from common.errors import EncodeFailed
from common.ladder import Path
from worker.gpu.caps import CODECS, ask_caps
from worker.gpu.device import PLAIN_SPS, TEST_RUNG, GpuBackend
from worker.gpu.encode import NvencEncoder
from worker.trial import ROUND_SECONDS, moving_clip, run_round

_PACKAGES = ("av", "PyNvVideoCodec", "cuda-bindings", "cupy-cuda13x", "cupy-cuda12x")
MAX_SESSIONS = 24  # opened to find the driver's cap; where there is one it is lower


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
    sessions_free: int | None = None  # encoders opened before the driver refused; None: not tried
    are_sessions_capped: bool = False  # False: more than `sessions_free` may open


def probe(
    device: str, seconds: float = ROUND_SECONDS, *, counts_sessions: bool = False
) -> GpuReport:
    """Open `device` ("" for the one that is visible) and try it. Raises WorkerError.

    `counts_sessions` takes every session of the driver's for a moment: not while a farm runs.
    """
    backend = GpuBackend(device)
    context = backend.context
    free, total = context.memory()
    fps = run_round(backend, moving_clip(), seconds)
    sessions, are_capped = None, False
    if counts_sessions and backend.info.path is Path.GPU_ONLY:
        sessions, are_capped = _count_sessions(backend)
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
        round_fps=round(fps, 1),
        packages=_versions(),
        sessions_free=sessions,
        are_sessions_capped=are_capped,
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


def _count_sessions(backend: GpuBackend) -> tuple[int, bool]:
    """Encoders that open beside one another, and whether the driver refused the next."""
    encoders: list[NvencEncoder] = []
    try:
        while len(encoders) < MAX_SESSIONS:
            encoder = backend.open_encoder(TEST_RUNG, PLAIN_SPS, Fraction(30))
            assert isinstance(encoder, NvencEncoder)
            encoders.append(encoder)
    except EncodeFailed:
        return len(encoders), True
    finally:
        for encoder in encoders:
            encoder.close()
    return len(encoders), False
