"""AV1 outside the decoder: the configuration record, OBUs, where a decoder can begin.

AV1CodecConfigurationRecord is 2.3.3 of "AV1 Codec ISO Media File Format Binding", OBUs are 5.3 of
the AV1 specification: a unit is one temporal unit in the low-overhead format, its last OBU perhaps
without a size. Pure; Av1Error for what cannot be read.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, NamedTuple

from common.codecs.av1_sequence import SequenceHeader, parse_sequence_header
from common.errors import Av1Error
from common.media.pictures import config_of
from common.media.units import Data, VideoCodec, VideoConfig

MAX_OBUS: Final = 4096  # of a temporal unit: a picture has 128 tile groups at the most (A.3)
_HEAD_BYTES: Final = 4
_VERSION_1: Final = 0x81  # behind a marker bit
_PLAIN: Final = (0, "110")  # colour, and 4:2:0 whose place is not told
_MAX_SIZE_BYTES: Final = 8  # of a leb128 (4.10.5)
_KEY_FRAME: Final = 0
HAS_SIZE: Final = 0x02  # in an OBU's header


class ObuType(IntEnum):
    """OBU types (6.2.2) that matter here."""

    SEQUENCE_HEADER = 1
    TEMPORAL_DELIMITER = 2
    FRAME_HEADER = 3
    TILE_GROUP = 4
    METADATA = 5
    FRAME = 6
    REDUNDANT_FRAME_HEADER = 7
    TILE_LIST = 8
    PADDING = 15


_HEADERS: Final = frozenset({ObuType.FRAME_HEADER, ObuType.FRAME})
# Not to stand in a sample (2.4 of the binding).
_OMITTED: Final = frozenset({ObuType.TEMPORAL_DELIMITER, ObuType.PADDING, ObuType.TILE_LIST})


class Obu(NamedTuple):
    """Where an OBU lies in its data: a tuple, one is made for every one."""

    type: int
    begin: int  # its header
    payload: int  # what is behind header and size
    end: int


def obus(data: Data) -> list[Obu]:
    """The OBUs of a temporal unit or of `configOBUs`. Raises Av1Error."""
    found: list[Obu] = []
    at, size = 0, len(data)
    while at < size:
        if len(found) >= MAX_OBUS:
            raise Av1Error(f"more than {MAX_OBUS} OBUs")
        begin, header = at, data[at]
        if header & 0x80:
            raise Av1Error(f"OBU header {header:02x} with its forbidden bit")
        at += 2 if header & 0x04 else 1
        length = size - at
        if header & 0x02:
            length, at = _leb128(data, at)
        if at + length > size or length < 0:
            raise Av1Error(f"OBU ends at {at + length} in {size} bytes")
        found.append(Obu(header >> 3 & 0xF, begin, at, at + length))
        at += length
    return found


def leb128(value: int) -> bytes:
    """A number as `obu_size` has it."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))


def with_ahead(unit: Data, ahead: bytes) -> bytes:
    """The temporal unit with further OBUs in front of its first frame. Raises Av1Error.

    They stand behind a sequence header: what precedes that is of the sequence before.
    """
    found = obus(unit)
    at = found[0].end if found and found[0].type == ObuType.SEQUENCE_HEADER else 0
    return bytes(unit[:at]) + ahead + bytes(unit[at:])


