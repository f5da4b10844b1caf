"""Audio tag bodies, which RTMP messages of type 8 carry: FLV 10.1 annex E.4.2.1, Enhanced RTMP v2.

The rate and channel bits of AAC tags mean nothing (always 44.1 kHz stereo by convention): see
`common.codecs.aac`. Of a multitrack message only track 0 is read. Pure; FlvError for what cannot be
read.
"""

from dataclasses import dataclass
from enum import IntEnum

from common.errors import FlvError
from common.flv.extended import extended_header, fourcc_name, track_zero

_EXTENDED = 9  # the format number that says "extended header"
_AAC_HEADER = 0xAF  # AAC, 44.1 kHz, 16 bit, stereo, whatever the stream is


class AudioFormat(IntEnum):
    """FLV's format numbers, and E-RTMP's FourCCs as numbers for those that have no other."""

    PCM = 0
    ADPCM = 1
    MP3 = 2
    PCM_LE = 3
    NELLYMOSER_16K = 4
    NELLYMOSER_8K = 5
    NELLYMOSER = 6
    G711_A_LAW = 7
    G711_MU_LAW = 8
    AAC = 10
    SPEEX = 11
    MP3_8K = 14
    DEVICE = 15
    OPUS = 0x4F707573
    AC3 = 0x61632D33
    EAC3 = 0x65632D33
    FLAC = 0x664C6143


_NAMES = {
    AudioFormat.PCM: "PCM",
    AudioFormat.ADPCM: "ADPCM",
    AudioFormat.MP3: "MP3",
    AudioFormat.PCM_LE: "PCM",
    AudioFormat.NELLYMOSER_16K: "Nellymoser",
    AudioFormat.NELLYMOSER_8K: "Nellymoser",
    AudioFormat.NELLYMOSER: "Nellymoser",
    AudioFormat.G711_A_LAW: "G.711 A-law",
    AudioFormat.G711_MU_LAW: "G.711 mu-law",
    AudioFormat.AAC: "AAC",
    AudioFormat.SPEEX: "Speex",
    AudioFormat.MP3_8K: "MP3",
    AudioFormat.DEVICE: "device-specific audio",
    AudioFormat.OPUS: "Opus",
    AudioFormat.AC3: "AC-3",
    AudioFormat.EAC3: "E-AC-3",
    AudioFormat.FLAC: "FLAC",
}
_FOURCC_FORMATS = {
    b"mp4a": AudioFormat.AAC,
    b".mp3": AudioFormat.MP3,
    b"Opus": AudioFormat.OPUS,
    b"ac-3": AudioFormat.AC3,
    b"ec-3": AudioFormat.EAC3,
    b"fLaC": AudioFormat.FLAC,
}
_RATES_HZ = (5512, 11025, 22050, 44100)


class AudioPacket(IntEnum):
    """AACPacketType, and E-RTMP's further ones."""

    SEQUENCE_HEADER = 0
    FRAME = 1
    END_OF_SEQUENCE = 2
    MULTICHANNEL_CONFIG = 4


class _ExtendedPacket(IntEnum):
    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    MULTICHANNEL_CONFIG = 4
    MULTITRACK = 5
    MOD_EX = 7


@dataclass(frozen=True, slots=True)
class AudioBody:
    """An audio tag body, taken apart."""

    format: AudioFormat
    rate_hz: int  # by the tag's bits; means nothing for AAC; 0 in E-RTMP
    sample_bits: int  # likewise
    channels: int  # likewise
    packet: AudioPacket | None  # None: a frame of a legacy format that has no packet types
    data: bytes
    extended: bool = False  # came in an E-RTMP header
    track_id: int = 0  # not 0: the message had no track 0, and `data` is empty

    @property
    def is_legacy(self) -> bool:
        """Whether any FLV player can be given this format (in a legacy tag)."""
        return self.format <= AudioFormat.DEVICE


def audio_name(format: AudioFormat) -> str:
    """The format's name for people."""
    return _NAMES[format]


def parse_audio(payload: bytes) -> AudioBody:
    """Take an audio tag body apart, legacy or E-RTMP.

    Raises FlvError for a body that is too short or of an unknown format. An empty body, which
    E-RTMP has as a sign of silence, is an error here: look for it before.
    """
    if not payload:
        raise FlvError("empty audio tag")
    first = payload[0]
    if first >> 4 == _EXTENDED:
        return _parse_extended(payload)
    try:
        format = AudioFormat(first >> 4)
    except ValueError:
        raise FlvError(f"audio format {first >> 4}") from None
    packet: AudioPacket | None = None
    data = payload[1:]
    if format is AudioFormat.AAC:
        if len(payload) < 2:
            raise FlvError("AAC tag of 1 byte, 2 at least are needed")
        if payload[1] > AudioPacket.FRAME:
            raise FlvError(f"AAC packet type {payload[1]}")
        packet = AudioPacket(payload[1])
        data = payload[2:]
    rate_hz = _RATES_HZ[first >> 2 & 3]
    return AudioBody(format, rate_hz, 16 if first & 2 else 8, 2 if first & 1 else 1, packet, data)


def _parse_extended(payload: bytes) -> AudioBody:
    packet_type, at = extended_header(payload, _ExtendedPacket.MOD_EX)
    track = track_zero(payload, at, packet_type, _ExtendedPacket.MULTITRACK)
    format = _FOURCC_FORMATS.get(track.fourcc)
    if format is None:
        raise FlvError(f"audio FourCC {fourcc_name(track.fourcc)}")
    try:
        packet = AudioPacket(track.packet_type)
    except ValueError:
        raise FlvError(f"E-RTMP audio packet type {track.packet_type}") from None
    return AudioBody(format, 0, 0, 0, packet, track.data, True, track.track_id)


def aac_sequence_header(asc: bytes) -> bytes:
    """The tag body with an AudioSpecificConfig."""
    return bytes((_AAC_HEADER, AudioPacket.SEQUENCE_HEADER)) + asc


def aac_frame(raw: bytes) -> bytes:
    """The tag body with a raw AAC frame (no ADTS)."""
    return bytes((_AAC_HEADER, AudioPacket.FRAME)) + raw


def is_audio_sequence_header(payload: bytes) -> bool:
    """Whether an audio tag body is a sequence header, legacy AAC or E-RTMP."""
    if len(payload) < 2:
        return False
    if payload[0] >> 4 == AudioFormat.AAC:
        return payload[1] == AudioPacket.SEQUENCE_HEADER
    if payload[0] >> 4 != _EXTENDED:
        return False
    try:
        body = _parse_extended(payload)
    except FlvError:
        return False
    return body.track_id == 0 and body.packet is AudioPacket.SEQUENCE_HEADER
