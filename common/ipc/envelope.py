"""What crosses between processes: a msgpack envelope, then payload frames of untouched bytes. Pure.

A message is a frozen dataclass registered with `@message(kind)`. Its envelope is the msgpack array
`[VERSION, kind, field, …]`, fields in order of declaration; payloads follow as frames of their own,
so that media is never copied into msgpack. Everything read is checked against the annotations:
anything else raises `EnvelopeError`, which the reader counts and drops. Fields may be added at the
end with a default: an older sender's shorter array is then still read, and what a newer one adds is
left alone, since while a farm is upgraded old and new processes talk.

The messages themselves stand in `media_messages.py` and `control_messages.py`.
"""

import dataclasses
import operator
import types
import typing
from collections.abc import Callable, Sequence
from enum import Enum, StrEnum
from fractions import Fraction
from itertools import chain, repeat
from typing import Any, TypeVar

import msgpack

from common.errors import EnvelopeError

VERSION = 2
MAX_ENVELOPE_BYTES = 4 * 1024 * 1024
MAX_FRAMES = 4096
MAX_ITEMS = 16_384  # of one array or map: msgpack takes memory for as many as a length claims
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

T = TypeVar("T")
Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]


class _Layout:
    """Writes and reads one dataclass."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        hints = typing.get_type_hints(cls)
        fields = dataclasses.fields(cls)
        self.names = tuple(field.name for field in fields)
        self.readers = tuple(_reader(hints[field.name]) for field in fields)
        # What plain values look like: one comparison then checks all of them.
        self.shape = tuple(_wire_type(hints[field.name]) for field in fields)
        self.nested = tuple(
            (i, read)
            for i, (read, plain) in enumerate(zip(self.readers, self.shape, strict=True))
            if plain is list or _is_text_enum(hints[self.names[i]])
        )
        self.get = operator.attrgetter(*self.names) if len(self.names) > 1 else None
        writers = tuple(_writer(hints[field.name]) for field in fields)
        self.special = tuple((i, write) for i, write in enumerate(writers) if write is not None)
        self.required = sum(
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            for field in fields
        )

    def to_list(self, value: Any) -> list[Any]:
        values = list(self.get(value)) if self.get else [getattr(value, n) for n in self.names]
        for i, write in self.special:
            values[i] = write(values[i])
        return values

    def from_list(self, values: Any) -> Any:
        if not isinstance(values, list) or len(values) < self.required:
            raise EnvelopeError(f"{self.cls.__name__}: not {len(self.names)} fields")
        if len(values) > len(self.names):
            values = values[: len(self.names)]
        if tuple(map(type, values)) == self.shape:
            for i, read in self.nested:
                values[i] = read(values[i])
            return self.cls(*values)
        readers = self.readers
        return self.cls(*[readers[i](value) for i, value in enumerate(values)])


# One for all, since making one costs a fifth of a message; it never gives the GIL away.
_pack = msgpack.Packer(buf_size=16 * 1024).pack

_kinds: dict[str, _Layout] = {}
_layouts: dict[type, _Layout] = {}
_kind_of: dict[type, str] = {}


def message(kind: str) -> Callable[[type[T]], type[T]]:
    """Register a frozen dataclass as the message `kind`."""

    def register(cls: type[T]) -> type[T]:
        if kind in _kinds:
            raise ValueError(f"message kind {kind!r} is taken")
        _kinds[kind] = _layout(cls)
        _kind_of[cls] = kind
        return cls

    return register


def kinds() -> dict[str, type]:
    """Every registered message kind and its class."""
    return {kind: layout.cls for kind, layout in _kinds.items()}


def encode(value: object) -> bytes:
    """The envelope frame of a registered message."""
    kind = _kind_of[type(value)]
    packed: bytes = _pack([VERSION, kind, *_kinds[kind].to_list(value)])
    return packed


def decode(envelope: bytes) -> Any:
    """The message in an envelope frame.

    Raises:
        EnvelopeError: too large, no msgpack, another version, an unknown kind, a wrong field.
    """
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise EnvelopeError(f"envelope of {len(envelope)} bytes exceeds {MAX_ENVELOPE_BYTES}")
    try:
        values = msgpack.unpackb(
            envelope, strict_map_key=True, max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise EnvelopeError(f"envelope is no msgpack: {type(error).__name__}") from error
    if not isinstance(values, list) or len(values) < 2:
        raise EnvelopeError("envelope is no array")
    version, kind = values[0], values[1]
    if version != VERSION:
        raise EnvelopeError(f"envelope of version {_shown(version)}, not {VERSION}")
    layout = _kinds.get(kind) if isinstance(kind, str) else None
    if layout is None:
        raise EnvelopeError(f"unknown message kind {_shown(kind)}")
    return layout.from_list(values[2:])


def decode_frames(frames: Sequence[bytes]) -> tuple[Any, Sequence[bytes]]:
    """The message and its payload frames, sizes checked.

    Raises:
        EnvelopeError: as `decode`, or too many or too large payloads.
    """
    if not 1 <= len(frames) <= MAX_FRAMES:
        raise EnvelopeError(f"message of {len(frames)} frames")
    payloads = frames[1:]
    if sum(map(len, payloads)) > MAX_PAYLOAD_BYTES:
        raise EnvelopeError(f"payloads exceed {MAX_PAYLOAD_BYTES} bytes")
    return decode(frames[0]), payloads


def to_plain(value: object) -> Any:
    """A dataclass as lists, numbers and strings that msgpack takes (for nested snapshots)."""
    return _layout(type(value)).to_list(value)


def from_plain(cls: type[T], values: Any) -> T:
    """The inverse of `to_plain`. Raises EnvelopeError."""
    read: T = _layout(cls).from_list(values)
    return read


def _shown(value: object) -> str:
    """A received value for a message to people: short, whatever came."""
    return repr(value)[:40] if type(value) in (int, float, bool, str) else type(value).__name__


def _layout(cls: type) -> _Layout:
    layout = _layouts.get(cls)
    if layout is None:
        layout = _layouts[cls] = _Layout(cls)
    return layout


def _reader(hint: Any) -> Reader:
    hint = _plain(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _optional_reader(_reader(_without_none(arguments)))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            if _is_named_tuple(arguments[0]):
                return _named_sequence_reader(arguments[0])
            return _sequence_reader(_reader(arguments[0]))
        shape = tuple(_wire_type(argument) for argument in arguments)
        return _fixed_reader(tuple(_reader(argument) for argument in arguments), shape)
    if origin is dict:
        return _dict_reader(_reader(arguments[0]), _reader(arguments[1]))
    if _is_named_tuple(hint):
        return _named_reader(hint)
    if hint is float:
        return _float_reader
    if hint is Fraction:
        return _fraction_reader
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum_reader(hint)
    if hint in (int, str, bytes, bool):
        return _scalar_reader(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return lambda value: _layout(hint).from_list(value)
    raise TypeError(f"no envelope form for {hint!r}")


def _wire_type(hint: Any) -> type | None:
    """The type of a field's values in msgpack; None where it may be one of several."""
    hint = _plain(hint)
    if hint in (int, str, bytes, bool, float):
        plain: type = hint
        return plain
    if _is_text_enum(hint):
        return str
    return list if typing.get_origin(hint) is tuple or _is_named_tuple(hint) else None


