"""H.264 outside the decoder: the AVC configuration record, NAL units, sequence parameter sets.

AVCDecoderConfigurationRecord and the length-prefixed form ("AVCC") are ISO/IEC 14496-15's; the
start codes ("Annex B") and NAL unit types are ITU-T H.264's (7.4.1, annex B), and so are the
parameter sets, read in `common.codecs.h264_sps`. Lenient where real encoders are sloppy: see the
functions. Slice data are never looked into.

Pure. What cannot be read raises AvcError; every length is checked against the data it is in.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from common.codecs.h264_sps import HIGH_PROFILES, SpsInfo, parse_sps, unescape
from common.errors import AvcError
from common.media.pictures import config_of
from common.media.units import Data, VideoCodec, VideoConfig

__all__ = [
    "AvcConfig",
    "NalType",
    "SpsInfo",
    "codec_string",
    "codec_string_of_record",
    "is_idr",
    "is_random_access",
    "join_avcc",
    "looks_like_annexb",
    "nal_spans",
    "nal_type",
    "parameter_sets_in",
    "parse_config",
    "parse_sps",
    "split_annexb",
    "split_avcc",
    "to_annexb",
    "unescape",
]

# Of an access unit: every slice of 1400 bytes in the largest tag, and memory for no more.
MAX_NAL_UNITS = 8192

_START_CODE = b"\x00\x00\x00\x01"
# Profiles whose record ends with PPS, without the chroma and bit depth fields (14496-15 5.3.3.1.2).
_PLAIN_PROFILES = frozenset({66, 77, 88})


class NalType(IntEnum):
    """NAL unit types (H.264 table 7-1); types not listed are reserved or unspecified."""

    SLICE = 1
    PARTITION_A = 2
    PARTITION_B = 3
    PARTITION_C = 4
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    AUD = 9
    END_OF_SEQUENCE = 10
    END_OF_STREAM = 11
    FILLER = 12
    SPS_EXTENSION = 13
    PREFIX = 14
    SUBSET_SPS = 15
    AUXILIARY = 19
    EXTENSION = 20


def nal_type(nal: bytes | memoryview) -> int:
    """The type of a NAL unit, comparable with NalType (0..31, some of which have no name)."""
    if not nal:
        raise AvcError("empty NAL unit")
    return nal[0] & 0x1F


@dataclass(frozen=True, slots=True)
class AvcConfig:
    """An AVCDecoderConfigurationRecord: what a video sequence header carries.

    The chroma and bit depth fields are None where the record has none: it may not (Baseline, Main),
    or does not although it should (High from many encoders).
    """

    codec: ClassVar[VideoCodec] = VideoCodec.H264

    profile: int  # profile_idc: 66 Baseline, 77 Main, 100 High, ...
    compat: int  # the constraint_set flags byte
    level: int  # level_idc: 31 is level 3.1
    nal_length_size: int  # 1..4 bytes
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    chroma_format: int | None = None  # 0 mono, 1 4:2:0, 2 4:2:2, 3 4:4:4
    bit_depth_luma: int | None = None
    bit_depth_chroma: int | None = None
    sps_ext: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, record: bytes) -> "AvcConfig":
        """Read a record; trailing bytes, version 0 and missing high-profile fields are tolerated.

        So are start codes in front of a parameter set. Raises AvcError. A record without parameter
        sets is no error (some muxers write one).
        """
        if len(record) < 6:
            raise AvcError(f"AVC configuration of {len(record)} bytes, 6 at least are needed")
        if record[0] > 1:
            raise AvcError(f"AVC configuration version {record[0]}, 1 is known")
        sps, at = _read_sets(record, 6, record[5] & 0x1F, "SPS")
        # A record that ends after its SPS is short of the PPS count.
        pps_count = record[at] if at < len(record) else 0
        pps, at = _read_sets(record, at + 1, pps_count, "PPS")
        for kind, wanted, nals in (
            ("SPS", (NalType.SPS, NalType.SUBSET_SPS), sps),
            ("PPS", (NalType.PPS,), pps),
        ):
            for nal in nals:
                if nal_type(nal) not in wanted:
                    raise AvcError(f"NAL unit of type {nal_type(nal)} among the {kind}")
        config = cls(record[1], record[2], record[3], (record[4] & 3) + 1, sps, pps)
        return config if record[1] in _PLAIN_PROFILES else config._with_high_fields(record, at)

    def _with_high_fields(self, record: bytes, at: int) -> "AvcConfig":
        if len(record) < at + 4:
            return self
        try:
            sps_ext, _ = _read_sets(record, at + 4, record[at + 3], "SPS extension")
        except AvcError:
            sps_ext = ()  # garbage after a complete record is seen, and harmless
        return AvcConfig(
            self.profile,
            self.compat,
            self.level,
            self.nal_length_size,
            self.sps,
            self.pps,
            chroma_format=record[at] & 3,
            bit_depth_luma=(record[at + 1] & 7) + 8,
            bit_depth_chroma=(record[at + 2] & 7) + 8,
            sps_ext=sps_ext,
        )

    @classmethod
    def from_parameter_sets(
        cls, sps: Sequence[bytes], pps: Sequence[bytes], nal_length_size: int = 4
    ) -> "AvcConfig":
        """The record for these parameter sets; the first SPS names profile and level.

        Raises AvcError without an SPS, or when the first one cannot be read.
        """
        if not sps:
            raise AvcError("no SPS to make an AVC configuration of")
        info = parse_sps(sps[0])
        high = info.profile in HIGH_PROFILES
        return cls(
            info.profile,
            info.compat,
            info.level,
            nal_length_size,
            tuple(sps),
            tuple(pps),
            chroma_format=info.chroma_format if high else None,
            bit_depth_luma=info.bit_depth if high else None,
            bit_depth_chroma=info.bit_depth_chroma if high else None,
        )

    def encode(self) -> bytes:
        """The record's bytes, with the high-profile fields where the config has them."""
        if len(self.sps) > 31 or len(self.pps) > 255 or len(self.sps_ext) > 255:
            raise AvcError("more parameter sets than an AVC configuration can hold")
        parts = [
            bytes((1, self.profile, self.compat, self.level)),
            bytes((0xFC | (self.nal_length_size - 1), 0xE0 | len(self.sps))),
            _write_sets(self.sps),
            bytes((len(self.pps),)),
            _write_sets(self.pps),
        ]
        if self.profile not in _PLAIN_PROFILES and self.chroma_format is not None:
            luma = (self.bit_depth_luma or 8) - 8
            chroma = (self.bit_depth_chroma or 8) - 8
            parts.append(bytes((0xFC | self.chroma_format, 0xF8 | luma, 0xF8 | chroma)))
            parts.append(bytes((len(self.sps_ext),)))
            parts.append(_write_sets(self.sps_ext))
        return b"".join(parts)


