"""H.265 outside the decoder: the configuration record, NAL units, where a decoder can begin.

HEVCDecoderConfigurationRecord is ISO/IEC 14496-15's (8.3.3.1), NAL units are ITU-T H.265's (7.3.1):
length-prefixed as in H.264, with a header of two bytes. Pure; HevcError for what cannot be read,
AvcError where the lengths themselves are wrong, which are read as H.264's are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, Final

from common.codecs.h264 import nal_spans
from common.codecs.h265_sps import HevcSps, parse_sps
from common.errors import HevcError
from common.media.pictures import config_of
from common.media.units import Data, VideoCodec, VideoConfig

_HEAD_BYTES: Final = 23  # up to the number of arrays
_COMPLETE: Final = 0x80  # array_completeness
_GENERAL: Final = slice(1, 13)  # profile, tier, compatibility, constraints, level
_CONSTRAINTS: Final = slice(6, 12)
MAX_SETS: Final = 64  # of a kind, in a record


class NalType(IntEnum):
    """NAL unit types that matter here (table 7-1)."""

    RADL_N = 6
    RADL_R = 7
    RASL_N = 8
    RASL_R = 9
    BLA_W_LP = 16
    BLA_N_LP = 18
    IDR_W_RADL = 19
    IDR_N_LP = 20
    CRA = 21
    LAST_IRAP = 23
    VPS = 32
    SPS = 33
    PPS = 34
    AUD = 35
    END_OF_SEQUENCE = 36
    END_OF_BITSTREAM = 37
    FILLER = 38
    PREFIX_SEI = 39
    SUFFIX_SEI = 40


RASL: Final = frozenset({NalType.RASL_N, NalType.RASL_R})
LAST_SLICE: Final = 31  # types up to it are slices, or reserved for them
_SEI: Final = (NalType.PREFIX_SEI, NalType.SUFFIX_SEI)
_IN_RECORD: Final = (NalType.VPS, NalType.SPS, NalType.PPS, *_SEI)


def nal_type(nal: Data) -> int:
    """The type of a NAL unit, comparable with NalType. Raises HevcError for one without header."""
    if len(nal) < 2:
        raise HevcError(f"NAL unit of {len(nal)} bytes")
    return nal[0] >> 1 & 0x3F


@dataclass(frozen=True, slots=True)
class HevcConfig:
    """An HEVCDecoderConfigurationRecord: what a video sequence header carries."""

    codec: ClassVar[VideoCodec] = VideoCodec.H265

    general: bytes  # profile, compatibility, constraints, level: 12 bytes
    nal_length_size: int  # 1..4 bytes
    vps: tuple[bytes, ...]
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    sei: tuple[bytes, ...] = ()  # of the whole stream: HDR's, mostly
    chroma_format: int = 1
    bit_depth_luma: int = 8
    bit_depth_chroma: int = 8
    temporal: int = 0  # layers (3 bits) and nesting (1 bit), as the record has them

    @classmethod
    def parse(cls, record: bytes) -> "HevcConfig":
        """Read a record; version 0 and trailing bytes are tolerated. Raises HevcError.

        A record without parameter sets is no error: `hev1` has them in band.
        """
        _check(record)
        found: dict[int, list[bytes]] = {kind: [] for kind in _IN_RECORD}
        for nal in _nals_of(record):
            kept = found.get(nal_type(nal))
            if kept is None:
                raise HevcError(f"NAL unit of type {nal_type(nal)} in an HEVC configuration")
            if len(kept) >= MAX_SETS:
                raise HevcError(f"more than {MAX_SETS} NAL units of type {nal_type(nal)}")
            kept.append(nal)
        return cls(
            record[_GENERAL],
            (record[21] & 3) + 1,
            tuple(found[NalType.VPS]),
            tuple(found[NalType.SPS]),
            tuple(found[NalType.PPS]),
            sei=(*found[NalType.PREFIX_SEI], *found[NalType.SUFFIX_SEI]),
            chroma_format=record[16] & 3,
            bit_depth_luma=(record[17] & 7) + 8,
            bit_depth_chroma=(record[18] & 7) + 8,
            temporal=record[21] >> 2 & 0xF,
        )

    @classmethod
    def from_parameter_sets(
        cls,
        vps: Sequence[bytes],
        sps: Sequence[bytes],
        pps: Sequence[bytes],
        nal_length_size: int = 4,
    ) -> "HevcConfig":
        """The record for these parameter sets; the first SPS names profile and level.

        Raises HevcError without an SPS, or when the first one cannot be read.
        """
        if not sps:
            raise HevcError("no SPS to make an HEVC configuration of")
        info = parse_sps(sps[0])
        return cls(
            info.general,
            nal_length_size,
            tuple(vps),
            tuple(sps),
            tuple(pps),
            chroma_format=info.chroma_format,
            bit_depth_luma=info.bit_depth,
            bit_depth_chroma=info.bit_depth_chroma,
            temporal=(info.temporal_layers & 7) << 1 | info.is_temporally_nested,
        )

    def encode(self) -> bytes:
        """The record's bytes. Raises HevcError for parameter sets that it cannot hold."""
        sei = {kind: tuple(nal for nal in self.sei if nal_type(nal) == kind) for kind in _SEI}
        sets = {NalType.VPS: self.vps, NalType.SPS: self.sps, NalType.PPS: self.pps}
        arrays = [(kind, nals) for kind, nals in (sets | sei).items() if nals]
        if any(len(nal) > 0xFFFF for _, nals in arrays for nal in nals):
            raise HevcError("a parameter set is longer than an HEVC configuration can hold")
        return b"".join(
            (
                b"\x01",
                self.general,
                b"\xf0\x00\xfc",  # segmentation and parallelism: not told
                bytes((0xFC | self.chroma_format, 0xF8 | (self.bit_depth_luma - 8) & 7)),
                bytes((0xF8 | (self.bit_depth_chroma - 8) & 7, 0, 0)),
                bytes((self.temporal << 2 | (self.nal_length_size - 1), len(arrays))),
                *(_array(kind, nals) for kind, nals in arrays),
            )
        )

    def with_sets(
        self, vps: Sequence[bytes], sps: Sequence[bytes], pps: Sequence[bytes]
    ) -> "HevcConfig":
        """The configuration with other parameter sets, its SEI left. Raises HevcError."""
        made = HevcConfig.from_parameter_sets(vps, sps, pps, self.nal_length_size)
        return replace(made, sei=self.sei)


