"""The initialisation segment: which tracks there are, and what a decoder needs of each. Pure.

Section numbers are of ISO/IEC 14496-12, where no other document is named.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from common.codecs import h265
from common.codecs.opus import RATE as OPUS_RATE
from common.codecs.opus import OpusHead
from common.media.units import AudioCodec, AudioConfig, Config, VideoCodec, VideoConfig
from common.mp4.boxes import box, full_box

VIDEO_TRACK: Final = 1
AUDIO_TRACK: Final = 2
_MATRIX: Final = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_UNDETERMINED: Final = 0x55C4  # "und", ISO 639-2 (8.4.2.3)
_ENABLED: Final = 3  # … and in the movie (8.3.2.3)
_SELF_CONTAINED: Final = 1  # the media are in this file (8.7.2.3)
_AAC: Final = 0x40  # ISO/IEC 14496-1, table 5: audio of 14496-3
_AUDIO_STREAM: Final = 0x05 << 2 | 1  # likewise, 7.2.6.6
_MAX_ENTRY_RATE: Final = 0xFFFF  # Hz that a sample entry can say; the record has the real one


@dataclass(frozen=True, slots=True)
class Track:
    """One track of a movie."""

    config: Config
    timescale: int  # units a second
    is_reordered: bool = True  # PTS may differ from DTS

    @property
    def number(self) -> int:
        return VIDEO_TRACK if isinstance(self.config, VideoConfig) else AUDIO_TRACK


def init_segment(tracks: Sequence[Track]) -> bytes:
    """`ftyp` and `moov`; of one track, the header of a CMAF track (ISO/IEC 23000-19, 7.3.2.1).

    Raises KeyError for a codec that is in neither table below, and a ProtocolError for a record
    that its sample entry cannot be made of.
    """
    movie = struct.pack(">IIIIIHxx8x", 0, 0, 1000, 0, 0x10000, 0x100)
    last = max(track.number for track in tracks) + 1
    return box(b"ftyp", b"iso6", bytes(4), *_brands(tracks)) + box(
        b"moov",
        full_box(b"mvhd", 0, 0, movie, _MATRIX, bytes(24), struct.pack(">I", last)),
        *(_track(track) for track in tracks),
        box(b"mvex", *(_defaults(track) for track in tracks)),
    )


def _brands(tracks: Sequence[Track]) -> Sequence[bytes]:
    """What these tracks keep to: CMAF has one track a file.

    `cmf2` has no edit list, and each fragment's first picture is shown at the fragment's own time:
    so it is where nothing is reordered.
    """
    if len(tracks) != 1:
        return (b"iso6", b"mp41")
    (track,) = tracks
    in_order = track.number == AUDIO_TRACK or not track.is_reordered
    return (b"iso6", b"mp41", b"cmfc", *((b"cmf2",) if in_order else ()))


def is_known(config: Config) -> bool:
    """Whether a track can be of this codec."""
    if isinstance(config, VideoConfig):
        return config.codec in VIDEO_ENTRIES
    return config.codec in AUDIO_ENTRIES


def _defaults(track: Track) -> bytes:
    return full_box(b"trex", 0, 0, struct.pack(">IIIII", track.number, 1, 0, 0, 0))


def _track(track: Track) -> bytes:
    config = track.config
    if isinstance(config, VideoConfig):
        shown = round(config.width * _aspect(config)), config.height
        volume, handler, name = 0, b"vide", b"video\0"
        kind_header = full_box(b"vmhd", 0, 1, bytes(8))
        entry = VIDEO_ENTRIES[config.codec](config)
    else:
        shown, volume, handler, name = (0, 0), 0x100, b"soun", b"sound\0"
        kind_header = full_box(b"smhd", 0, 0, bytes(4))
        entry = AUDIO_ENTRIES[config.codec](config)
    head = struct.pack(">IIIII8xHHHxx", 0, 0, track.number, 0, 0, 0, 0, volume)
    size = struct.pack(">II", shown[0] << 16 & 0xFFFFFFFF, shown[1] << 16 & 0xFFFFFFFF)
    empty_tables = (
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    description = full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry)
    media_head = struct.pack(">IIIIHxx", 0, 0, track.timescale, 0, _UNDETERMINED)
    location = full_box(b"url ", 0, _SELF_CONTAINED)
    return box(
        b"trak",
        full_box(b"tkhd", 0, _ENABLED, head, _MATRIX, size),
        box(
            b"mdia",
            full_box(b"mdhd", 0, 0, media_head),
            full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), name),
            box(
                b"minf",
                kind_header,
                box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), location)),
                box(b"stbl", description, *empty_tables),
            ),
        ),
    )


def _aspect(config: VideoConfig) -> Fraction:
    aspect = config.sample_aspect
    return aspect if 0 < aspect.numerator < 1 << 16 > aspect.denominator else Fraction(1)


def _avc1(config: VideoConfig) -> bytes:
    """ISO/IEC 14496-15, 5.4.2.1."""
    return _picture(b"avc1", config, box(b"avcC", config.record))


def _hvc1(config: VideoConfig) -> bytes:
    """ISO/IEC 14496-15, 8.4.1.1; raises HevcError."""
    return _picture(b"hvc1", config, box(b"hvcC", h265.with_complete_arrays(config.record)))


def _av01(config: VideoConfig) -> bytes:
    """AV1 Codec ISO Media File Format Binding, 2.2."""
    return _picture(b"av01", config, box(b"av1C", config.record))


def _picture(kind: bytes, config: VideoConfig, record: bytes) -> bytes:
    """The fields are 12.1.3, the shape of a sample is 12.1.4."""
    aspect = _aspect(config)
    fields = struct.pack(
        ">6xH16xHHII4xH32xHh", 1, config.width, config.height, 0x480000, 0x480000, 1, 24, -1
    )
    shape = struct.pack(">II", aspect.numerator, aspect.denominator)
    boxes = [record]
    if aspect != 1:
        boxes.append(box(b"pasp", shape))
    return box(kind, fields, *boxes)


def _mp4a(config: AudioConfig) -> bytes:
    """ISO/IEC 14496-14, 5.6."""
    rate = config.sample_rate if config.sample_rate <= _MAX_ENTRY_RATE else 0
    decoder = struct.pack(">BB3xII", _AAC, _AUDIO_STREAM, 0, 0) + _descriptor(5, config.record)
    stream = struct.pack(">HB", 0, 0) + _descriptor(4, decoder) + _descriptor(6, b"\x02")
    record = full_box(b"esds", 0, 0, _descriptor(3, stream))
    return box(b"mp4a", _sound(config.channels, rate), record)


def _opus(config: AudioConfig) -> bytes:
    """Encapsulation of Opus in ISO Base Media File Format, 4.3; raises OpusError."""
    head = OpusHead.parse(config.record)
    record = struct.pack(
        ">BBHIhB", 0, head.channels, head.pre_skip, head.input_rate, head.gain, head.family
    )
    return box(b"Opus", _sound(head.channels, OPUS_RATE), box(b"dOps", record, head.mapping))


def _sound(channels: int, rate: int) -> bytes:
    """The fields of a sample entry of sound, 12.2.3."""
    return struct.pack(">6xH8xHH4xI", 1, channels, 16, rate << 16)


def _descriptor(tag: int, content: bytes) -> bytes:
    """ISO/IEC 14496-1, 7.2.2.2 and 8.3.3: the size in four groups of seven bits."""
    size = len(content)
    groups = [size >> shift & 0x7F | (0x80 if shift else 0) for shift in (21, 14, 7, 0)]
    return bytes((tag, *groups)) + content


# A line for each codec that a track can be of: its sample entry.
VIDEO_ENTRIES: Final[Mapping[VideoCodec, Callable[[VideoConfig], bytes]]] = {
    VideoCodec.H264: _avc1,
    VideoCodec.H265: _hvc1,
    VideoCodec.AV1: _av01,
}
AUDIO_ENTRIES: Final[Mapping[AudioCodec, Callable[[AudioConfig], bytes]]] = {
    AudioCodec.AAC: _mp4a,
    AudioCodec.OPUS: _opus,
}
