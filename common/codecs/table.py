"""The codecs whose configurations tfarm reads: one line each, the work in a file of its own. Pure.

A codec that is not here can still pass as far as its name: inputs refuse it by that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.codecs import aac, h264
from common.media.units import AudioCodec, AudioConfig, Data, VideoCodec, VideoConfig


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What is done with a video codec outside a decoder. The functions raise ProtocolErrors."""

    parse_config: Callable[[bytes], VideoConfig]  # of a configuration record
    codec_string: Callable[[bytes], str]  # RFC 6381, of a record
    is_random_access: Callable[[Data, bytes], bool]  # of a unit's data and its record


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What is done with an audio codec outside a decoder. The functions raise ProtocolErrors."""

    parse_config: Callable[[bytes], AudioConfig]  # of a configuration record
    codec_string: Callable[[bytes], str]  # RFC 6381, of a record
    describe: Callable[[bytes], str]  # for people, of a record


VIDEO_CODECS: Mapping[VideoCodec, VideoFormat] = {
    VideoCodec.H264: VideoFormat(
        h264.parse_config, h264.codec_string_of_record, h264.is_random_access
    ),
}
AUDIO_CODECS: Mapping[AudioCodec, AudioFormat] = {
    AudioCodec.AAC: AudioFormat(aac.parse_config, aac.codec_string_of_record, aac.describe_record),
}


def codec_string(config: VideoConfig | AudioConfig) -> str:
    """The RFC 6381 codec string, such as "avc1.64001f"; empty for codecs that have none here."""
    known: VideoFormat | AudioFormat | None
    if isinstance(config, VideoConfig):
        known = VIDEO_CODECS.get(config.codec)
    else:
        known = AUDIO_CODECS.get(config.codec)
    return known.codec_string(config.record) if known is not None else ""


def describe_audio(config: AudioConfig) -> str:
    """What the sound is, for people: `AAC-LC 48 kHz 2ch`, or the codec's name."""
    known = AUDIO_CODECS.get(config.codec)
    return known.describe(config.record) if known is not None else config.codec.label
