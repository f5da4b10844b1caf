"""What NVENC gives, a codec each: configurations and pictures of FFmpeg's packets. Pure.

H.264 and H.265 come in Annex B with their parameter sets at each IDR, AV1 as temporal units with
its sequence header at each keyframe.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from common.codecs import h264, h265
from common.codecs.av1 import Av1Config, read_unit
from common.codecs.h264 import AvcConfig, join_avcc, split_annexb
from common.codecs.h265 import HevcConfig
from common.codecs.table import CodecConfig
from common.media.units import VideoCodec

_H264_PICTURES: Final = frozenset({h264.NalType.SLICE, h264.NalType.IDR})


@dataclass(frozen=True, slots=True)
class NvencFormat:
    """How NVENC makes a codec. The functions raise ProtocolErrors."""

    library: str  # FFmpeg's name of the encoder
    read_config: Callable[[Sequence[bytes]], CodecConfig]  # of the packets of a keyframe
    read_picture: Callable[[bytes], tuple[bool, bytes]]  # whether it is a keyframe, and its data


def _avc_config(packets: Sequence[bytes]) -> AvcConfig:
    nals = [nal for packet in packets for nal in split_annexb(packet)]
    return AvcConfig.from_parameter_sets(
        [nal for nal in nals if h264.nal_type(nal) == h264.NalType.SPS],
        [nal for nal in nals if h264.nal_type(nal) == h264.NalType.PPS],
    )


def _avc_picture(packet: bytes) -> tuple[bool, bytes]:
    nals = [nal for nal in split_annexb(packet) if h264.nal_type(nal) in _H264_PICTURES]
    return bool(nals) and h264.nal_type(nals[0]) == h264.NalType.IDR, join_avcc(nals)


def _hevc_config(packets: Sequence[bytes]) -> HevcConfig:
    nals = [nal for packet in packets for nal in split_annexb(packet)]
    return HevcConfig.from_parameter_sets(*h265.parameter_sets_in(nals))


def _hevc_picture(packet: bytes) -> tuple[bool, bytes]:
    nals = [nal for nal in split_annexb(packet) if h265.nal_type(nal) <= h265.LAST_SLICE]
    return bool(nals) and h265.is_irap(h265.nal_type(nals[0])), join_avcc(nals)


def _av1_config(packets: Sequence[bytes]) -> Av1Config:
    return Av1Config.from_sequence_header(read_unit(b"".join(packets)).sequence_header)


def _av1_picture(packet: bytes) -> tuple[bool, bytes]:
    unit = read_unit(packet)
    return unit.is_key, bytes(unit.data)


NVENC_FORMATS: Final[Mapping[VideoCodec, NvencFormat]] = {
    VideoCodec.H264: NvencFormat("h264_nvenc", _avc_config, _avc_picture),
    VideoCodec.H265: NvencFormat("hevc_nvenc", _hevc_config, _hevc_picture),
    VideoCodec.AV1: NvencFormat("av1_nvenc", _av1_config, _av1_picture),
}
