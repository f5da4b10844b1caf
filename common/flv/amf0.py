"""AMF0 values both ways (AMF 0 specification 2007; the markers are its section 2.1).

Bytes in, Python values out, and back. Knows nothing of RTMP messages. Everything a peer can
make long, deep or many is bounded by `Amf0Limits` before memory is taken.

| AMF0 | Python |
|---|---|
| number, boolean, string, long string, XML | float, bool, str, str, str |
| object, typed object, ECMA array | dict, TypedObject, EcmaArray |
| strict array, date | list, Date |
| null, undefined, unsupported | None, UNDEFINED, UNDEFINED |
| reference | the value that it refers to |

After the switch-to-AMF3 marker only AMF3 scalars are read, which is what Flash clients send in
the commands that a server needs; an AMF3 object is an `Amf0Error`.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from common.errors import Amf0Error


class Marker(IntEnum):
    """The byte that every AMF0 value starts with."""

    NUMBER = 0x00
    BOOLEAN = 0x01
    STRING = 0x02
    OBJECT = 0x03
    NULL = 0x05
    UNDEFINED = 0x06
    REFERENCE = 0x07
    ECMA_ARRAY = 0x08
    OBJECT_END = 0x09
    STRICT_ARRAY = 0x0A
    DATE = 0x0B
    LONG_STRING = 0x0C
    UNSUPPORTED = 0x0D
    XML = 0x0F
    TYPED_OBJECT = 0x10
    AMF3 = 0x11


class Undefined(Enum):
    """AMF0's undefined, apart from null. FFmpeg cannot skip it: never send it in a command."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


class EcmaArray(dict[str, "Value"]):
    """An associative array, marker 08. Players read onMetaData only when it is one of these."""

    __slots__ = ()


class TypedObject(dict[str, "Value"]):
    """An object with a class name, marker 10."""

    __slots__ = ("class_name",)

    def __init__(self, class_name: str, members: Mapping[str, "Value"] | None = None) -> None:
        super().__init__(members or {})
        self.class_name = class_name


@dataclass(frozen=True, slots=True)
class Date:
    """A point in time, marker 0B."""

    milliseconds: float  # since 1970-01-01 UTC
    time_zone: int = 0  # reserved; signed 16 bits