def _read_sets(record: bytes, at: int, count: int, kind: str) -> tuple[tuple[bytes, ...], int]:
    nals: list[bytes] = []
    for _ in range(count):
        end = at + 2 + int.from_bytes(record[at : at + 2], "big")
        if at + 2 > len(record) or end > len(record):
            raise AvcError(f"{kind} ends beyond the AVC configuration of {len(record)} bytes")
        nal = record[at + 2 : end]
        if nal[:1] == b"\x00":
            nal = _without_start_code(nal)
        if nal:
            nals.append(nal)
        at = end
    return tuple(nals), at


def _without_start_code(nal: bytes) -> bytes:
    bare = nal.lstrip(b"\x00")
    return bare[1:] if bare[:1] == b"\x01" and len(nal) - len(bare) >= 2 else nal


def _write_sets(nals: tuple[bytes, ...]) -> bytes:
    for nal in nals:
        if len(nal) > 0xFFFF:
            raise AvcError(f"parameter set of {len(nal)} bytes exceeds 65535")
    return b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def codec_string(config: AvcConfig) -> str:
    """The RFC 6381 codec string, such as "avc1.64001f"."""
    return f"avc1.{config.profile:02x}{config.compat:02x}{config.level:02x}"


def codec_string_of_record(record: bytes) -> str:
    """The RFC 6381 codec string of a record. Raises AvcError."""
    return codec_string(AvcConfig.parse(record))


def parse_config(record: bytes) -> VideoConfig:
    """What a record says of the pictures, by its first SPS. Raises AvcError, without one too."""
    config = AvcConfig.parse(record)
    if not config.sps:
        raise AvcError("AVC configuration without parameter sets")
    return video_config(record, parse_sps(config.sps[0]))


def is_record(record: bytes) -> bool:
    """Whether this is an AVC configuration with an SPS that can be read, whatever it is called."""
    try:
        parse_config(record)
    except AvcError:
        return False
    return True


def video_config(record: bytes, sps: SpsInfo) -> VideoConfig:
    """The configuration of a record whose first SPS is read already."""
    return config_of(VideoCodec.H264, record, sps, sps.reference_frames)


def is_random_access(data: Data, record: bytes) -> bool:
    """Whether an access unit is an IDR picture; AvcError as `nal_spans`."""
    spans = nal_spans(data, (record[4] & 3) + 1)
    return any(data[begin] & 0x1F == NalType.IDR for begin, _ in spans)


