"""The encoders of the host, a codec each: their library, its options, and what it gives. Pure.

All are tuned for no delay: a picture comes out of the call that took it in, keyframes only where
they are asked for, no B-frames. The libraries were tried in PyAV 18.1 (libx264, libx265 4.2,
SVT-AV1 4.1).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from common.codecs import h264, h265
from common.codecs.av1 import Av1Config, read_unit
from common.codecs.h264 import AvcConfig, nal_spans, split_avcc
from common.codecs.h265 import HevcConfig
from common.codecs.table import CodecConfig
from common.config.ladder import PROFILE, RenditionFormat
from common.media.units import VideoCodec

# NVENC's names for how much time to take, and what x264 and x265 call the like …
X264_PRESETS: Final = {
    "p1": "ultrafast",
    "p2": "superfast",
    "p3": "veryfast",
    "p4": "faster",
    "p5": "fast",
    "p6": "medium",
    "p7": "slow",
}
# … and SVT-AV1. Its 10 takes half as much time again as x264's veryfast.
SVT_PRESETS: Final = {
    "p1": "12",
    "p2": "11",
    "p3": "10",
    "p4": "9",
    "p5": "8",
    "p6": "7",
    "p7": "6",
}
MAX_SVT_PARALLELISM: Final = 6
_PICTURES: Final = (h264.NalType.SLICE, h264.NalType.IDR)


@dataclass(frozen=True, slots=True)
class SoftwareFormat:
    """How the host makes a codec."""

    library: str  # FFmpeg's name of the encoder
    pixel_formats: frozenset[str]  # that it takes of those that scalers make
    options: Callable[[RenditionFormat, int], Mapping[str, str]]  # by its threads
    # What FFmpeg has as extradata, or the first keyframe where `is_config_in_band`. They raise
    # ProtocolErrors.
    read_config: Callable[[bytes], CodecConfig]
    picture_only: Callable[[bytes], bytes]  # a packet, without what stands before its slices
    is_config_in_band: bool = False  # what is in the extradata is not what keyframes have


def _rate(rendition: RenditionFormat) -> dict[str, str]:
    bounds = {
        "maxrate": str(rendition.peak_bps),  # above the bitrate: VBR, within the VBV
        "bufsize": str(rendition.vbv_bits),
    }
    if rendition.target_quality is None:
        return {"b": str(rendition.bitrate_bps)} | bounds
    return {"crf": f"{rendition.target_quality:g}"} | bounds


def _x264(rendition: RenditionFormat, threads: int) -> dict[str, str]:
    del threads  # FFmpeg's own say so
    parameters = ["annexb=0", "scenecut=0", "keyint=infinite", "bframes=0"]
    # The profile is what the tools in use amount to; the fastest preset uses none of Main's.
    if rendition.preset == "p1" and rendition.profile != "baseline":
        parameters.append("cabac=1")
        if rendition.profile == "high":
            parameters.append("8x8dct=1")
    return _rate(rendition) | {
        "preset": X264_PRESETS.get(rendition.preset, "veryfast"),
        "tune": "zerolatency",
        "profile": rendition.profile,
        "forced-idr": "1",
        "a53cc": "0",
        "x264-params": ":".join(parameters),
    }


def _x265(rendition: RenditionFormat, threads: int) -> dict[str, str]:
    # Without a pool a picture is coded in one thread; that of frame threads only hands it over.
    pools = "none" if threads == 1 else str(threads)
    parameters = (
        "annexb=0:scenecut=0:keyint=-1:bframes=0:open-gop=0:repeat-headers=0:info=0",
        f"frame-threads=1:pools={pools}:log-level=none",
    )
    return _rate(rendition) | {
        "preset": X264_PRESETS.get(rendition.preset, "veryfast"),
        "tune": "zerolatency",
        "profile": PROFILE,
        "forced-idr": "1",
        "a53cc": "0",
        "udu_sei": "0",
        "x265-params": ":".join(parameters),
    }


def _svt_av1(rendition: RenditionFormat, threads: int) -> dict[str, str]:
    # lp=1: no thread of its own; rc=2: constant bitrate, the only one without a delay
    lp = min(threads, MAX_SVT_PARALLELISM)
    return _rate(rendition) | {
        "preset": SVT_PRESETS.get(rendition.preset, "10"),
        "svtav1-params": f"rtc=1:pred-struct=1:rc=2:keyint=-1:scd=0:lookahead=0:lp={lp}",
    }


def _hevc_config(extradata: bytes) -> HevcConfig:
    return HevcConfig.from_parameter_sets(*h265.parameter_sets_in(split_avcc(extradata)))


def _av1_config(unit: bytes) -> Av1Config:
    return Av1Config.from_sequence_header(read_unit(unit).sequence_header)


def _h264_picture(data: bytes) -> bytes:
    """x264 writes its settings into the first."""
    if data[4] & 0x1F in _PICTURES:
        return data
    for begin, _ in nal_spans(data):
        if data[begin] & 0x1F in _PICTURES:
            return data[begin - 4 :]
    return data


def _h265_picture(data: bytes) -> bytes:
    if data[4] >> 1 & 0x3F <= h265.LAST_SLICE:
        return data
    for begin, _ in nal_spans(data):
        if data[begin] >> 1 & 0x3F <= h265.LAST_SLICE:
            return data[begin - 4 :]
    return data


def _av1_picture(data: bytes) -> bytes:
    """Without its temporal delimiter. A keyframe keeps its sequence header: samples have it."""
    return bytes(read_unit(data).data)


FORMATS: Final[Mapping[VideoCodec, SoftwareFormat]] = {
    VideoCodec.H264: SoftwareFormat(
        "libx264",
        frozenset(("yuv420p", "yuvj420p", "nv12")),
        _x264,
        AvcConfig.parse,
        _h264_picture,
    ),
    VideoCodec.H265: SoftwareFormat(
        "libx265", frozenset(("yuv420p", "yuvj420p")), _x265, _hevc_config, _h265_picture
    ),
    VideoCodec.AV1: SoftwareFormat(
        "libsvtav1",
        frozenset(("yuv420p",)),
        _svt_av1,
        _av1_config,
        _av1_picture,
        is_config_in_band=True,
    ),
}
