"""The onMetaData of a transcoded rendition, with what the source says about its audio. Pure.

A worker makes metadata for the picture only, since audio never passes through it; but FFmpeg's
demuxer decides by the metadata's keys whether there is audio (docs/rtmp.md, Metadata).
"""

from common.codecs import opus
from common.codecs.aac import AudioSpecificConfig
from common.errors import ProtocolError
from common.flv import amf0
from common.flv.audio import AudioFormat, AudioPacket, parse_audio
from common.flv.on_metadata import encode_metadata, metadata_members

_AUDIO_KEYS = (
    "audiocodecid",
    "audiosamplerate",
    "audiosamplesize",
    "audiochannels",
    "audiodatarate",
    "stereo",
)


def audio_members(source_metadata: bytes, audio_header: bytes) -> dict[str, amf0.Value]:
    """The audio keys: the publisher's own, corrected by the sequence header; {}: no audio known."""
    members = {
        key: value for key, value in metadata_members(source_metadata).items() if key in _AUDIO_KEYS
    }
    if audio_header:
        try:
            body = parse_audio(audio_header)
            if body.format is AudioFormat.OPUS:
                members["audiocodecid"] = float(body.format)
                members["audiosamplerate"] = float(opus.RATE)
            if body.format is AudioFormat.AAC and body.packet is AudioPacket.SEQUENCE_HEADER:
                config = AudioSpecificConfig.parse(body.data)
                members["audiocodecid"] = 10.0
                members["audiosamplerate"] = float(config.sample_rate)
                members["audiochannels"] = float(config.channels)
                members["stereo"] = config.channels == 2
        except ProtocolError:
            pass  # players get the header as it is
    return members


def with_audio(metadata: bytes, audio: dict[str, amf0.Value]) -> bytes:
    """`metadata` with the audio keys set; as it is when it cannot be read."""
    if not audio:
        return metadata
    members = metadata_members(metadata)
    if metadata and not members:
        return metadata
    members.update(audio)
    try:
        return encode_metadata(members)
    except ProtocolError:
        return metadata