Value = (
    float | bool | str | dict[str, "Value"] | EcmaArray | TypedObject | list["Value"] | Date
    | Undefined | None
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Amf0Limits:
    """What one message may hold. Python's own recursion limit is no control."""

    depth: int = 16  # objects and arrays inside one another
    values: int = 4096  # values of every kind in one message, members included


DEFAULT_LIMITS: Final = Amf0Limits()
MAX_ENCODED_BYTES: Final = 0xFFFFFF  # no RTMP message is longer


_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_F64: Final = struct.Struct(">d")
_DATE_BODY: Final = struct.Struct(">dh")

_END: Final = b"\x00\x00\x09"


def decode_all(data: bytes, limits: Amf0Limits = DEFAULT_LIMITS) -> list[Value]:
    """Every value of a message body, in order.

    Raises:
        Amf0Error: a value is cut short, of an unknown kind, too deep, or there are too many.
    """
    return _Reader(data, limits).read_all()


def decode_some(
    data: bytes, count: int, limits: Amf0Limits = DEFAULT_LIMITS, offset: int = 0
) -> tuple[list[Value], int]:
    """The first `count` values from `offset` on, or as many as there are, and the offset behind.

    What comes behind them is not looked at, whatever it is: it costs nothing.

    Raises:
        Amf0Error: one of them is cut short, of an unknown kind, too deep, or holds too many.
    """
    reader = _Reader(data, limits, offset)
    return reader.read(count), reader.offset


def leading_string(data: bytes) -> tuple[str, int] | None:
    """The string that a message body starts with and the offset after it; None if there is none.

    Never raises: data messages need not be AMF0 at all.
    """
    if len(data) < 3 or data[0] != Marker.STRING:
        return None
    end = 3 + (data[1] << 8 | data[2])
    if end > len(data):
        return None
    return data[3:end].decode("utf-8", "replace"), end


class _Reader:
    """One pass over one message body."""

    __slots__ = ("_complete", "_data", "_limits", "_pos", "_references", "_values")

    def __init__(self, data: bytes, limits: Amf0Limits, offset: int = 0) -> None:
        self._data = data
        self._pos = offset
        self._limits = limits
        self._values = 0
        # The reference table: every object and array in order of appearance.
        self._references: list[Value] = []
        self._complete: list[bool] = []

    @property
    def offset(self) -> int:
        return self._pos

    def read_all(self) -> list[Value]:
        values = []
        while self._pos < len(self._data):
            values.append(self._read_value(0))
        return values

    def read(self, count: int) -> list[Value]:
        values: list[Value] = []
        while len(values) < count and self._pos < len(self._data):
            values.append(self._read_value(0))
        return values

    def _take(self, size: int) -> int:
        """Steps over `size` bytes; returns the offset of the first."""
        start = self._pos
        end = start + size
        if end > len(self._data):
            raise Amf0Error(
                f"AMF0 value needs {size} bytes at offset {start}, {len(self._data) - start} left"
            )
        self._pos = end
        return start

    def _read_u8(self) -> int:
        return self._data[self._take(1)]

    def _read_u16(self) -> int:
        return int(_U16.unpack_from(self._data, self._take(2))[0])

    def _read_u32(self) -> int:
        return int(_U32.unpack_from(self._data, self._take(4))[0])

    def _read_f64(self) -> float:
        return float(_F64.unpack_from(self._data, self._take(8))[0])

    def _read_text(self, size: int) -> str:
        start = self._take(size)
        # Encoders write local character sets into metadata: no reason to drop a publisher.
        return self._data[start : self._pos].decode("utf-8", "replace")

    def _read_value(self, depth: int) -> Value:
        self._values += 1
        if self._values > self._limits.values:
            raise Amf0Error(f"more than {self._limits.values} AMF0 values in one message")
        marker = self._read_u8()
        match marker:
            case Marker.NUMBER:
                return self._read_f64()
            case Marker.BOOLEAN:
                return self._read_u8() != 0
            case Marker.STRING:
                return self._read_text(self._read_u16())
            case Marker.OBJECT:
                return self._read_members({}, depth)
            case Marker.NULL:
                return None
            case Marker.UNDEFINED | Marker.UNSUPPORTED:
                return UNDEFINED
            case Marker.REFERENCE:
                return self._read_reference()
            case Marker.ECMA_ARRAY:
                self._read_u32()  # the count is a hint, often wrong or 0
                return self._read_members(EcmaArray(), depth)
            case Marker.STRICT_ARRAY:
                return self._read_strict_array(depth)
            case Marker.DATE:
                milliseconds, time_zone = _DATE_BODY.unpack_from(self._data, self._take(10))
                return Date(milliseconds, time_zone)
            case Marker.LONG_STRING | Marker.XML:
                return self._read_text(self._read_u32())
            case Marker.TYPED_OBJECT:
                class_name = self._read_text(self._read_u16())
                return self._read_members(TypedObject(class_name), depth)
            case Marker.AMF3:
                return self._read_amf3_scalar()
            case _:
                raise Amf0Error(f"AMF0 marker {marker:#04x} at offset {self._pos - 1}")

    def _enter(self, value: Value, depth: int) -> int:
        if depth >= self._limits.depth:
            raise Amf0Error(f"AMF0 values nested deeper than {self._limits.depth}")
        self._references.append(value)
        self._complete.append(False)
        return len(self._references) - 1

    def _read_members(self, members: dict[str, Value], depth: int) -> Value:
        index = self._enter(members, depth)
        while True:
            key_size = self._read_u16()
            # An empty key may still be a member's name: only the end marker ends the object.
            if key_size == 0 and self._data[self._pos : self._pos + 1] == _END[2:]:
                self._pos += 1
                break
            key = self._read_text(key_size)
            members[key] = self._read_value(depth + 1)
        self._complete[index] = True
        return members

    def _read_strict_array(self, depth: int) -> Value:
        count = self._read_u32()
        if count > len(self._data) - self._pos:
            raise Amf0Error(f"AMF0 array of {count} values in {len(self._data) - self._pos} bytes")
        items: list[Value] = []
        index = self._enter(items, depth)
        for _ in range(count):
            items.append(self._read_value(depth + 1))
        self._complete[index] = True
        return items

    def _read_reference(self) -> Value:
        index = self._read_u16()
        # A value that contains itself is legal AMF0, but nothing of ours could walk it.
        if index >= len(self._references) or not self._complete[index]:
            raise Amf0Error(f"AMF0 reference {index} to no complete value")
        return self._references[index]

    def _read_amf3_scalar(self) -> Value:
        marker = self._read_u8()
        match marker:
            case 0x00:
                return UNDEFINED
            case 0x01:
                return None
            case 0x02 | 0x03:
                return marker == 0x03
            case 0x04:
                number = self._read_u29()
                return float(number - (1 << 29) if number >= 1 << 28 else number)
            case 0x05:
                return self._read_f64()
            case 0x06:
                header = self._read_u29()
                if header & 1 == 0:
                    raise Amf0Error("AMF3 string reference")
                return self._read_text(header >> 1)
            case _:
                raise Amf0Error(f"AMF3 value of kind {marker:#04x}")

    def _read_u29(self) -> int:
        number = 0
        for _ in range(3):
            byte = self._read_u8()
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number
        return number << 8 | self._read_u8()


def encode(*values: Value | int) -> bytes:
    """The values in a row, as a message body. An int is written as a number.

    Raises:
        Amf0Error: a value is nested too deep, or there are too many, as in `Amf0Limits()`, or
            they are longer than a message. What was decoded may be: a reference is written out.
    """
    writer = _Writer(DEFAULT_LIMITS)
    for value in values:
        writer.write(value, 0)
    return bytes(writer.out)


def encode_ecma_array(members: Mapping[str, Value | int]) -> bytes:
    """One ECMA array (marker 08): the form in which players want onMetaData."""
    return encode(EcmaArray(members))


class _Writer:
    __slots__ = ("_limits", "_values", "out")

    def __init__(self, limits: Amf0Limits) -> None:
        self.out = bytearray()
        self._limits = limits
        self._values = 0

    def write(self, value: Value | int, depth: int) -> None:
        self._values += 1
        if self._values > self._limits.values or depth > self._limits.depth:
            raise Amf0Error("AMF0 value too deep or too large to write")
        out = self.out
        if len(out) > MAX_ENCODED_BYTES:
            raise Amf0Error(f"AMF0 values of more than {MAX_ENCODED_BYTES} bytes")
        match value:
            case bool():
                out += bytes((Marker.BOOLEAN, value))
            case int() | float():
                out.append(Marker.NUMBER)
                out += _F64.pack(value)
            case str():
                self._write_string(value)
            case None:
                out.append(Marker.NULL)
            case Undefined():
                out.append(Marker.UNDEFINED)
            case EcmaArray():
                out.append(Marker.ECMA_ARRAY)
                out += _U32.pack(len(value))
                self._write_members(value, depth)
            case TypedObject():
                out.append(Marker.TYPED_OBJECT)
                self._write_key(value.class_name)
                self._write_members(value, depth)
            case dict():
                out.append(Marker.OBJECT)
                self._write_members(value, depth)
            case list():
                out.append(Marker.STRICT_ARRAY)
                out += _U32.pack(len(value))
                for item in value:
                    self.write(item, depth + 1)
            case Date():
                out.append(Marker.DATE)
                out += _DATE_BODY.pack(value.milliseconds, value.time_zone)

    def _write_string(self, text: str) -> None:
        raw = text.encode("utf-8", "replace")
        if len(raw) > 0xFFFF:
            self.out.append(Marker.LONG_STRING)
            self.out += _U32.pack(len(raw))
        else:
            self.out.append(Marker.STRING)
            self.out += _U16.pack(len(raw))
        self.out += raw

    def _write_key(self, key: str) -> None:
        raw = key.encode("utf-8", "replace")
        if len(raw) > 0xFFFF:
            raise Amf0Error(f"AMF0 name of {len(raw)} bytes exceeds 65535")
        self.out += _U16.pack(len(raw))
        self.out += raw

    def _write_members(self, members: Mapping[str, Value], depth: int) -> None:
        for key, member in members.items():
            self._write_key(key)
            self.write(member, depth + 1)
        self.out += _END
