"""common/ipc/envelope.py and the messages registered on it."""

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import SourceFormat
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc import envelope
from common.ipc.control_messages import (
    DeviceInfo,
    EgressRoutes,
    Hello,
    Placement,
    Welcome,
)
from common.ipc.envelope import decode, decode_frames, encode, from_plain, to_plain
from common.ipc.identity import BootId, Generation, StreamId
from common.ipc.media_messages import (
    AccessUnit,
    RenditionOpen,
    RenditionVideo,
    StreamStart,
    TagHeader,
    Tags,
)
from common.ipc.status_messages import ChildFloods, PublisherStatus
from common.media.clock import ClockReference
from common.media.units import VideoCodec
from tests.kit.children import CPU0, EGRESS0, EGRESS1, dedicated

TEMPLATE = Settings().templates[0]
STREAM = StreamId("live/cam1")
GENERATION = Generation(7)

CASES = [
    AccessUnit(STREAM, GENERATION, 4, VideoCodec.H264, 0, 400, -33, False, 1234.5),
    Tags(
        STREAM,
        GENERATION,
        "720p",
        4,
        (TagHeader(9, "h264", 400, -33, 1, 1234.5), TagHeader(8, "aac", 401, 0, 0, 1.0)),
    ),
    StreamStart(
        STREAM, GENERATION, TEMPLATE, VideoCodec.H264, ClockReference(0, 12.5), resume_after_ms=40
    ),
    RenditionOpen(
        STREAM, GENERATION, "720p", 4, RenditionVideo("h264", 1280, 720, 2_000_000, 30_000, 1001)
    ),
    Welcome(BootId("b" * 16), Settings(), ()),
    Placement(3, STREAM, GENERATION, TEMPLATE, None, ("720p",), "no device has room"),
    Placement(3, STREAM, GENERATION, TEMPLATE, dedicated(1), ("720p",), "alone"),
    ChildFloods(CPU0, "more than may wait"),
    EgressRoutes(((STREAM, (EGRESS0, EGRESS1)),)),
]


@pytest.mark.parametrize("value", CASES, ids=lambda value: type(value).__name__)
def test_a_message_comes_back_as_it_went(value: object) -> None:
    assert decode(encode(value)) == value


def test_nested_values_keep_fractions_maps_and_none() -> None:
    status = PublisherStatus(
        STREAM,
        GENERATION,
        CPU0,
        "127.0.0.1:5",
        1.0,
        True,
        ClockReference(0, 2.0),
        format=SourceFormat(640, 360, Fraction(4, 3), Fraction(30000, 1001)),
        dropped={"worker queue": 3},
    )
    assert from_plain(PublisherStatus, msgpack.unpackb(msgpack.packb(to_plain(status)))) == status


@pytest.mark.parametrize("value", CASES, ids=lambda value: type(value).__name__)
def test_every_truncation_is_an_envelope_error(value: object) -> None:
    data = encode(value)
    for end in range(len(data)):
        with pytest.raises(EnvelopeError):
            decode(data[:end])


@settings(max_examples=200)
@given(st.binary(max_size=64))
def test_any_bytes_give_a_message_or_an_envelope_error(data: bytes) -> None:
    with suppress(EnvelopeError):
        decode(data)


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=12,
    ),
    st.sampled_from(sorted(envelope.kinds())),
)
def test_wrong_fields_of_any_kind_are_an_envelope_error(fields: object, kind: str) -> None:
    values = fields if isinstance(fields, list) else [fields]
    with suppress(EnvelopeError):
        decode(msgpack.packb([envelope.VERSION, kind, *values]))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([envelope.VERSION + 1, "tags"], "version"),
        ([envelope.VERSION, "no-such"], "unknown message kind"),
        ([envelope.VERSION, ["tags"]], "unknown message kind"),
        ([envelope.VERSION], "no array"),
        ({"a": 1}, "no array"),
        ([envelope.VERSION, "stream-end", "live/cam1", "seven", "x"], "str where int"),
        ([envelope.VERSION, "stream-end", "live/cam1"], "not 3 fields"),
        ([envelope.VERSION, "stream-end", "live/cam1", True, "x"], "bool where int"),
    ],
)
def test_an_unreadable_envelope_says_what_is_wrong(values: object, text: str) -> None:
    with pytest.raises(EnvelopeError, match=text):
        decode(msgpack.packb(values))


def test_an_older_sender_may_leave_out_fields_with_defaults() -> None:
    short = msgpack.unpackb(encode(CASES[0]))[:-1]
    assert decode(msgpack.packb(short)) == CASES[0]


@pytest.mark.parametrize("value", CASES, ids=lambda value: type(value).__name__)
def test_what_a_newer_sender_adds_is_left_alone(value: object) -> None:
    longer = [*msgpack.unpackb(encode(value)), "of a later version", 7]
    assert decode(msgpack.packb(longer)) == value


