"""One splice information section: read, and set to other times. Pure.

ANSI/SCTE 35 2023, clause 9.6. What is not needed to say where a break is, such as a schedule or a
private command, is known by its command alone. Times are of the 90 kHz clock, in 33 bits.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from common.codecs.bits import BitReader
from common.errors import SpliceError
from common.mpegts.program import section_crc

TABLE: Final = 0xFC
STREAM_TYPE: Final = 0x86
IDENTIFIER: Final = b"CUEI"  # of the registration, and of segmentation descriptors
MAX_SECTION_BYTES: Final = 4096  # 9.6.1: section_length is 4093 at most
MAX_SEGMENTATIONS: Final = 32
TICKS: Final = 90_000  # a second
TIMES: Final = 1 << 33
_HEAD_BYTES, _CRC_BYTES = 14, 4
_ADJUSTMENT_AT: Final = 4  # the byte whose last bit begins the 33 bits of pts_adjustment
_NO_LENGTH: Final = 0xFFF  # 9.6.1: of old encoders, which did not say it
_SEGMENTATION: Final = 0x02
# Segmentation types (table 23) that begin something in place of the programme; ends are one more.
_BEGINS: Final = frozenset((0x22, 0x30, 0x32, 0x34, 0x36, 0x38, 0x3A, 0x44, 0x46))


class Command(IntEnum):
    """`splice_command_type`, table 7."""

    NULL = 0x00
    SCHEDULE = 0x04
    INSERT = 0x05
    TIME_SIGNAL = 0x06
    BANDWIDTH_RESERVATION = 0x07
    PRIVATE = 0xFF


class Way(Enum):
    """Where a splice leads, in the words of RFC 8216 4.3.2.7.1."""

    OUT = "OUT"  # of the programme
    IN = "IN"  # back to it
    OTHER = "CMD"


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A segmentation descriptor, 10.3.3; it is cancelled where nothing but its id is said."""

    event_id: int
    type_id: int = 0
    duration: int | None = None  # ticks
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Splice:
    """What a section says."""

    command: int
    pts: int | None = None  # of the splice, adjusted; None: at once, or none is said
    event_id: int | None = None  # of an insertion, or of its first segmentation
    way: Way = Way.OTHER
    duration: int | None = None  # ticks, of the break that begins
    is_cancelled: bool = False
    segmentations: tuple[Segmentation, ...] = ()
    is_encrypted: bool = False  # nothing but that can be read

    @property
    def duration_s(self) -> float | None:
        return None if self.duration is None else self.duration / TICKS

    @property
    def is_idle(self) -> bool:
        """Whether it says nothing of the programme: it tells that somebody is there."""
        return self.command in (Command.NULL, Command.BANDWIDTH_RESERVATION)


def parse(section: bytes) -> Splice:
    """Read a section.

    Raises:
        SpliceError: it is none, or it is broken.
    """
    if len(section) > MAX_SECTION_BYTES:
        raise SpliceError(f"a section of {len(section)} bytes exceeds {MAX_SECTION_BYTES}")
    if len(section) < _HEAD_BYTES + _CRC_BYTES + 2 or section[0] != TABLE:
        raise SpliceError("no splice information")
    if len(section) != 3 + ((section[1] & 0x0F) << 8 | section[2]):
        raise SpliceError("a section whose length is not what it says")
    if section_crc(section):
        raise SpliceError("a section whose checksum is wrong")
    if section[3]:
        raise SpliceError(f"version {section[3]} of splice information")
    if section[4] & 0x80:
        return Splice(section[13], is_encrypted=True)
    size = (section[11] & 0x0F) << 8 | section[12]
    body = section[_HEAD_BYTES:-_CRC_BYTES]
    if size != _NO_LENGTH and size > len(body):
        raise SpliceError(f"a command of {size} bytes where {len(body)} are left")
    reader = BitReader(body if size == _NO_LENGTH else body[:size], SpliceError)
    splice = _command(section[13], reader, _adjustment(section))
    if size == _NO_LENGTH:
        if splice.command not in (Command.NULL, Command.INSERT, Command.TIME_SIGNAL):
            return splice
        size = len(body) - reader.remaining // 8
    segmentations = tuple(_segmentations(body[size:]))
    return _with_segmentations(splice, segmentations) if segmentations else splice


