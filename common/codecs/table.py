"""The codecs whose configurations tfarm reads: one line each, the work in a file of its own. Pure.

A codec that is not here can still pass as far as its name: inputs refuse it by that.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.codecs import aac, av1, h264, h265, opus
from common.media.units import AudioCodec, AudioConfig, Data, VideoCodec, VideoConfig

CodecConfig = h264.AvcConfig | h265.HevcConfig | av1.Av1Config  # a video's record, read


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
    # Samples, at the configuration's rate, that a frame makes of each channel: of a record the
    # function that says it of a frame's data. Both raise ProtocolErrors.
    frame_samples: Callable[[bytes], Callable[[Data], int]]


VIDEO_CODECS: Mapping[VideoCodec, VideoFormat] = {
    VideoCodec.H264: VideoFormat(
        h264.parse_config, h264.codec_string_of_record, h264.is_random_access
    ),
    VideoCodec.H265: VideoFormat(
        h265.parse_config, h265.codec_string_of_record, h265.is_random_access
    ),
    VideoCodec.AV1: VideoFormat(av1.parse_config, av1.codec_string_of_record, av1.is_random_access),
}
AUDIO_CODECS: Mapping[AudioCodec, AudioFormat] = {
    AudioCodec.AAC: AudioFormat(
        aac.parse_config,
        aac.codec_string_of_record,
        aac.describe_record,
        lambda record: _always(aac.frame_samples(aac.AudioSpecificConfig.parse(record))),
    ),
    AudioCodec.OPUS: AudioFormat(
        opus.parse_config,
        opus.codec_string_of_record,
        opus.describe_record,
        lambda record: opus.packet_samples,
    ),
}


def _always(samples: int) -> Callable[[Data], int]:
    return lambda data: samples


def codec_of_record(label: VideoCodec, record: bytes) -> VideoCodec:
    """The codec of a record, which for some encoders is not what they call it.

    OBS before 29.1 calls H.265 H.264.
    """
    if label is VideoCodec.H264 and h265.is_record(record) and not h264.is_record(record):
        return VideoCodec.H265
    if label is VideoCodec.H265 and h264.is_record(record) and not h265.is_record(record):
        return VideoCodec.H264
    return label


def length_size(config: VideoConfig) -> int:
    """Bytes of the length in front of each NAL unit; 0: the codec has none.

    Raises ProtocolError for a record that cannot be read.
    """
    match config.codec:
        case VideoCodec.H264:
            return h264.AvcConfig.parse(config.record).nal_length_size
        case VideoCodec.H265:
            return h265.HevcConfig.parse(config.record).nal_length_size
        case _:
            return 0


def codec_string(config: VideoConfig | AudioConfig) -> str:
    """The RFC 6381 codec string, such as "avc1.64001f"; empty for codecs that have none here."""
    if isinstance(config, VideoConfig):
        video = VIDEO_CODECS.get(config.codec)
        name = video.codec_string if video is not None else None
    else:
        audio = AUDIO_CODECS.get(config.codec)
        name = audio.codec_string if audio is not None else None
    return name(config.record) if name is not None else ""


def describe_audio(config: AudioConfig) -> str:
    """What the sound is, for people: `AAC-LC 48 kHz 2ch`, or the codec's name."""
    known = AUDIO_CODECS.get(config.codec)
    return known.describe(config.record) if known is not None else config.codec.label
