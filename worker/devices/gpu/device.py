"""One GPU as a `worker.devices.backend.Backend`: NVDEC, the scale kernel, and NVENC or x264 (IO).

What the GPU is used as is found out at boot by a real test encode: `gpu-only` where NVENC opens,
`hybrid` where there is none (A100, H100, H200): then the scaled renditions come down to memory that
encoder processes map, the source never does. `open_encoder` is for the doctor there: the host's.
"""

import logging
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

from common.config.ladder import Ladder, Pipeline, RenditionFormat
from common.errors import (
    BootFailed,
    DecodeFailed,
    EncodeFailed,
    EncoderLimitReached,
    TfarmError,
    WorkerError,
)
from common.ipc.control_messages import DeviceInfo
from common.media.pictures import PictureFormat
from common.media.units import VideoCodec
from worker.devices.gpu.caps import DecoderCaps, ask_all
from worker.devices.gpu.context import GpuContext, open_context
from worker.devices.gpu.decode import GpuDecoder
from worker.devices.gpu.encode import NvencEncoder, NvencRefused, keep_log_lines
from worker.devices.gpu.nvdec_errors import watch_damage
from worker.devices.gpu.nvenc import Failure, Refusal
from worker.devices.gpu.nvenc_units import NVENC_FORMATS
from worker.devices.gpu.quality import compile_kernel as compile_comparison
from worker.devices.gpu.scale import GpuScaler, compile_kernels
from worker.devices.gpu.to_nv12 import compile_kernel
from worker.devices.software.encode import SoftEncoder, encoded_here
from worker.devices.source import DecoderConfig
from worker.devices.turns import Turns
from worker.pool.memory import PicturePool

log = logging.getLogger("tfarm.worker.devices.gpu")

PLAIN_SPS = PictureFormat(
    width=640,
    height=360,
    sar=Fraction(1),
    profile=77,
    compat=0,
    level=30,
    fps=Fraction(30),
    reorder_frames=0,
    interlaced=False,
    chroma_format=1,
    bit_depth=8,
    bit_depth_chroma=8,
    full_range=False,
    colour_primaries=1,
    colour_transfer=1,
    colour_matrix=1,
)
TEST_RENDITION = RenditionFormat(
    "test", 640, 360, 0, 0, 640, 360, Fraction(30), 700_000, 1000, 2000, "main", "p3"
)


WAITING_TURNS = 2
FURTHER = tuple(codec for codec in NVENC_FORMATS if codec is not VideoCodec.H264)


