"""Audio tag bodies both ways, which RTMP messages of type 8 carry: FLV 10.1 E.4.2.1, E-RTMP v2.

AAC is written in classic form, what classic FLV has no number for in E-RTMP's. Formats that only
FLV knows are whole bodies wherever they go (`FLV_ONLY` in `common.media.units`).

The rate and channel bits of AAC tags mean nothing (always 44.1 kHz stereo by convention): see
`common.codecs.aac`. Of a multitrack message only track 0 is read. Pure; FlvError for what cannot be
read.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Generic, NamedTuple

from common.codecs.mpeg_audio import mpeg_audio_ms
from common.codecs.table import AUDIO_CODECS, describe_audio
from common.errors import FlvError, ProtocolError
from common.flv.extended import (
    FurtherTrack,
    Track,
    codec_name,
    extended_header,
    fourcc_name,
    further_tracks,
    track_zero,
)
from common.media.units import FLV_ONLY, AudioCodec, AudioConfig, AudioUnit, D, Data

MAX_CONFIG_BYTES = 1024  # sent to every player; a program config element and comment have 300

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


_CODECS = {
    AudioFormat.PCM: AudioCodec.PCM,
    AudioFormat.ADPCM: AudioCodec.ADPCM,
    AudioFormat.MP3: AudioCodec.MP3,
    AudioFormat.PCM_LE: AudioCodec.PCM,
    AudioFormat.NELLYMOSER_16K: AudioCodec.NELLYMOSER,
    AudioFormat.NELLYMOSER_8K: AudioCodec.NELLYMOSER,
    AudioFormat.NELLYMOSER: AudioCodec.NELLYMOSER,
    AudioFormat.G711_A_LAW: AudioCodec.G711_A_LAW,
    AudioFormat.G711_MU_LAW: AudioCodec.G711_MU_LAW,
    AudioFormat.AAC: AudioCodec.AAC,
    AudioFormat.SPEEX: AudioCodec.SPEEX,
    AudioFormat.MP3_8K: AudioCodec.MP3,
    AudioFormat.DEVICE: AudioCodec.DEVICE,
    AudioFormat.OPUS: AudioCodec.OPUS,
    AudioFormat.AC3: AudioCodec.AC3,
    AudioFormat.EAC3: AudioCodec.EAC3,
    AudioFormat.FLAC: AudioCodec.FLAC,
}
_FOURCC_FORMATS = {
    b"mp4a": AudioFormat.AAC,
    b".mp3": AudioFormat.MP3,
    b"Opus": AudioFormat.OPUS,
    b"ac-3": AudioFormat.AC3,
    b"ec-3": AudioFormat.EAC3,
    b"fLaC": AudioFormat.FLAC,
}
_FOURCC_CODECS = {fourcc: _CODECS[format] for fourcc, format in _FOURCC_FORMATS.items()}
_FOURCCS = {codec: fourcc for fourcc, codec in _FOURCC_CODECS.items()}
_CLASSIC_MP3 = b"\x2f"  # MP3, 44.1 kHz, 16 bit, stereo; decoders go by the frame's own header
_RATES_HZ = (5512, 11025, 22050, 44100)
_NELLYMOSER_BYTES, _NELLYMOSER_SAMPLES = 64, 256  # a block
_NELLYMOSER_HZ = {  # 0: by the tag's bits
    AudioFormat.NELLYMOSER_16K: 16_000,
    AudioFormat.NELLYMOSER_8K: 8_000,
    AudioFormat.NELLYMOSER: 0,
}


class AudioPacket(IntEnum):
    """AACPacketType, and E-RTMP's further ones."""

    SEQUENCE_HEADER = 0
    FRAME = 1
    END_OF_SEQUENCE = 2
    MULTICHANNEL_CONFIG = 4


# Looked up for every message: a dict is four times as fast as the enum's call.
_FORMATS = {int(format): format for format in AudioFormat}
_AAC_PACKETS = {int(packet): packet for packet in (AudioPacket.SEQUENCE_HEADER, AudioPacket.FRAME)}


class _ExtendedPacket(IntEnum):
    SEQUENCE_START = 0
    CODED_FRAMES = 1
    SEQUENCE_END = 2
    MULTICHANNEL_CONFIG = 4
    MULTITRACK = 5
    MOD_EX = 7


class AudioBody(NamedTuple, Generic[D]):
    """An audio tag body, taken apart. A tuple: one is made of every message."""

    format: AudioFormat
    rate_hz: int  # by the tag's bits; means nothing for AAC; 0 in E-RTMP
    sample_bits: int  # likewise
    channels: int  # likewise
    packet: AudioPacket | None  # None: a frame of a legacy format that has no packet types
    data: D
    extended: bool = False  # came in an E-RTMP header
    track_id: int = 0  # not 0: the message had no track 0, and `data` is empty

    @property
    def codec(self) -> AudioCodec:
        """The codec that the format is of."""
        return _CODECS[self.format]

    @property
    def is_legacy(self) -> bool:
        """Whether any FLV player can be given this format (in a legacy tag)."""
        return self.format <= AudioFormat.DEVICE


def parse_audio(payload: D) -> AudioBody[D]:
    """Take an audio tag body apart, legacy or E-RTMP.

    Raises FlvError for a body that is too short or of an unknown format. An empty body, which
    E-RTMP has as a sign of silence, is an error here: look for it before.
    """
    if not payload:
        raise FlvError("empty audio tag")
    first = payload[0]
    if first >> 4 == _EXTENDED:
        return _parse_extended(payload)
    format = _FORMATS.get(first >> 4)
    if format is None:
        raise FlvError(f"audio format {first >> 4}")
    packet: AudioPacket | None = None
    data = payload[1:]
    if format is AudioFormat.AAC:
        if len(payload) < 2:
            raise FlvError("AAC tag of 1 byte, 2 at least are needed")
        packet = _AAC_PACKETS.get(payload[1])
        if packet is None:
            raise FlvError(f"AAC packet type {payload[1]}")
        data = payload[2:]
    rate_hz = _RATES_HZ[first >> 2 & 3]
    return AudioBody(format, rate_hz, 16 if first & 2 else 8, 2 if first & 1 else 1, packet, data)