def _is_text_enum(hint: Any) -> bool:
    """Whether values of this type are strings for msgpack as they are."""
    return isinstance(hint, type) and issubclass(hint, StrEnum)


def _is_named_tuple(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")


def _writer(hint: Any) -> Writer | None:
    """Make the writer of a field of this type; None: it is written as it is."""
    hint = _plain(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _optional_writer(_writer(_without_none(arguments)))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return _sequence_writer(_writer(arguments[0]))
        inners = tuple(_writer(argument) for argument in arguments)
        if all(write is None for write in inners):
            return None
        return lambda v: [
            write(item) if write else item for write, item in zip(inners, v, strict=True)
        ]
    if origin is dict:
        return _dict_writer(_writer(arguments[1]))
    if _is_named_tuple(hint):
        return None
    if _is_text_enum(hint):
        return str.__str__  # the plain string
    if hint is Fraction:
        return lambda v: [v.numerator, v.denominator]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda v: v.value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return lambda v: _layout(hint).to_list(v)
    return None


def _optional_writer(inner: Writer | None) -> Writer | None:
    return None if inner is None else lambda v: None if v is None else inner(v)


def _sequence_writer(inner: Writer | None) -> Writer | None:
    return None if inner is None else lambda v: [inner(item) for item in v]


def _dict_writer(inner: Writer | None) -> Writer | None:
    return None if inner is None else lambda v: {key: inner(item) for key, item in v.items()}


def _plain(hint: Any) -> Any:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    return hint


def _without_none(arguments: tuple[Any, ...]) -> Any:
    rest = [argument for argument in arguments if argument is not type(None)]
    if len(rest) != 1:
        raise TypeError(f"no envelope form for a union of {arguments!r}")
    return rest[0]


def _scalar_reader(cls: type) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not cls:
            raise EnvelopeError(f"{type(value).__name__} where {cls.__name__} belongs")
        return value

    return read


def _float_reader(value: Any) -> float:
    if type(value) not in (float, int):
        raise EnvelopeError(f"{type(value).__name__} where float belongs")
    return float(value)


def _fraction_reader(value: Any) -> Fraction:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(type(part) is int for part in value)
        or value[1] <= 0
    ):
        raise EnvelopeError("no fraction")
    return Fraction(value[0], value[1])


def _enum_reader(cls: type[Enum]) -> Reader:
    members = {member.value: member for member in cls}

    def read(value: Any) -> Any:
        member = members.get(value) if type(value) in (int, str) else None
        if member is None:
            raise EnvelopeError(f"no {cls.__name__}: {_shown(value)}")
        return member

    return read


def _optional_reader(inner: Reader) -> Reader:
    return lambda value: None if value is None else inner(value)


def _sequence_reader(inner: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise EnvelopeError(f"{type(value).__name__} where an array belongs")
        return tuple([inner(item) for item in value])

    return read


def _fixed_reader(inners: tuple[Reader, ...], shape: tuple[type | None, ...]) -> Reader:
    is_plain = None not in shape and list not in shape

    def read(value: Any) -> Any:
        if is_plain and type(value) is list and tuple(map(type, value)) == shape:
            return tuple(value)
        if not isinstance(value, list) or len(value) != len(inners):
            raise EnvelopeError(f"no array of {len(inners)}")
        return tuple([inner(item) for inner, item in zip(inners, value, strict=True)])

    return read


def _named_shape(cls: Any) -> tuple[type, ...]:
    """The wire types of a NamedTuple's fields, which must all be plain.

    Such types are for what is made by the thousand: reading one costs a third of a dataclass.
    """
    hints = typing.get_type_hints(cls)
    fields = [hints[name] for name in cls._fields]
    shape = tuple(_wire_type(hint) for hint in fields)
    if None in shape or list in shape or any(map(_is_text_enum, fields)):
        raise TypeError(f"no envelope form for {cls!r}: its fields are not all plain")
    return typing.cast(tuple[type, ...], shape)


def _named_reader(cls: Any) -> Reader:
    shape, new = _named_shape(cls), tuple.__new__
    hints = typing.get_type_hints(cls)
    inners = tuple(_reader(hints[name]) for name in cls._fields)

    def read(value: Any) -> Any:
        if type(value) is list and tuple(map(type, value)) == shape:
            return new(cls, value)
        if not isinstance(value, list) or len(value) != len(inners):
            raise EnvelopeError(f"no {cls.__name__}")
        return new(cls, [inner(item) for inner, item in zip(inners, value, strict=True)])

    return read


def _named_sequence_reader(cls: Any) -> Reader:
    """As `_sequence_reader`, the values of all checked, and all made, at once."""
    shape, new, read_one = _named_shape(cls), tuple.__new__, _named_reader(cls)
    lengths = {len(shape)}

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise EnvelopeError(f"{type(value).__name__} where an array belongs")
        if len(value) == 1:  # a picture's tag
            return (read_one(value[0]),)
        try:
            is_plain = lengths.issuperset(map(len, value)) and (
                tuple(map(type, chain.from_iterable(value))) == shape * len(value)
            )
        except TypeError:  # an item that is no array
            is_plain = False
        if is_plain:
            return tuple(map(new, repeat(cls), value))
        return tuple(map(read_one, value))

    return read


def _dict_reader(key: Reader, inner: Reader) -> Reader:
    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise EnvelopeError(f"{type(value).__name__} where a map belongs")
        return {key(k): inner(v) for k, v in value.items()}

    return read
