"""AAC outside the decoder: AudioSpecificConfig, ADTS headers, a frame of silence.

AudioSpecificConfig is ISO/IEC 14496-3 1.6.2.1, ADTS 14496-3 annex 1.A. In FLV an audio sequence
header carries the config and every other tag a raw frame. Pure; FlvError for what cannot be read.
"""

from dataclasses import dataclass
from enum import IntEnum

from common.codecs.bits import BitReader, BitWriter
from common.errors import FlvError
from common.media.units import AudioCodec, AudioConfig, D, Data

SAMPLE_RATES = (
    96000,
    88200,
    64000,
    48000,
    44100,
    32000,
    24000,
    22050,
    16000,
    12000,
    11025,
    8000,
    7350,
)
# By channelConfiguration (14496-3 table 1.19): 0 is told by a program config element or reserved.
_CHANNELS = (0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8)
_MAX_CHANNELS = 64
_EXPLICIT_RATE = 15

AAC_MAIN, AAC_LC, AAC_SSR, AAC_LTP, SBR, AAC_LD, PARAMETRIC_STEREO, AAC_ELD = (
    1,
    2,
    3,
    4,
    5,
    23,
    29,
    39,
)
# Object types whose config goes on with a GASpecificConfig (14496-3 table 1.15).
_GENERAL_AUDIO = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23})
_LOW_DELAY = frozenset({AAC_LD, AAC_ELD})  # frames of half the length
_NAMES = {
    AAC_MAIN: "AAC Main",
    AAC_LC: "AAC-LC",
    AAC_SSR: "AAC SSR",
    AAC_LTP: "AAC LTP",
    AAC_LD: "AAC-LD",
    AAC_ELD: "AAC-ELD",
}
_SYNC_SBR, _SYNC_PS = 0x2B7, 0x548
ADTS_SYNC = 0xFF  # an ADTS header's first byte, with which no raw frame begins


@dataclass(frozen=True, slots=True)
class AudioSpecificConfig:
    """What an AAC sequence header says.

    `object_type` is the core's: AAC-LC with SBR is 2 with `sbr` set, however it was signalled.
    """

    object_type: int
    sample_rate: int  # of the core, in Hz
    channels: int  # of the core: parametric stereo has 1
    channel_config: int  # channelConfiguration as written; 0: channels from the PCE
    short_frames: bool = False  # frameLengthFlag: 960 samples a frame rather than 1024
    sbr: bool = False
    parametric_stereo: bool = False
    extension_rate: int | None = None  # sample rate behind SBR, in Hz

    @classmethod
    def parse(cls, data: bytes) -> "AudioSpecificConfig":
        """Read a config; trailing bytes are ignored. Raises FlvError."""
        reader = BitReader(data, FlvError)
        object_type = _object_type(reader)
        sample_rate = _sample_rate(reader)
        channel_config = reader.bits(4)
        sbr = object_type in (SBR, PARAMETRIC_STEREO)
        parametric_stereo = object_type == PARAMETRIC_STEREO
        extension_rate: int | None = None
        if sbr:
            extension_rate = _sample_rate(reader)
            object_type = _object_type(reader)
        if channel_config >= len(_CHANNELS):
            raise FlvError(f"AAC channel configuration {channel_config}")
        channels = _CHANNELS[channel_config]
        short_frames = False
        if object_type in _GENERAL_AUDIO:
            short_frames = reader.flag()
            if reader.flag():
                reader.bits(14)  # coreCoderDelay
            reader.flag()  # extensionFlag
            if channel_config == 0:
                channels = _program_config_channels(reader)
            if not sbr and reader.remaining >= 16 and reader.bits(11) == _SYNC_SBR:
                sbr, extension_rate, parametric_stereo = _backward_extension(reader)
        elif object_type == AAC_ELD:
            short_frames = reader.flag()
        if not channels:
            raise FlvError("AAC config without channels")
        return cls(
            object_type,
            sample_rate,
            channels,
            channel_config,
            short_frames,
            sbr,
            parametric_stereo,
            extension_rate,
        )

    def encode(self) -> bytes:
        """The config's bytes, SBR signalled explicitly in front.

        Raises FlvError for what this does not write: a program config element, newer object types.
        """
        if self.channel_config == 0 or self.object_type not in (1, 2, 3, 4):
            raise FlvError(
                f"AAC config of object type {self.object_type} and channel configuration "
                f"{self.channel_config} cannot be written"
            )
        writer = BitWriter()
        front = (PARAMETRIC_STEREO if self.parametric_stereo else SBR) if self.sbr else None
        writer.bits(self.object_type if front is None else front, 5)
        _write_rate(writer, self.sample_rate)
        writer.bits(self.channel_config, 4)
        if front is not None:
            _write_rate(writer, self.extension_rate or 2 * self.sample_rate)
            writer.bits(self.object_type, 5)
        writer.bits(1 if self.short_frames else 0, 1).bits(0, 2)
        return writer.to_bytes()

    @property
    def output_rate(self) -> int:
        """The sample rate that comes out of a decoder, in Hz."""
        return (self.extension_rate or 2 * self.sample_rate) if self.sbr else self.sample_rate

    @property
    def output_channels(self) -> int:
        """The channels that come out of a decoder."""
        return 2 if self.parametric_stereo else self.channels


