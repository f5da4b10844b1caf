"""What a GPU can do, for `tfarm doctor` (IO). `worker/bench/probe.py` is the process that asks."""

from dataclasses import dataclass
from fractions import Fraction
from importlib import metadata

from common.config.ladder import Pipeline
from common.errors import EncodeFailed, EncoderLimitReached
from worker.bench.trial import ROUND_SECONDS, moving_clip, run_round
from worker.devices.backend import Backend, Encoder
from worker.devices.gpu.caps import CODECS, ask_caps
from worker.devices.gpu.device import PLAIN_SPS, TEST_RENDITION, GpuBackend

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
    round_fps: float | None  # 1080p H.264 → 720p, 480p, 360p H.264, one stream; None: not made …
    packages: dict[str, str]
    round_problem: str = ""  # … and why not
    sessions_free: int | None = None  # encoders opened before the driver refused; None: not tried
    are_sessions_capped: bool = False  # False: more than `sessions_free` may open
    encodes: tuple[str, ...] = ()  # codecs of renditions
    sessions_problem: str = ""  # what else than the cap kept the next one from opening


def probe(
    device: str, seconds: float = ROUND_SECONDS, *, counts_sessions: bool = False
) -> GpuReport:
    """Open `device` ("" for the one that is visible) and try it. Raises WorkerError.

    `counts_sessions` takes every session of the driver's for a moment: not while a farm runs.
    """
    backend = GpuBackend(device)
    context = backend.context
    free, total = context.memory()
    fps, round_problem = try_round(backend, seconds)
    sessions = Sessions(None)
    if counts_sessions and backend.info.path is Pipeline.GPU_ONLY:
        sessions = count_sessions(backend)
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
        round_fps=fps,
        packages=_versions(),
        round_problem=round_problem,
        sessions_free=sessions.opened,
        are_sessions_capped=sessions.are_capped,
        sessions_problem=sessions.problem,
        encodes=backend.info.encodes,
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


@dataclass(frozen=True, slots=True)
class Sessions:
    """Encoders that opened beside one another, and what ended that."""

    opened: int | None
    are_capped: bool = False
    problem: str = ""


def try_round(backend: Backend, seconds: float) -> tuple[float | None, str]:
    """Frames a second, or why it was not tried: other programs may hold the driver's sessions.

    The farm uses such a GPU as its sessions come free. Raises WorkerError for anything else.
    """
    try:
        return round(run_round(backend, moving_clip(), seconds), 1), ""
    except EncoderLimitReached as error:
        return None, str(error)


def count_sessions(backend: Backend) -> Sessions:
    """Open encoders until one is refused."""
    encoders: list[Encoder] = []
    try:
        while len(encoders) < MAX_SESSIONS:
            encoders.append(backend.open_encoder(TEST_RENDITION, PLAIN_SPS, Fraction(30)))
    except EncoderLimitReached:
        return Sessions(len(encoders), are_capped=True)
    except EncodeFailed as error:
        return Sessions(len(encoders), problem=str(error))
    finally:
        for encoder in encoders:
            encoder.close()
    return Sessions(len(encoders))
