"""Coded media without a container: what inputs give, workers take and outputs send. Pure values.

`data` is what the codec's own mapping says and never a container's header: length-prefixed NAL
units for H.264 and H.265 (the length's size stands in the record), OBUs for AV1, raw frames for AAC
and Opus. Audio that only FLV knows stays an FLV tag body, for outputs that speak FLV: see
`FLV_ONLY`. Times are stream time in ms unless named `_s`, which is CLOCK_MONOTONIC in seconds.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

Data = bytes | memoryview  # a view where the bytes are part of a message that came
D = TypeVar("D", bytes, memoryview)  # for what gives the kind that it is given


class MediaKind(StrEnum):
    """What a unit is of."""

    VIDEO = "video"
    AUDIO = "audio"
    DATA = "data"


class VideoCodec(StrEnum):
    """Video codecs that an input can name."""

    H264 = "h264"
    H265 = "h265"
    H266 = "h266"
    AV1 = "av1"
    VP8 = "vp8"
    VP9 = "vp9"
    H263 = "h263"
    SCREEN = "screen"
    SCREEN_2 = "screen-2"
    VP6 = "vp6"
    VP6_ALPHA = "vp6-alpha"

    @property
    def label(self) -> str:
        """The name for people."""
        return _VIDEO_LABELS[self]


class AudioCodec(StrEnum):
    """Audio codecs that an input can name."""

    AAC = "aac"
    OPUS = "opus"
    AC3 = "ac3"
    EAC3 = "eac3"
    FLAC = "flac"
    MP3 = "mp3"
    PCM = "pcm"
    ADPCM = "adpcm"
    NELLYMOSER = "nellymoser"
    G711_A_LAW = "g711-a-law"
    G711_MU_LAW = "g711-mu-law"
    SPEEX = "speex"
    DEVICE = "device"

    @property
    def label(self) -> str:
        """The name for people."""
        return _AUDIO_LABELS[self]


# What only FLV has a mapping for: `data` is the whole FLV tag body, its first byte included.
FLV_ONLY = frozenset(
    {
        AudioCodec.MP3,
        AudioCodec.PCM,
        AudioCodec.ADPCM,
        AudioCodec.NELLYMOSER,
        AudioCodec.G711_A_LAW,
        AudioCodec.G711_MU_LAW,
        AudioCodec.SPEEX,
        AudioCodec.DEVICE,
    }
)

_VIDEO_LABELS = {
    VideoCodec.H264: "H.264",
    VideoCodec.H265: "HEVC",
    VideoCodec.H266: "VVC",
    VideoCodec.AV1: "AV1",
    VideoCodec.VP8: "VP8",
    VideoCodec.VP9: "VP9",
    VideoCodec.H263: "H.263",
    VideoCodec.SCREEN: "Screen Video",
    VideoCodec.SCREEN_2: "Screen Video 2",
    VideoCodec.VP6: "VP6",
    VideoCodec.VP6_ALPHA: "VP6 with alpha",
}
_AUDIO_LABELS = {
    AudioCodec.AAC: "AAC",
    AudioCodec.OPUS: "Opus",
    AudioCodec.AC3: "AC-3",
    AudioCodec.EAC3: "E-AC-3",
    AudioCodec.FLAC: "FLAC",
    AudioCodec.MP3: "MP3",
    AudioCodec.PCM: "PCM",
    AudioCodec.ADPCM: "ADPCM",
    AudioCodec.NELLYMOSER: "Nellymoser",
    AudioCodec.G711_A_LAW: "G.711 A-law",
    AudioCodec.G711_MU_LAW: "G.711 mu-law",
    AudioCodec.SPEEX: "Speex",
    AudioCodec.DEVICE: "device-specific audio",
}


@dataclass(frozen=True, slots=True)
class Colour:
    """How samples become light: ISO/IEC 23091-2 code points, of which 2 means unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    is_full_range: bool = False


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """A decoder's configuration, in force from the next unit of its track on."""

    codec: VideoCodec
    record: bytes  # AVC, HEVC or AV1 configuration record, as ISO/IEC 14496-15 has it
    width: int  # luma samples, cropped
    height: int
    sample_aspect: Fraction = Fraction(1)  # width : height of a sample
    fps: Fraction | None = None  # None: the record says none
    rotation: int = 0  # degrees clockwise, to be applied on show
    colour: Colour = Colour()
    track: int = 0
    reference_frames: int = 0  # that a decoder has to keep; 0: not told
    bits_per_pixel: int = 12  # of a decoded picture; 12: 4:2:0 of 8 bits
    bit_depth: int = 8
    chroma_format: int = 1  # 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """A decoder's configuration, in force from the next unit of its track on."""

    codec: AudioCodec
    record: bytes = b""  # AudioSpecificConfig, OpusHead, …; empty for what has none
    language: str = ""  # ISO 639; empty: not told
    sample_rate: int = 0  # that a decoder gives, in Hz; 0: not told
    channels: int = 0  # likewise
    track: int = 0


# Units are not frozen: one is made for every message of every publisher, and a frozen dataclass of
# nine fields takes three times as long to make (docs/profiles/ingest.txt: __init__ was on top).
# Nobody writes to one all the same.


@dataclass(slots=True)
class VideoUnit:
    """One coded picture."""

    codec: VideoCodec
    track: int
    dts_ms: int
    composition_ms: int  # PTS - DTS
    is_key: bool  # random access, or the publisher says so (intra refresh, open GOPs)
    data: Data
    received_s: float  # when its last byte came in
    is_random_access: bool = False  # by the coded picture itself: an IDR in H.264
    discontinuity: bool = False  # stream time was set anew here

    @property
    def pts_ms(self) -> int:
        """When it is shown."""
        return self.dts_ms + self.composition_ms


@dataclass(slots=True)
class AudioUnit:
    """One coded frame of sound; an FLV tag body where the codec is `FLV_ONLY`."""

    codec: AudioCodec
    track: int
    dts_ms: int
    data: Data
    received_s: float
    discontinuity: bool = False


@dataclass(slots=True)
class DataUnit:
    """One timed data message (captions, cue points, timecode): AMF0, a name and its values."""

    dts_ms: int
    data: bytes
    received_s: float


Unit = VideoUnit | AudioUnit | DataUnit
Config = VideoConfig | AudioConfig