def _object_type(reader: BitReader) -> int:
    object_type = reader.bits(5)
    return 32 + reader.bits(6) if object_type == 31 else object_type


def _sample_rate(reader: BitReader) -> int:
    index = reader.bits(4)
    if index == _EXPLICIT_RATE:
        rate = reader.bits(24)
        if not rate:
            raise FlvError("AAC sample rate of 0")
        return rate
    if index >= len(SAMPLE_RATES):
        raise FlvError(f"AAC sample rate index {index}")
    return SAMPLE_RATES[index]


def _write_rate(writer: BitWriter, rate: int) -> None:
    if rate in SAMPLE_RATES:
        writer.bits(SAMPLE_RATES.index(rate), 4)
    else:
        writer.bits(_EXPLICIT_RATE, 4).bits(rate, 24)


def _program_config_channels(reader: BitReader) -> int:
    """The channels of a program_config_element (14496-3 table 4.2), read up to its lists' ends."""
    reader.bits(4 + 2 + 4)  # element_instance_tag, object_type, sampling_frequency_index
    front, side, back = reader.bits(4), reader.bits(4), reader.bits(4)
    lfe, data, coupling = reader.bits(2), reader.bits(3), reader.bits(4)
    if reader.flag():
        reader.bits(4)  # mono_mixdown_element_number
    if reader.flag():
        reader.bits(4)  # stereo_mixdown_element_number
    if reader.flag():
        reader.bits(3)  # matrix_mixdown_idx, pseudo_surround_enable
    channels = lfe
    for _ in range(front + side + back):
        channels += 2 if reader.flag() else 1
        reader.bits(4)
    reader.bits(4 * (lfe + data) + 5 * coupling)
    reader.align()
    reader.bits(8 * reader.bits(8))  # the comment
    if channels > _MAX_CHANNELS:
        raise FlvError(f"AAC config of {channels} channels")
    return channels


def _backward_extension(reader: BitReader) -> tuple[bool, int | None, bool]:
    """SBR and parametric stereo signalled behind the config: (sbr, extension rate, ps)."""
    if _object_type(reader) != SBR or not reader.remaining or not reader.flag():
        return False, None, False
    rate = _sample_rate(reader)
    ps = reader.remaining >= 12 and reader.bits(11) == _SYNC_PS and reader.flag()
    return True, rate, ps


def codec_string(config: AudioSpecificConfig) -> str:
    """The RFC 6381 codec string: "mp4a.40.2", with SBR "mp4a.40.5", with PS "mp4a.40.29"."""
    object_type = config.object_type
    if config.parametric_stereo:
        object_type = PARAMETRIC_STEREO
    elif config.sbr:
        object_type = SBR
    return f"mp4a.40.{object_type}"


def codec_string_of_record(record: bytes) -> str:
    """The RFC 6381 codec string of an AudioSpecificConfig's bytes. Raises FlvError."""
    return codec_string(AudioSpecificConfig.parse(record))


def parse_config(record: bytes) -> AudioConfig:
    """What an AudioSpecificConfig says of the sound. Raises FlvError."""
    config = AudioSpecificConfig.parse(record)
    return AudioConfig(
        AudioCodec.AAC,
        record,
        sample_rate=config.output_rate,
        channels=config.output_channels,
    )


def frame_ms(record: bytes) -> float | None:
    """How long a frame's sound is; None where the record does not tell."""
    try:
        config = AudioSpecificConfig.parse(record)
    except FlvError:
        return None
    samples = 960 if config.short_frames else 1024
    if config.object_type in _LOW_DELAY:
        samples //= 2
    return samples * 1000 / config.sample_rate if config.sample_rate else None


def describe_record(record: bytes) -> str:
    """`AAC-LC 48 kHz 2ch` for people. Raises FlvError."""
    config = AudioSpecificConfig.parse(record)
    name = _NAMES.get(config.object_type, "AAC")
    if config.parametric_stereo:
        name = "HE-AACv2"
    elif config.sbr:
        name = "HE-AAC"
    rate_hz = config.extension_rate or config.sample_rate
    return f"{name} {rate_hz / 1000:g} kHz {config.output_channels}ch"


def frame_samples(config: AudioSpecificConfig) -> int:
    """How many samples (at `output_rate`) a frame makes of each channel."""
    if config.object_type in (AAC_LD, AAC_ELD):
        samples = 480 if config.short_frames else 512
    else:
        samples = 960 if config.short_frames else 1024
    return 2 * samples if config.sbr else samples