def _leb128(data: Data, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = 0
    for index, byte in enumerate(data[at : at + _MAX_SIZE_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at + index + 1
    raise Av1Error("OBU size cut short")


@dataclass(frozen=True, slots=True)
class TemporalUnit:
    """What a temporal unit holds."""

    is_key: bool  # its first frame is a key frame, and shown
    has_frame: bool
    sequence_header: bytes  # the OBU as it came; empty: none
    data: Data  # without delimiters and padding; the same bytes where there were none


def read_unit(data: Data) -> TemporalUnit:
    """Look through a temporal unit. Raises Av1Error."""
    found = obus(data)
    header = b""
    is_key = has_frame = False
    for obu in found:
        if obu.type == ObuType.SEQUENCE_HEADER:
            header = header or bytes(data[obu.begin : obu.end])
        elif obu.type in _HEADERS:
            if not has_frame and obu.end > obu.payload:
                # show_existing_frame, frame_type (2 bits), show_frame (5.9.2)
                head = data[obu.payload]
                is_key = not head & 0x80 and head >> 5 & 3 == _KEY_FRAME and bool(head & 0x10)
            has_frame = True
    if any(obu.type in _OMITTED for obu in found):
        kept = [data[obu.begin : obu.end] for obu in found if obu.type not in _OMITTED]
        data = b"".join(kept)
    return TemporalUnit(is_key, has_frame, header, data)


@dataclass(frozen=True, slots=True)
class Av1Config:
    """An AV1CodecConfigurationRecord: what a video sequence header carries."""

    codec: ClassVar[VideoCodec] = VideoCodec.AV1
    nal_length_size: ClassVar[int] = 0  # there are none

    head: bytes  # its first four bytes
    obus: bytes  # configOBUs: a sequence header, perhaps metadata; or empty

    @classmethod
    def parse(cls, record: bytes) -> "Av1Config":
        """Read a record. Raises Av1Error."""
        _check(record)
        return cls(record[:_HEAD_BYTES], record[_HEAD_BYTES:])

    @classmethod
    def from_sequence_header(cls, header: bytes) -> "Av1Config":
        """The record for this OBU. Raises Av1Error."""
        info = sequence_header_of(header)
        flags = (
            info.tier << 7
            | (info.bit_depth > 8) << 6
            | (info.bit_depth > 10) << 5
            | (info.chroma_format == 0) << 4
            | (info.chroma_format < 3) << 3
            | (info.chroma_format < 2) << 2
            | info.chroma_position
        )
        return cls(bytes((_VERSION_1, info.profile << 5 | info.level, flags, 0)), header)

    @property
    def sequence_header(self) -> bytes:
        """The OBU; empty where the record has none. Raises Av1Error."""
        for obu in obus(self.obus):
            if obu.type == ObuType.SEQUENCE_HEADER:
                return self.obus[obu.begin : obu.end]
        return b""

    def encode(self) -> bytes:
        """The record's bytes."""
        return self.head + self.obus


def sequence_header_of(header: bytes) -> SequenceHeader:
    """What a sequence header OBU says of the pictures. Raises Av1Error."""
    found = obus(header)
    if not found or found[0].type != ObuType.SEQUENCE_HEADER:
        raise Av1Error("OBU that is no sequence header")
    return parse_sequence_header(bytes(header[found[0].payload : found[0].end]))


def codec_string_of_record(record: bytes) -> str:
    """The RFC 6381 codec string (section 5 there), such as "av01.0.04M.08". Raises Av1Error.

    Colour is not told: what it is stands in the sequence header.
    """
    _check(record)
    profile, level = record[1] >> 5, record[1] & 0x1F
    flags = record[2]
    bits = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    name = f"av01.{profile}.{level:02}{'H' if flags & 0x80 else 'M'}.{bits:02}"
    is_monochrome = flags >> 4 & 1
    sampling = f"{flags >> 3 & 1}{flags >> 2 & 1}{flags & 3 if flags & 0xC == 0xC else 0}"
    # all that is optional, or nothing of it; the last four are what is meant where they are absent
    if (is_monochrome, sampling) == _PLAIN:
        return name
    return f"{name}.{is_monochrome}.{sampling}.01.01.01.0"


def parse_config(record: bytes) -> VideoConfig:
    """What a configuration record says of the pictures. Raises Av1Error."""
    header = Av1Config.parse(record).sequence_header
    if not header:
        raise Av1Error("AV1 configuration without a sequence header")
    return video_config(record, sequence_header_of(header))


def video_config(record: bytes, header: SequenceHeader) -> VideoConfig:
    """The configuration of a record with this sequence header."""
    return config_of(VideoCodec.AV1, record, header, reference_frames=8)


def is_random_access(data: Data, record: bytes) -> bool:
    """Whether a temporal unit begins with a shown key frame (7.6.2). Raises Av1Error.

    The sequence header that a decoder needs stands in the record, if not in the unit.
    """
    del record
    return read_unit(data).is_key


def _check(record: bytes) -> None:
    if len(record) < _HEAD_BYTES:
        raise Av1Error(
            f"AV1 configuration of {len(record)} bytes, {_HEAD_BYTES} at least are needed"
        )
    if record[0] != _VERSION_1:
        raise Av1Error(f"AV1 configuration begins with {record[0]:02x}, 81 is known")