def _parse_extended(payload: D) -> AudioBody[D]:
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


def legacy_frame_ms(body: AudioBody[D]) -> float | None:
    """How long the sound in a message is, in ms, where its format tells; None for AAC."""
    format, size = body.format, len(body.data)
    if format in (AudioFormat.MP3, AudioFormat.MP3_8K):
        return mpeg_audio_ms(body.data)
    if format in (AudioFormat.PCM, AudioFormat.PCM_LE):
        return size * 8000 / (body.rate_hz * body.channels * body.sample_bits)
    if format in (AudioFormat.G711_A_LAW, AudioFormat.G711_MU_LAW):
        return size / (8 * body.channels)
    rate_hz = _NELLYMOSER_HZ.get(format)
    if rate_hz is not None:
        return size // _NELLYMOSER_BYTES * _NELLYMOSER_SAMPLES * 1000 / (rate_hz or body.rate_hz)
    return None


def further_audio_tracks(payload: D) -> Sequence[FurtherTrack]:
    """The tracks of a tag body beyond the first. Raises FlvError."""
    if not payload or payload[0] >> 4 != _EXTENDED:
        return ()
    packet_type, at = extended_header(payload, _ExtendedPacket.MOD_EX)
    return [
        FurtherTrack(
            track.track_id,
            codec_name(_FOURCC_CODECS, track.fourcc),
            len(track.data),
            _form_of(track),
        )
        for track in further_tracks(payload, at, packet_type, _ExtendedPacket.MULTITRACK)
    ]


def _form_of(track: Track[D]) -> str:
    """What a track's sequence header says; empty: it is none, or cannot be read."""
    if track.packet_type != _ExtendedPacket.SEQUENCE_START or len(track.data) > MAX_CONFIG_BYTES:
        return ""
    codec = _FOURCC_CODECS.get(track.fourcc)
    known = AUDIO_CODECS.get(codec) if codec is not None else None
    if known is None:
        return ""
    try:
        return describe_audio(known.parse_config(bytes(track.data)))
    except ProtocolError:
        return ""


def aac_sequence_header(asc: bytes) -> bytes:
    """The tag body with an AudioSpecificConfig."""
    return bytes((_AAC_HEADER, AudioPacket.SEQUENCE_HEADER)) + asc


def aac_frame(raw: Data) -> bytes:
    """The tag body with a raw AAC frame (no ADTS)."""
    return b"\xaf\x01" + raw


def mp3_frame(raw: Data) -> bytes:
    """The classic tag body with an MP3 frame."""
    return _CLASSIC_MP3 + raw


def audio_body(unit: AudioUnit) -> bytes:
    """The tag body of a unit; where its data are a view of such a body, that one, uncopied.

    Raises FlvError for a track other than the first.
    """
    data = unit.data
    if unit.codec is AudioCodec.AAC:
        if isinstance(data, memoryview) and _is_aac_body_of(data.obj, data):
            return bytes(data.obj)
        return aac_frame(data)
    if unit.codec in FLV_ONLY:
        return bytes(data)
    return _extended(_ExtendedPacket.CODED_FRAMES, unit.codec, unit.track) + data


def audio_header_body(config: AudioConfig) -> bytes:
    """The sequence header's tag body; empty for formats that have none."""
    if config.codec is AudioCodec.AAC:
        return aac_sequence_header(config.record)
    if config.codec in FLV_ONLY:
        return b""
    return _extended(_ExtendedPacket.SEQUENCE_START, config.codec, config.track) + config.record


def audio_unit_of(payload: D, dts_ms: int, received_s: float = 0.0) -> AudioUnit | None:
    """The unit in a tag body, its data as `payload` is: bytes, or a view.

    None for all that is no frame of track 0. Raises FlvError.
    """
    body = parse_audio(payload)
    if body.packet not in (None, AudioPacket.FRAME) or body.track_id:
        return None
    data: Data = body.data
    if body.codec in FLV_ONLY:
        data = mp3_frame(data) if body.extended else payload
    return AudioUnit(body.codec, 0, dts_ms, data, received_s)


def audio_config_of(payload: bytes) -> AudioConfig | None:
    """The configuration in a tag body; None for all that is no sequence header of track 0.

    Raises FlvError, for a codec that `AUDIO_CODECS` does not have too.
    """
    body = parse_audio(payload)
    if body.packet is not AudioPacket.SEQUENCE_HEADER or body.track_id:
        return None
    codec = AUDIO_CODECS.get(body.codec)
    if codec is None:
        raise FlvError(f"{body.codec.label} configurations cannot be read")
    return codec.parse_config(bytes(body.data))


def _is_aac_body_of(body: object, data: memoryview) -> bool:
    """Whether this is a classic body that holds these data."""
    return (
        type(body) is bytes
        and len(body) == len(data) + 2
        and body[0] >> 4 == AudioFormat.AAC
        and body[1] == AudioPacket.FRAME
    )


def _extended(packet: int, codec: AudioCodec, track: int) -> bytes:
    """E-RTMP's header of a body with track 0."""
    if track:
        raise FlvError(f"no tag for {codec.label} of track {track}")
    return bytes((_EXTENDED << 4 | packet,)) + _FOURCCS[codec]


def is_audio_sequence_header(payload: D) -> bool:
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
