"""Opus outside the decoder: its identification header, and how long a packet's sound is.

The header is RFC 7845 (5.1); Enhanced RTMP and Matroska have the same as their configuration. The
packet's first byte and its frames are RFC 6716 (3.1, 3.2). Pure; OpusError for what cannot be read.
"""

import struct
from dataclasses import dataclass
from typing import Final

from common.errors import OpusError
from common.media.units import AudioCodec, AudioConfig, Data

RATE: Final = 48_000  # Hz: what a decoder gives and times are counted in (RFC 7845, 4)
_MAGIC: Final = b"OpusHead"
_FIELDS: Final = struct.Struct("<8sBBHIhB")
_MAX_PACKET_SAMPLES: Final = 5_760  # 120 ms (RFC 6716, 3.4)
# Samples of a frame by the configuration's number, table 2 of RFC 6716.
_SILK: Final = (480, 960, 1_920, 2_880)
_HYBRID: Final = (480, 960)
_CELT: Final = (120, 240, 480, 960)
_FRAME_SAMPLES: Final = _SILK * 3 + _HYBRID * 2 + _CELT * 4


@dataclass(frozen=True, slots=True)
class OpusHead:
    """What an identification header says."""

    channels: int
    pre_skip: int  # samples at 48 kHz that a decoder leaves out at the begin of all
    input_rate: int  # Hz, of what was encoded; 0: not told
    gain: int  # of the output, in 1/256 dB
    family: int  # of the channel mapping; 0: mono or stereo
    mapping: bytes = b""  # stream count, coupled count, the mapping; empty in family 0

    @classmethod
    def parse(cls, data: bytes) -> "OpusHead":
        """Read a header; bytes behind it are ignored. Raises OpusError."""
        if len(data) < _FIELDS.size:
            raise OpusError(f"Opus header of {len(data)} bytes, {_FIELDS.size} at least are needed")
        magic, version, channels, pre_skip, rate, gain, family = _FIELDS.unpack_from(data)
        if magic != _MAGIC:
            raise OpusError("no Opus header")
        if version >> 4:  # the lower four bits are for what is compatible
            raise OpusError(f"Opus header version {version}")
        if not channels:
            raise OpusError("Opus header without channels")
        if family == 0:
            if channels > 2:
                raise OpusError(f"Opus header of {channels} channels without a mapping")
            return cls(channels, pre_skip, rate, gain, family)
        mapping = data[_FIELDS.size : _FIELDS.size + 2 + channels]
        if len(mapping) < 2 + channels:
            raise OpusError("Opus header ends within its channel mapping")
        return cls(channels, pre_skip, rate, gain, family, mapping)

    def encode(self) -> bytes:
        """The header's bytes."""
        fields = (1, self.channels, self.pre_skip, self.input_rate, self.gain, self.family)
        return _FIELDS.pack(_MAGIC, *fields) + self.mapping


# What is told of Opus that came without a header: browsers and most encoders send stereo, and a
# decoder makes stereo of mono. The pre-skip is libopus's.
STEREO_HEAD: Final = OpusHead(2, 312, RATE, 0, 0).encode()


def parse_config(record: bytes) -> AudioConfig:
    """What an identification header says of the sound. Raises OpusError."""
    head = OpusHead.parse(record)
    return AudioConfig(AudioCodec.OPUS, record, sample_rate=RATE, channels=head.channels)


def codec_string_of_record(record: bytes) -> str:
    """The codec string: "opus", whatever the record says. Raises OpusError."""
    OpusHead.parse(record)
    return "opus"


def describe_record(record: bytes) -> str:
    """`Opus 48 kHz 2ch` for people. Raises OpusError."""
    return f"Opus {RATE // 1000} kHz {OpusHead.parse(record).channels}ch"


def silent_packet(channels: int) -> bytes:
    """20 ms of silence of one or two channels: CELT of the full band, with a frame that has none.

    Its bytes are those that libopus makes of digital silence (RFC 6716, 4.3: the silence flag).
    """
    return bytes((0xF8 | (0x04 if channels == 2 else 0), 0xFF, 0xFE))


def packet_samples(packet: Data) -> int:
    """How many samples at 48 kHz a packet makes of each channel. Raises OpusError."""
    if not packet:
        raise OpusError("empty Opus packet")
    code = packet[0] & 3
    if code < 3:
        count = 1 if code == 0 else 2
    elif len(packet) < 2:
        raise OpusError("Opus packet ends before its number of frames")
    else:
        count = packet[1] & 0x3F
    samples = count * _FRAME_SAMPLES[packet[0] >> 3]
    if not 0 < samples <= _MAX_PACKET_SAMPLES:
        raise OpusError(f"Opus packet of {samples} samples")
    return samples