def nal_spans(data: Data, length_size: int = 4, start: int = 0) -> list[tuple[int, int]]:
    """Where the NAL units of length-prefixed data lie: (begin, end) each, empty ones left out.

    Bytes behind the last one that are too few for a length are nothing, as for FFmpeg's decoder.
    Raises AvcError when a length reaches beyond the data, or for more than MAX_NAL_UNITS.
    """
    return _spans(data, length_size, start)[0]


def _spans(data: Data, length_size: int, start: int) -> tuple[list[tuple[int, int]], int]:
    """The NAL units, and where the last one ends, an empty one too."""
    spans: list[tuple[int, int]] = []
    at, size = start, len(data)
    seen = 0
    while at < size:
        seen += 1
        if seen > MAX_NAL_UNITS:
            raise AvcError(f"more than {MAX_NAL_UNITS} NAL units")
        begin = at + length_size
        if begin > size and spans:
            break
        at = begin + int.from_bytes(data[at:begin], "big")
        if at > size or begin > size:
            raise AvcError(f"NAL unit ends at {max(at, begin)} in {size} bytes of AVCC data")
        if at > begin:
            spans.append((begin, at))
    return spans, at


def split_avcc(data: bytes, length_size: int = 4) -> list[bytes]:
    """The NAL units of length-prefixed data, empty ones left out; AvcError as `nal_spans`."""
    return [data[begin:end] for begin, end in nal_spans(data, length_size)]


def join_avcc(nals: Iterable[bytes], length_size: int = 4) -> bytes:
    """The NAL units with their lengths in front; AvcError when a length does not fit its field."""
    parts: list[bytes] = []
    for nal in nals:
        if len(nal) >> (8 * length_size):
            raise AvcError(f"NAL unit of {len(nal)} bytes, and lengths of {length_size} bytes")
        parts.append(len(nal).to_bytes(length_size, "big"))
        parts.append(nal)
    return b"".join(parts)


def split_annexb(data: Data) -> list[bytes]:
    """The NAL units between start codes of 3 or 4 bytes, empty ones left out, in linear time.

    Zero bytes before a start code and at the end belong to no NAL unit (H.264 B.1.1: a NAL unit
    never ends with a zero byte). Raises AvcError when anything else stands before the first one, or
    for more than MAX_NAL_UNITS.
    """
    head, *pieces = bytes(data).split(b"\x00\x00\x01", MAX_NAL_UNITS + 1)
    if head.strip(b"\x00"):
        raise AvcError("Annex B data that do not begin with a start code")
    if len(pieces) > MAX_NAL_UNITS:
        raise AvcError(f"more than {MAX_NAL_UNITS} NAL units")
    return [nal for piece in pieces if (nal := piece.rstrip(b"\x00"))]


def to_annexb(nals: Iterable[bytes]) -> bytes:
    """The NAL units with a four-byte start code in front of each."""
    return b"".join(_START_CODE + nal for nal in nals)


def looks_like_annexb(data: Data, length_size: int = 4) -> bool:
    """Whether data that should be length-prefixed are Annex B, as some old camera SDKs send.

    A start code also reads as a length (of 1, or of 256 and more), so the data must fail to parse
    as lengths too. An access unit delimiter alone is a NAL unit of one byte then, and a byte more.
    """
    if data[:3] != b"\x00\x00\x01" and data[:4] != _START_CODE:
        return False
    try:
        _, end = _spans(data, length_size, 0)
    except AvcError:
        # 00 00 01 is also the length of 256 to 511 bytes, where the record is wrong about its size
        return length_size == 4 or not _has_lengths_of_four(data)
    return end < len(data) and data[:4] == _START_CODE


def _has_lengths_of_four(data: Data) -> bool:
    try:
        return _spans(data, 4, 0)[1] == len(data)
    except AvcError:
        return False


def is_idr(nals: Iterable[bytes]) -> bool:
    """Whether an access unit is an IDR picture: one of its NAL units is of type 5."""
    return any(nal_type(nal) == NalType.IDR for nal in nals)


def merged_sets(
    known: Sequence[bytes], new: Sequence[bytes], id_of: Callable[[bytes], int]
) -> list[bytes]:
    """Parameter sets in the order of their ids, the new ones in place of known ones."""
    by_id = {id_of(nal): nal for nal in (*known, *new)}
    return [by_id[set_id] for set_id in sorted(by_id)]


def parameter_sets_in(nals: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The SPS and the PPS among an access unit's NAL units."""
    sps: list[bytes] = []
    pps: list[bytes] = []
    for nal in nals:
        match nal_type(nal):
            case NalType.SPS:
                sps.append(nal)
            case NalType.PPS:
                pps.append(nal)
            case _:
                pass
    return sps, pps