def _array(kind: int, nals: Sequence[bytes]) -> bytes:
    parts = [bytes((_COMPLETE | kind,)), len(nals).to_bytes(2, "big")]
    for nal in nals:
        parts += [len(nal).to_bytes(2, "big"), nal]
    return b"".join(parts)


def codec_string_of_record(record: bytes) -> str:
    """The RFC 6381 codec string (14496-15, E.3), such as "hvc1.1.6.L93.B0". Raises HevcError."""
    _check(record)
    space, tier, profile = record[1] >> 6, record[1] >> 5 & 1, record[1] & 0x1F
    flags = int(f"{int.from_bytes(record[2:6], 'big'):032b}"[::-1], 2)  # in reverse order
    parts = [
        "hvc1",
        f"{('', 'A', 'B', 'C')[space]}{profile}",
        f"{flags:X}",
        f"{'H' if tier else 'L'}{record[12]}",
    ]
    parts += [f"{byte:X}" for byte in record[_CONSTRAINTS].rstrip(b"\0")]
    return ".".join(parts)


def with_complete_arrays(record: bytes) -> bytes:
    """The record as a sample entry `hvc1` has it: all parameter sets stand in it (8.4.1.1).

    Raises HevcError.
    """
    _check(record)
    written = bytearray(record)
    for at, _, _ in _arrays_of(record):
        written[at] |= _COMPLETE
    return bytes(written)


def _arrays_of(record: bytes) -> Iterable[tuple[int, int, list[bytes]]]:
    """Where each array begins, the type that it names, its NAL units. Raises HevcError."""
    at = _HEAD_BYTES
    for _ in range(record[_HEAD_BYTES - 1]):
        if at + 3 > len(record):
            raise HevcError(f"HEVC configuration of {len(record)} bytes ends within its arrays")
        begin, kind = at, record[at] & 0x3F
        count = int.from_bytes(record[at + 1 : at + 3], "big")
        at += 3
        nals = []
        for _ in range(count):
            end = at + 2 + int.from_bytes(record[at : at + 2], "big")
            if end > len(record):
                raise HevcError(f"NAL unit ends beyond the HEVC configuration of {len(record)}")
            nals.append(record[at + 2 : end])
            at = end
        yield begin, kind, nals


def _nals_of(record: bytes) -> Iterable[bytes]:
    return (nal for _, _, nals in _arrays_of(record) for nal in nals if nal)


def _check(record: bytes) -> None:
    if len(record) < _HEAD_BYTES:
        raise HevcError(
            f"HEVC configuration of {len(record)} bytes, {_HEAD_BYTES} at least are needed"
        )
    if record[0] > 1:  # 0 by early encoders
        raise HevcError(f"HEVC configuration version {record[0]}, 1 is known")


def parse_config(record: bytes) -> VideoConfig:
    """What a configuration record says of the pictures. Raises HevcError."""
    config = HevcConfig.parse(record)
    if not config.sps:
        raise HevcError("HEVC configuration without an SPS")
    return video_config(record, parse_sps(config.sps[0]))


def video_config(record: bytes, sps: HevcSps) -> VideoConfig:
    """The configuration of a record with this SPS."""
    return config_of(VideoCodec.H265, record, sps, sps.reference_frames)


def is_record(record: bytes) -> bool:
    """Whether this is an HEVC configuration with an SPS that can be read, whatever it is called."""
    try:
        parse_config(record)
    except HevcError:
        return False
    return True


def is_random_access(data: Data, record: bytes) -> bool:
    """Whether an access unit is an IRAP picture (IDR, CRA, BLA); AvcError as `nal_spans`.

    Behind a CRA picture that a decoder begins at, its RASL pictures cannot be decoded.
    """
    spans = nal_spans(data, (record[21] & 3) + 1)
    return any(is_irap(data[begin] >> 1 & 0x3F) for begin, _ in spans)


def is_irap(kind: int) -> bool:
    """Whether pictures of this NAL unit type are where a decoder can begin."""
    return NalType.BLA_W_LP <= kind <= NalType.LAST_IRAP


def slice_type(data: Data, length_size: int) -> int:
    """The NAL unit type of an access unit's first slice; -1 without one. Raises AvcError."""
    for begin, _ in nal_spans(data, length_size):
        kind = data[begin] >> 1 & 0x3F
        if kind <= LAST_SLICE:
            return kind
    return -1


def parameter_sets_in(nals: Iterable[bytes]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """The VPS, SPS and PPS among an access unit's NAL units."""
    sets: dict[int, list[bytes]] = {NalType.VPS: [], NalType.SPS: [], NalType.PPS: []}
    for nal in nals:
        kept = sets.get(nal[0] >> 1 & 0x3F)
        if kept is not None:
            kept.append(nal)
    return sets[NalType.VPS], sets[NalType.SPS], sets[NalType.PPS]