class GpuBackend:
    """A `worker.devices.backend.Backend`. Made once a process, before all else touches CUDA."""

    def __init__(
        self,
        name: str,
        *,
        encoder_threads: int = 1,
        share: int = 1,
        allow_nvenc: bool = True,
    ) -> None:
        """`name` is the GPU's UUID or PCI id, or "" for the one that is visible.

        `share`: so many processes, this one included, encode on the host's cores.

        Raises BootFailed.
        """
        self._encoder_threads = encoder_threads
        self._lock = threading.RLock()
        # Beyond its cores, those that wait for the GIL with their picture done. More at once would
        # take cores from a thread that has the GIL, and then all wait.
        cores = len(os.sched_getaffinity(0))
        self._turns = Turns(max(1, cores // (encoder_threads * share)) + WAITING_TURNS)
        self._encoders: weakref.WeakSet[NvencEncoder] = weakref.WeakSet()
        self._context = open_context(name or None)
        keep_log_lines()
        watch_damage()
        self._caps = ask_all()
        if not self.caps.is_supported:
            raise BootFailed(f"{self._context.name} decodes no H.264")
        compile_kernels()
        compile_kernel()
        compile_comparison()
        failure = try_encoder(self._context, self._lock) if allow_nvenc else None
        path, notes = judge(failure, allow_nvenc=allow_nvenc)
        encodes = encoded_here()
        if path is Pipeline.GPU_ONLY:
            encodes, more = announced(
                {codec: try_encoder(self._context, self._lock, codec) for codec in FURTHER}
            )
            notes = (*notes, *more)
        _, total = self._context.memory()
        self._info = DeviceInfo(
            name=name or self._context.uuid,
            kind="gpu",
            label=self._context.name,
            path=path,
            pci_id=self._context.pci_id,
            memory_bytes=total,
            notes=(f"{self.caps.engines} NVDEC engines", *notes),
            decodes=self._caps.announced(),
            encodes=encodes,
        )
        log.info(
            "GPU open name=%s path=%s notes=%s", self._context.name, path.value, "; ".join(notes)
        )

    @property
    def info(self) -> DeviceInfo:
        return self._info

    @property
    def context(self) -> GpuContext:
        return self._context

    @property
    def caps(self) -> DecoderCaps:
        """Of H.264."""
        return self._caps.of(VideoCodec.H264, 8)

    def open_decoder(self, config: DecoderConfig, pictures: PictureFormat) -> GpuDecoder:
        with self._refusing(DecodeFailed, "decoder"):
            return GpuDecoder(self._context, self._caps, self._lock, config, pictures)

    def open_scaler(self, ladder: Ladder, pictures: PictureFormat) -> GpuScaler:
        with self._lock, self._refusing(DecodeFailed, "scaler"):
            return GpuScaler(
                self._context, ladder, pictures, hybrid=self._info.path is Pipeline.HYBRID
            )

    def open_shared_scaler(
        self, ladder: Ladder, pictures: PictureFormat, pool: PicturePool
    ) -> GpuScaler:
        with self._lock, self._refusing(DecodeFailed, "scaler"):
            return GpuScaler(self._context, ladder, pictures, hybrid=True, pool=pool)

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> NvencEncoder | SoftEncoder:
        if self._info.path is Pipeline.HYBRID:
            threads = self._encoder_threads
            return SoftEncoder(
                rendition, pictures, fps, pixel_format="nv12", threads=threads, turns=self._turns
            )
        with self._lock, self._refusing(EncodeFailed, rendition.name):
            try:
                encoder = NvencEncoder(self._context, self._lock, rendition, pictures, fps)
            except NvencRefused as error:
                if error.failure.refusal is not Refusal.SESSION_CAP:
                    raise
                count = sum(encoder.is_open for encoder in self._encoders)
                raise EncoderLimitReached(str(error), count) from error
            self._encoders.add(encoder)
            return encoder

    @contextmanager
    def _refusing(self, kind: type[WorkerError], what: str) -> Iterator[None]:
        """Raise as `kind` what CUDA packages raise while something opens (no memory, mostly)."""
        try:
            yield
        except TfarmError:
            raise
        except Exception as error:
            raise self._context.failure(error, kind(f"{what}: {error}")) from error

    def close(self) -> None:
        """The context lives as long as the process."""


def try_encoder(
    context: GpuContext, lock: threading.RLock, codec: VideoCodec = VideoCodec.H264
) -> Failure | None:
    """Encode a picture for real; why that failed, or None."""
    rendition = replace(TEST_RENDITION, codec=codec)
    try:
        encoder = NvencEncoder(context, lock, rendition, PLAIN_SPS, Fraction(30))
    except NvencRefused as error:
        return error.failure
    except EncodeFailed as error:  # what came is not what the codec's should be
        return Failure(Refusal.OTHER, str(error))
    encoder.close()
    return None


def announced(
    failures: Mapping[VideoCodec, Failure | None],
) -> tuple[tuple[VideoCodec, ...], tuple[str, ...]]:
    """The codecs that NVENC makes, by test encodes of all but H.264, and notes on these. Pure.

    Where others held all sessions it is not known that it does not: each stream finds out.
    """
    unsure = (Refusal.SESSION_CAP, Refusal.NO_MEMORY)
    found = [
        codec for codec, failure in failures.items() if failure is None or failure.refusal in unsure
    ]
    notes = [
        f"no {codec.label} by NVENC: {failure}"
        for codec, failure in failures.items()
        if failure is not None and codec not in found
    ]
    return (VideoCodec.H264, *found), tuple(notes)


def judge(failure: Failure | None, *, allow_nvenc: bool = True) -> tuple[Pipeline, tuple[str, ...]]:
    """Return what a GPU is used as after its test encode, and the notes that say why. Pure."""
    if not allow_nvenc:
        return Pipeline.HYBRID, ("NVENC not used: so configured",)
    if failure is None:
        return Pipeline.GPU_ONLY, ("NVENC encodes",)
    match failure.refusal:
        case Refusal.SESSION_CAP | Refusal.NO_MEMORY:
            # The encoder is there, others hold its sessions: each stream finds out by itself.
            return Pipeline.GPU_ONLY, (f"test encode: {failure}",)
        case _:
            return Pipeline.HYBRID, (f"x264 on the host encodes: {failure}",)
