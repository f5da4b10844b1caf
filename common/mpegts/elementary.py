"""Units as elementary streams: what stands in PES packets. Pure.

Pictures get start codes in place of lengths, an access unit delimiter, and at random access points
their parameter sets (13818-1, 2.14.1 and 2.17.1); AAC gets ADTS headers (14496-3, 1.A.2), Opus its
control headers (ETSI TS 103 624-1 has them as FFmpeg writes them).
"""

from abc import ABC, abstractmethod
from typing import Final

from common.codecs import h265
from common.codecs.aac import AudioSpecificConfig, adts_header
from common.codecs.h264 import AvcConfig, nal_spans, to_annexb
from common.codecs.h264 import NalType as AvcType
from common.codecs.h265 import HevcConfig
from common.codecs.opus import OpusHead
from common.errors import TransportStreamError
from common.media.units import AudioCodec, AudioConfig, Data, VideoCodec, VideoConfig

VIDEO_STREAM, AUDIO_STREAM, PRIVATE_STREAM = 0xE0, 0xC0, 0xBD  # stream ids of PES packets
CARRIED_AUDIO: Final = frozenset((AudioCodec.AAC, AudioCodec.OPUS))
_START: Final = b"\x00\x00\x00\x01"
_REGISTRATION, _EXTENSION, _OPUS_CHANNELS = 0x05, 0x7F, 0x80
_AVC_SETS: Final = frozenset((AvcType.SPS, AvcType.PPS, AvcType.SPS_EXTENSION))
_HEVC_SETS: Final = frozenset((h265.NalType.VPS, h265.NalType.SPS, h265.NalType.PPS))


class Elementary(ABC):
    """How one configuration's units are written."""

    stream_type: int  # in the program's map
    stream_id: int  # of its PES packets
    descriptors: bytes = b""

    @abstractmethod
    def write(self, data: Data, is_key: bool) -> bytes:
        """The bytes of one unit. Raises ProtocolError for one that cannot be read."""


class _Avc(Elementary):
    stream_type, stream_id = 0x1B, VIDEO_STREAM

    def __init__(self, record: bytes) -> None:
        config = AvcConfig.parse(record)
        self._length_size = config.nal_length_size
        self._sets = to_annexb((*config.sps, *config.sps_ext, *config.pps))

    def write(self, data: Data, is_key: bool) -> bytes:
        parts, own = [b"\x00\x00\x00\x01\x09\xf0"], []
        for begin, end in nal_spans(data, self._length_size):
            kind = data[begin] & 0x1F
            if kind == AvcType.AUD:
                continue
            own.append(_START)
            own.append(bytes(data[begin:end]))
            is_key = is_key and kind not in _AVC_SETS  # it has its own
        if is_key:
            parts.append(self._sets)
        return b"".join(parts + own)


class _Hevc(Elementary):
    stream_type, stream_id = 0x24, VIDEO_STREAM
    descriptors = bytes((_REGISTRATION, 4)) + b"HEVC"

    def __init__(self, record: bytes) -> None:
        config = HevcConfig.parse(record)
        self._length_size = config.nal_length_size
        self._sets = to_annexb((*config.vps, *config.sps, *config.pps, *config.sei))

    def write(self, data: Data, is_key: bool) -> bytes:
        parts, own = [b"\x00\x00\x00\x01\x46\x01\x50"], []
        for begin, end in nal_spans(data, self._length_size):
            kind = data[begin] >> 1 & 0x3F
            if kind == h265.NalType.AUD:
                continue
            own.append(_START)
            own.append(bytes(data[begin:end]))
            is_key = is_key and kind not in _HEVC_SETS
        if is_key:
            parts.append(self._sets)
        return b"".join(parts + own)


class _Aac(Elementary):
    stream_type, stream_id = 0x0F, AUDIO_STREAM

    def __init__(self, record: bytes) -> None:
        self._config = AudioSpecificConfig.parse(record)
        adts_header(self._config, 0)  # raises for what has none

    def write(self, data: Data, is_key: bool) -> bytes:
        return b"".join((adts_header(self._config, len(data)), data))


class _Opus(Elementary):
    stream_type, stream_id = 0x06, PRIVATE_STREAM

    def __init__(self, record: bytes) -> None:
        channels = OpusHead.parse(record).channels if record else 2
        self.descriptors = bytes((_REGISTRATION, 4)) + b"Opus"
        self.descriptors += bytes((_EXTENSION, 2, _OPUS_CHANNELS, channels))

    def write(self, data: Data, is_key: bool) -> bytes:
        whole, rest = divmod(len(data), 255)
        return b"".join((b"\x7f\xe0", b"\xff" * whole, bytes((rest,)), data))


def picture_writer(config: VideoConfig) -> Elementary:
    """How pictures of a configuration are written.

    Raises:
        ProtocolError: the record cannot be read.
        TransportStreamError: a transport stream does not carry them here.
    """
    if config.codec is VideoCodec.H264:
        return _Avc(config.record)
    if config.codec is VideoCodec.H265:
        return _Hevc(config.record)
    words = f"{config.codec.label} is not sent in transport streams: take one with H.264 or H.265"
    raise TransportStreamError(words)


def sound_writer(config: AudioConfig) -> Elementary | None:
    """How sound of a configuration is written; None: it is left out. Raises ProtocolError."""
    if config.codec is AudioCodec.AAC:
        return _Aac(config.record)
    if config.codec is AudioCodec.OPUS:
        return _Opus(config.record)
    return None