class FirstElement(IntEnum):
    """What a raw frame begins with (14496-3 table 4.85), as far as it tells the channels."""

    SINGLE = 0  # one channel
    PAIR = 1  # two
    OTHER = 2


def first_element(frame: Data) -> FirstElement:
    """What a raw frame begins with."""
    element = frame[0] >> 5 if frame else 7
    return FirstElement(element) if element < 2 else FirstElement.OTHER


def usual_sample_rate(hz: float) -> int | None:
    """The standard rate that is meant, else the rate itself; None for what is none of sound."""
    if not SAMPLE_RATES[-1] * 0.97 <= hz <= SAMPLE_RATES[0] * 1.03:
        return None
    nearest = min(SAMPLE_RATES, key=lambda usual: abs(usual - hz))
    return nearest if abs(nearest - hz) <= 0.03 * nearest else round(hz)


def channel_configuration(channels: int) -> int:
    """The channelConfiguration of so many channels, 1 to 8, in their usual places."""
    return _CHANNELS.index(channels)


def _adts_sizes(data: Data, left: int) -> tuple[int, int]:
    """The length of an ADTS header and of the frame with it, `left` at most; else 0, 0."""
    if len(data) < 7 or data[0] != ADTS_SYNC or data[1] & 0xF6 != 0xF0:
        return 0, 0
    size = int.from_bytes(data[3:6], "big") >> 5 & 0x1FFF
    header = 7 if data[1] & 1 else 9  # with a CRC behind it
    return (header, size) if header < size <= left else (0, 0)


def adts_header_bytes(frame: Data) -> int:
    """The length of the ADTS header in front of a frame; 0 when there is none.

    A raw frame cannot begin so: its first three bits would be an END element.
    """
    header, size = _adts_sizes(frame, len(frame))
    return header if size == len(frame) else 0


def split_adts(data: D) -> list[D]:
    """The ADTS frames of a message; empty where it holds something else, or more than these."""
    frames: list[D] = []
    at = 0
    while at < len(data):
        size = _adts_sizes(data[at : at + 7], len(data) - at)[1]
        if not size:
            return []
        frames.append(data[at : at + size])
        at += size
    return frames


def strip_adts(frame: bytes) -> bytes:
    """The raw frame without its ADTS header, which broken cameras send; as it is without one."""
    return frame[adts_header_bytes(frame) :]


def config_of_adts(frame: Data) -> AudioSpecificConfig | None:
    """The config that a frame's ADTS header stands for; None without one or without channels."""
    if not adts_header_bytes(frame):
        return None
    object_type = (frame[2] >> 6) + 1
    rate_index = frame[2] >> 2 & 0x0F
    channel_config = (frame[2] & 1) << 2 | frame[3] >> 6
    if rate_index >= len(SAMPLE_RATES) or channel_config == 0:
        return None
    channels = _CHANNELS[channel_config]
    return AudioSpecificConfig(object_type, SAMPLE_RATES[rate_index], channels, channel_config)


def adts_header(config: AudioSpecificConfig, size: int) -> bytes:
    """The header of a raw frame of so many bytes (14496-3, 1.A.2.2).

    SBR is not told in it: a decoder finds that by itself. Raises FlvError for what has no such
    header: newer object types, odd rates, layouts of a config element, frames beyond its length.
    """
    whole = size + 7
    is_known = 1 <= config.object_type <= 4 and config.sample_rate in SAMPLE_RATES
    if not is_known or not 1 <= config.channel_config <= 7 or config.short_frames:
        raise FlvError("AAC that has no ADTS header")
    if whole > 0x1FFF:
        raise FlvError(f"an AAC frame of {size} bytes has no ADTS header")
    rate, channels = SAMPLE_RATES.index(config.sample_rate), config.channel_config
    return bytes(
        (
            ADTS_SYNC,
            0xF1,  # MPEG-4, without a checksum
            (config.object_type - 1) << 6 | rate << 2 | channels >> 2,
            (channels & 3) << 6 | whole >> 11,
            whole >> 3 & 0xFF,
            (whole & 7) << 5 | 0x1F,  # the buffer's fullness: of variable rate
            0xFC,
        )
    )


def silent_frame(channels: int) -> bytes:
    """A raw AAC-LC frame of 1024 silent samples, for one or two channels, at any sample rate."""
    writer = BitWriter()
    match channels:
        case 1:
            writer.bits(0, 3).bits(0, 4)  # single_channel_element, tag 0
        case 2:
            writer.bits(1, 3).bits(0, 4).bits(0, 1)  # channel_pair_element, no common_window
        case _:
            raise ValueError(f"silence for {channels} channels; 1 or 2 can be made")
    for _ in range(channels):
        writer.bits(0, 8)  # global_gain
        writer.bits(0, 1 + 2 + 1 + 6 + 1)  # ics_info: a long window of max_sfb = 0: no spectrum
        writer.bits(0, 3)  # no pulse_data, tns_data, gain_control_data
    return writer.bits(7, 3).to_bytes()  # END