def test_an_older_child_reads_the_settings_of_a_newer_supervisor() -> None:
    welcome = Welcome(BootId("e" * 16), Settings(), ())
    longer = msgpack.unpackb(encode(welcome))
    longer[3].append("of a later version")
    assert decode(msgpack.packb(longer)) == welcome


def test_the_tags_of_a_message_are_read_as_named_tuples_and_checked_one_and_all() -> None:
    good = [9, "h264", 400, -33, 1, 1234.5]
    head = [envelope.VERSION, "tags", STREAM, GENERATION, "720p", 4]
    read = decode(msgpack.packb([*head, [good, good], 1.0]))
    assert [type(header) for header in read.tags] == [TagHeader, TagHeader]
    assert read.tags[1].composition_ms == -33
    whole = decode(msgpack.packb([*head, [good, [*good[:5], 1]], 1.0])).tags[1].received_s
    assert (whole, type(whole)) == (1.0, float), "msgpack may say a whole number as an integer"
    for bad in (
        [good, good[:5]],
        [good[:5], [*good, 1.0]],  # as many values in all as two have
        [good, {i: 0 for i in "abcdef"}],
        [good, "h26412"],
        [good, 5],
        [None],
        good,
        "tags",
    ):
        with pytest.raises(EnvelopeError):
            decode(msgpack.packb([*head, bad, 1.0]))


def test_a_rate_that_is_not_known_is_none() -> None:
    assert RenditionVideo("h264", 1280, 720).fps is None
    assert RenditionVideo("h264", 1280, 720, 0, 30_000, 1001).fps == Fraction(30_000, 1001)


def test_a_codec_that_nobody_knows_is_an_envelope_error() -> None:
    unit = msgpack.unpackb(encode(CASES[0]))
    unit[unit.index("h264")] = "mpeg2"
    with pytest.raises(EnvelopeError, match="no VideoCodec"):
        decode(msgpack.packb(unit))


def test_payload_and_envelope_sizes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    good = encode(CASES[0])
    assert decode_frames([good, b"x"]) == (CASES[0], [b"x"])
    with pytest.raises(EnvelopeError, match="0 frames"):
        decode_frames([])
    with pytest.raises(EnvelopeError, match="frames"):
        decode_frames([good] * (envelope.MAX_FRAMES + 1))
    monkeypatch.setattr(envelope, "MAX_PAYLOAD_BYTES", 10)
    with pytest.raises(EnvelopeError, match="payloads exceed"):
        decode_frames([good, b"x" * 11])
    monkeypatch.setattr(envelope, "MAX_ENVELOPE_BYTES", 10)
    with pytest.raises(EnvelopeError, match="exceeds"):
        decode(good)


def test_a_kind_is_registered_once() -> None:
    with pytest.raises(ValueError, match="taken"):
        envelope.message("hello")(Hello)


def test_a_type_without_envelope_form_is_refused_at_registration() -> None:
    class Colour(StrEnum):
        RED = "red"

    @dataclass(frozen=True)
    class Good:
        colour: Colour | None

    @dataclass(frozen=True)
    class Bad:
        anything: object

    Good.__annotations__["colour"] = Colour | None
    assert from_plain(Good, to_plain(Good(Colour.RED))) == Good(Colour.RED)
    with pytest.raises(EnvelopeError, match="no Colour"):
        from_plain(Good, ["blue"])
    Bad.__annotations__["anything"] = object
    with pytest.raises(TypeError, match="no envelope form"):
        to_plain(Bad(1))


@pytest.mark.parametrize(
    "data",
    [
        b"\x93\x01\xa4tags\x81\x90\xc0",  # an array as the key of a map
        b"\x92" + b"\x91" * 1010 + b"\xc0\xc0",  # a version nested deeper than repr can go
        b"\x92\x01" + b"\x91" * 1010 + b"\xc0",  # a kind likewise
        b"\x93\x01\xa4tags\xdd\x00\x01\x00\x00" + b"\xc0" * 0x10000,  # a long array
        b"\x93\x01\xa4tags" + b"\xdd\x00\x3f\xff\xff" * 800_000,  # claims of 4 million each
    ],
    ids=["key", "version", "kind", "array", "arrays"],
)
def test_what_msgpack_can_say_and_python_cannot_take_is_an_envelope_error(data: bytes) -> None:
    with pytest.raises(EnvelopeError) as caught:
        decode(data)
    assert len(str(caught.value)) < 200


def test_an_enum_of_a_deep_value_is_an_envelope_error() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    plain = to_plain(DeviceInfo("cpu:0", "software", "2 cores"))
    plain[3] = deep
    with pytest.raises(EnvelopeError, match="no Pipeline: list"):
        from_plain(DeviceInfo, plain)


def test_a_fraction_needs_a_denominator_above_zero() -> None:
    plain = to_plain(SourceFormat(640, 360, Fraction(4, 3), Fraction(25)))
    for denominator in (0, -1):
        plain[2] = [2**64 - 1, denominator]  # by -1 it could be read, but not sent on
        with pytest.raises(EnvelopeError, match="no fraction"):
            from_plain(SourceFormat, plain)