def at_time(section: bytes, ticks: int) -> bytes:
    """The section with its splice at another time of the clock.

    One that is broken, encrypted or says no time comes back as it is.
    """
    try:
        splice = parse(section)
    except SpliceError:
        return section
    if splice.pts is None:
        return section
    adjustment = (_adjustment(section) + ticks - splice.pts) % TIMES
    head = bytearray(section[:-_CRC_BYTES])
    head[_ADJUSTMENT_AT] = head[_ADJUSTMENT_AT] & 0xFE | adjustment >> 32
    struct.pack_into(">I", head, _ADJUSTMENT_AT + 1, adjustment & 0xFFFFFFFF)
    made = bytes(head)
    return made + struct.pack(">I", section_crc(made))


def _adjustment(section: bytes) -> int:
    return (section[_ADJUSTMENT_AT] & 1) << 32 | int.from_bytes(section[5:9], "big")


def _command(command: int, reader: BitReader, adjustment: int) -> Splice:
    if command == Command.INSERT:
        return _insert(reader, adjustment)
    if command == Command.TIME_SIGNAL:
        return Splice(command, _adjusted(_time(reader), adjustment))
    return Splice(command)


def _insert(reader: BitReader, adjustment: int) -> Splice:
    """`splice_insert`, 9.7.3."""
    event_id = reader.bits(32)
    is_cancelled = reader.flag()
    reader.bits(7)
    if is_cancelled:
        return Splice(Command.INSERT, event_id=event_id, is_cancelled=True)
    is_out, is_whole, has_duration, is_at_once = (reader.flag() for _ in range(4))
    reader.bits(4)
    pts = None
    if is_whole:
        pts = None if is_at_once else _time(reader)
    else:
        for number in range(reader.bits(8)):
            reader.bits(8)
            found = None if is_at_once else _time(reader)
            pts = found if number == 0 else pts
    duration = None
    if has_duration:
        reader.bits(7)  # auto_return: who inserts looks at it
        duration = reader.bits(33)
    reader.bits(32)  # unique_program_id, avail_num, avails_expected
    way = Way.OUT if is_out else Way.IN
    return Splice(Command.INSERT, _adjusted(pts, adjustment), event_id, way, duration)


def _time(reader: BitReader) -> int | None:
    """`splice_time`, 9.8.1."""
    if reader.flag():
        reader.bits(6)
        return reader.bits(33)
    reader.bits(7)
    return None


def _adjusted(pts: int | None, adjustment: int) -> int | None:
    return None if pts is None else (pts + adjustment) % TIMES


def _segmentations(loop: bytes) -> Iterator[Segmentation]:
    """Those of a descriptor loop, as far as it can be read."""
    if len(loop) < 2:
        return
    end = min(len(loop), 2 + (loop[0] << 8 | loop[1]))
    at, found = 2, 0
    while at + 2 <= end and found < MAX_SEGMENTATIONS:
        tag, size = loop[at], loop[at + 1]
        body = loop[at + 2 : min(end, at + 2 + size)]
        at += 2 + size
        if tag != _SEGMENTATION or body[:4] != IDENTIFIER:
            continue
        try:
            yield _segmentation(BitReader(body[4:], SpliceError))
        except SpliceError:
            return
        found += 1


def _segmentation(reader: BitReader) -> Segmentation:
    """`segmentation_descriptor`, 10.3.3."""
    event_id = reader.bits(32)
    is_cancelled = reader.flag()
    reader.bits(7)
    if is_cancelled:
        return Segmentation(event_id, is_cancelled=True)
    is_whole, has_duration = reader.flag(), reader.flag()
    reader.bits(6)
    if not is_whole:
        for _ in range(reader.bits(8)):
            reader.bits(48)
    duration = reader.bits(40) if has_duration else None
    reader.bits(8)  # the kind of upid
    for _ in range(reader.bits(8)):
        reader.bits(8)
    return Segmentation(event_id, reader.bits(8), duration)


def _with_segmentations(splice: Splice, found: tuple[Segmentation, ...]) -> Splice:
    """What a time signal's descriptors make of it; an insertion says itself what it is."""
    if splice.command != Command.TIME_SIGNAL:
        return Splice(
            splice.command,
            splice.pts,
            splice.event_id,
            splice.way,
            splice.duration,
            splice.is_cancelled,
            found,
        )
    begins = next((one for one in found if one.type_id in _BEGINS), None)
    ends = next((one for one in found if one.type_id - 1 in _BEGINS), None)
    chosen = begins or ends or found[0]
    way = Way.OUT if begins is not None else Way.IN if ends is not None else Way.OTHER
    duration = chosen.duration if way is not Way.IN else None
    return Splice(
        splice.command,
        splice.pts,
        chosen.event_id,
        way,
        duration,
        all(one.is_cancelled for one in found),
        found,
    )
