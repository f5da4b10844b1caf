"""What NVDEC can decode, asked of the driver once, and whether it can decode a given stream.

The driver is asked through its own library (`cuvidGetDecoderCaps`); the decision is pure. What is
refused here, by name, can still go to the software device.

The driver is not asked for profiles, it has no such question: NVIDIA's application note names
Baseline, Main and High for all GPUs, and High 10 and High 4:2:2 for Blackwell alone. Baseline's FMO
and ASO are not refused here: no decoder that could take over has them.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import BootFailed
from common.media.pictures import DecodeLimits, PictureFormat
from common.media.units import VideoCodec
from worker.devices.tone_mapping import needs_mapping

CODECS = {"H.264": 4, "HEVC": 8, "VP9": 10, "AV1": 11}  # cudaVideoCodec
_PROFILES = (66, 77, 100)  # Baseline, Main, High
_OTHER_PROFILES = {
    44: "CAVLC 4:4:4 Intra",
    88: "Extended",
    110: "High 10",
    122: "High 4:2:2",
    244: "High 4:4:4 Predictive",  # of which 4:2:0 in 8 bits is lossless
}
_CHROMA_NAMES = {0: "monochrome", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}


@dataclass(frozen=True, slots=True)
class DecoderCaps:
    """What the driver says of one codec, chroma format and bit depth."""

    is_supported: bool
    engines: int = 0
    max_width: int = 0
    max_height: int = 0
    max_macroblocks: int = 0
    min_width: int = 0
    min_height: int = 0


class _CuvidCaps(ctypes.Structure):
    """CUVIDDECODECAPS of cuviddec.h."""

    _fields_ = (
        ("codec", ctypes.c_int),
        ("chroma_format", ctypes.c_int),
        ("bit_depth_minus_8", ctypes.c_uint),
        ("reserved1", ctypes.c_uint * 3),
        ("is_supported", ctypes.c_ubyte),
        ("engines", ctypes.c_ubyte),
        ("output_formats", ctypes.c_ushort),
        ("max_width", ctypes.c_uint),
        ("max_height", ctypes.c_uint),
        ("max_macroblocks", ctypes.c_uint),
        ("min_width", ctypes.c_ushort),
        ("min_height", ctypes.c_ushort),
        ("is_histogram_supported", ctypes.c_ubyte),
        ("counter_bit_depth", ctypes.c_ubyte),
        ("max_histogram_bins", ctypes.c_ushort),
        ("reserved3", ctypes.c_uint * 10),
    )


def ask_caps(codec: str = "H.264", chroma_format: int = 1, bit_depth: int = 8) -> DecoderCaps:
    """Ask the driver; the context must be current on this thread. Raises BootFailed."""
    try:
        library = ctypes.CDLL("libnvcuvid.so.1")
    except OSError as error:
        raise BootFailed(
            f"{error}: in a container set NVIDIA_DRIVER_CAPABILITIES=compute,video,utility"
        ) from error
    caps = _CuvidCaps(
        codec=CODECS[codec], chroma_format=chroma_format, bit_depth_minus_8=bit_depth - 8
    )
    status = library.cuvidGetDecoderCaps(ctypes.byref(caps))
    if status:
        raise BootFailed(f"cuvidGetDecoderCaps: CUDA error {status}")
    return DecoderCaps(
        bool(caps.is_supported),
        caps.engines,
        caps.max_width,
        caps.max_height,
        caps.max_macroblocks,
        caps.min_width,
        caps.min_height,
    )


@dataclass(frozen=True, slots=True)
class GpuCaps:
    """What the driver says of all that is decoded here: 4:2:0, by codec and bits of a sample."""

    by_codec: Mapping[tuple[VideoCodec, int], DecoderCaps]

    def announced(self) -> tuple[DecodeLimits, ...]:
        """The same for placement."""
        return tuple(
            DecodeLimits(
                codec,
                depth,
                caps.min_width,
                caps.min_height,
                caps.max_width,
                caps.max_height,
                _PROFILES if codec is VideoCodec.H264 else (),
            )
            for (codec, depth), caps in self.by_codec.items()
            if caps.is_supported
        )

    def of(self, codec: VideoCodec, depth: int) -> DecoderCaps:
        return self.by_codec.get((codec, depth), _NONE)


_NONE = DecoderCaps(is_supported=False)
# AV1 is not among them: no GPU that has it was there to try it, and software decodes it.
DECODED = ((VideoCodec.H264, 8), (VideoCodec.H265, 8), (VideoCodec.H265, 10))


def ask_all() -> GpuCaps:
    """Ask for all that is decoded here; the context must be current. Raises BootFailed."""
    return GpuCaps({(codec, depth): ask_caps(codec.label, 1, depth) for codec, depth in DECODED})


def refusal(
    pictures: PictureFormat, caps: DecoderCaps, codec: VideoCodec = VideoCodec.H264
) -> str | None:
    """Why NVDEC cannot decode this stream for us; None when it can.

    `caps` are those of 4:2:0 in its depth: what is scaled and encoded is NV12.
    """
    if all(codec is not known for known, _ in DECODED):
        return f"{codec.label}: the GPU path takes H.264 and HEVC"
    if pictures.chroma_format != 1:
        name = _CHROMA_NAMES.get(pictures.chroma_format, str(pictures.chroma_format))
        return f"{name} chroma: the GPU path takes 4:2:0"
    if (codec, pictures.depth) not in DECODED:
        depths = " or ".join(str(depth) for known, depth in DECODED if known is codec)
        return f"{pictures.depth}-bit {codec.label}: the GPU path takes {depths} bits"
    if pictures.depth == 8 and needs_mapping(pictures):
        return "HDR or BT.2020 in 8 bits: the GPU path takes it in 10 bits"
    if codec is VideoCodec.H264 and pictures.profile not in _PROFILES:
        name = _OTHER_PROFILES.get(pictures.profile, f"number {pictures.profile}")
        return f"H.264 profile {name}: NVDEC takes Baseline, Main and High"
    if not caps.is_supported:
        of_depth = "" if pictures.depth == 8 else f" of {pictures.depth} bits"
        return f"this GPU decodes no {codec.label}{of_depth}"
    size = f"{pictures.width}x{pictures.height}"
    if pictures.width > caps.max_width or pictures.height > caps.max_height:
        return f"{size} exceeds NVDEC's {caps.max_width}x{caps.max_height}"
    macroblocks = -(-pictures.width // 16) * -(-pictures.height // 16)
    if macroblocks > caps.max_macroblocks:
        return f"{size} is {macroblocks} macroblocks, NVDEC takes {caps.max_macroblocks}"
    if pictures.width < caps.min_width or pictures.height < caps.min_height:
        return f"{size} is below NVDEC's {caps.min_width}x{caps.min_height}"
    return None
