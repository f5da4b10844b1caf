"""AMF0: one table for reading and writing, then what must be refused."""

import contextlib
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Amf0Error
from common.flv.amf0 import (
    UNDEFINED,
    Amf0Limits,
    Date,
    EcmaArray,
    TypedObject,
    decode_all,
    decode_some,
    encode,
    encode_ecma_array,
    leading_string,
)

BOTH_WAYS = [
    ("number", 1.0, "00 3ff0000000000000"),
    ("negative number", -2000.0, "00 c09f400000000000"),
    ("true", True, "01 01"),
    ("false", False, "01 00"),
    ("string", "live", "02 0004 6c697665"),
    ("empty string", "", "02 0000"),
    ("utf-8", "é", "02 0002 c3a9"),
    ("null", None, "05"),
    ("undefined", UNDEFINED, "06"),
    ("empty object", {}, "03 000009"),
    ("object", {"app": "x", "n": 0.0}, "03 0003617070 020001 78 00016e 000000000000000000 000009"),
    ("ECMA array", EcmaArray(width=320.0), "08 00000001 0005 7769647468 004074000000000000 000009"),
    ("strict array", ["a", None], "0a 00000002 02000161 05"),
    ("empty strict array", [], "0a 00000000"),
    ("nested", {"a": {"b": [True]}}, "03 000161 03 000162 0a 00000001 0101 000009 000009"),
    ("date", Date(1000.0), "0b 408f400000000000 0000"),
    ("date with zone", Date(0.0, -60), "0b 0000000000000000 ffc4"),
]

READ_ONLY = [
    ("long string", ["ab"], "0c 00000002 6162"),
    ("XML", ["<a/>"], "0f 00000004 3c612f3e"),
    ("unsupported", [UNDEFINED], "0d"),
    ("boolean of 2", [True], "01 02"),
    ("ECMA count is a hint", [EcmaArray(a=True)], "08 ffffffff 0001 61 0101 000009"),
    ("member with an empty name", [{"": True}], "03 0000 0101 000009"),
    ("reference to an object", [{}, {}], "03 000009 07 0000"),
    ("reference to the inner one", [[["x"]], ["x"]], "0a00000001 0a00000001 02000178 07 0001"),
    ("broken UTF-8", ["\ufffd"], "02 0001 ff"),
    ("AMF3 null", [None], "11 01"),
    ("AMF3 undefined", [UNDEFINED], "11 00"),
    ("AMF3 booleans", [False, True], "11 02 11 03"),
    ("AMF3 integer", [300.0], "11 04 822c"),
    ("AMF3 negative integer", [-1.0], "11 04 ffffffff"),
    ("AMF3 double", [1.0], "11 05 3ff0000000000000"),
    ("AMF3 string", ["key"], "11 06 07 6b6579"),
]


@pytest.mark.parametrize(
    ("value", "raw"), [c[1:] for c in BOTH_WAYS], ids=[c[0] for c in BOTH_WAYS]
)
def test_values_are_read_and_written(value, raw):
    raw = bytes.fromhex(raw)
    assert encode(value) == raw
    (read,) = decode_all(raw)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("values", "raw"), [c[1:] for c in READ_ONLY], ids=[c[0] for c in READ_ONLY]
)
def test_other_forms_are_read(values, raw):
    assert decode_all(bytes.fromhex(raw)) == values


ALL_RAW = [bytes.fromhex(c[2]) for c in BOTH_WAYS + READ_ONLY]


@pytest.mark.parametrize("raw", ALL_RAW)
def test_every_cut_is_an_error_or_fewer_values(raw):
    whole = decode_all(raw)
    for size in range(len(raw)):
        with contextlib.suppress(Amf0Error):
            assert len(decode_all(raw[:size])) < len(whole)


def test_typed_objects_keep_their_class_name():
    raw = bytes.fromhex("10 0003 666f6f 0001 61 05 000009")
    (value,) = decode_all(raw)
    assert isinstance(value, TypedObject)
    assert (value.class_name, dict(value)) == ("foo", {"a": None})
    assert encode(value) == raw


def test_a_string_over_64_k_is_written_as_a_long_string():
    text = "x" * 70_000
    raw = encode(text)
    assert raw[:5] == bytes.fromhex("0c 00011170")
    assert decode_all(raw) == [text]


def test_the_publish_start_status_has_the_known_bytes():
    raw = encode(
        "onStatus",
        0,
        None,
        {
            "level": "status",
            "code": "NetStream.Publish.Start",
            "description": "Start publishing",
        },
    )
    assert len(raw) == 105
    assert raw == bytes.fromhex(
        "02 0008" + b"onStatus".hex() + "00 0000000000000000 05 03"
        "0005" + b"level".hex() + "02 0006" + b"status".hex() +
        "0004" + b"code".hex() + "02 0017" + b"NetStream.Publish.Start".hex() +
        "000b" + b"description".hex() + "02 0010" + b"Start publishing".hex() + "000009"
    )  # fmt: skip


def test_metadata_is_an_ecma_array_and_ints_are_numbers():
    raw = encode_ecma_array({"width": 1280, "stereo": True})
    assert raw[0] == 8
    assert decode_all(raw) == [EcmaArray(width=1280.0, stereo=True)]


def test_a_nan_keeps_its_bits():
    raw = bytes.fromhex("00 7ff8dead beef0001")
    (number,) = decode_all(raw)
    assert isinstance(number, float)
    assert math.isnan(number)
    assert encode(number) == raw


REFUSED = {
    "unknown marker": "ff",
    "movie clip": "04",
    "record set": "0e",
    "object end alone": "09",
    "string beyond the end": "02 ffff 61",
    "long string of 4 GB": "0c ffffffff 61",
    "array of 4 G values": "0a ffffffff 05",
    "reference to nothing": "07 0000",
    "reference to what contains it": "03 0001 61 07 0000 000009",
    "reference beyond the table": "03 000009 07 0001",
    "AMF3 object": "11 0a 01",
    "AMF3 string reference": "11 06 00",
    "AMF3 string of 256 MB": "11 06 ffffffff",
    "object without end": "03 0001 61 05",
    "date cut short": "0b 00",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_unreadable_values_are_amf0_errors(raw):
    with pytest.raises(Amf0Error):
        decode_all(bytes.fromhex(raw))


@pytest.mark.parametrize(
    "opening", ["03 000161", "0a 00000001", "08 00000000 000161", "10 0000 000161"]
)
def test_a_thousand_levels_are_refused_without_recursion(opening):
    with pytest.raises(Amf0Error, match="deeper than 16"):
        decode_all(bytes.fromhex(opening) * 1000)


def test_sixteen_levels_are_read_and_seventeen_are_not():
    def nested(levels):
        return bytes.fromhex("0a00000001") * levels + b"\x05"

    assert len(decode_all(nested(16))) == 1
    with pytest.raises(Amf0Error):
        decode_all(nested(17))


def test_too_many_values_are_refused_members_included():
    limits = Amf0Limits(values=10)
    assert len(decode_all(b"\x05" * 10, limits)) == 10
    with pytest.raises(Amf0Error, match="more than 10"):
        decode_all(b"\x05" * 11, limits)
    with pytest.raises(Amf0Error, match="more than 10"):
        decode_all(bytes.fromhex("0a 0000000a") + b"\x05" * 10, limits)


@pytest.mark.parametrize("count", range(5))
def test_some_values_are_read_and_what_is_behind_them_is_not(count):
    raw = encode("a", {"b": 1.0}, None)
    values, offset = decode_some(raw + b"\xff" * 10, min(count, 3))
    assert values == ["a", {"b": 1.0}, None][:count]
    assert offset == len(encode(*values))
    rest, end = decode_some(raw, 9, offset=offset)
    assert [*values, *rest] == ["a", {"b": 1.0}, None]
    assert end == len(raw)


def test_references_cannot_be_used_to_write_without_bound():
    inner = bytes.fromhex("0a 00000064") + b"\x05" * 100
    values = decode_all(inner + bytes.fromhex("0a 00000064") + bytes.fromhex("07 0000") * 100)
    with pytest.raises(Amf0Error):
        encode(*values)


def test_references_to_a_long_value_are_not_written_out_without_bound() -> None:
    text = b"\x0c" + (100_000).to_bytes(4, "big") + bytes(100_000)
    raw = b"\x0a\x00\x00\x00\x01" + text + b"\x07\x00\x00" * 4000
    values = decode_all(raw)
    assert len(values) == 4001
    with pytest.raises(Amf0Error, match="more than 16777215 bytes"):  # 400 MB
        encode(*values)


def test_a_name_over_64_k_is_not_written():
    with pytest.raises(Amf0Error):
        encode({"x" * 70_000: None})


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("02 0003 616263 05", ("abc", 6)),
        ("02 0000", ("", 3)),
        ("02 0003 6162", None),
        ("00 00000000", None),
        ("", None),
        ("02", None),
    ],
)
def test_the_leading_string_of_a_data_message_is_found(raw, wanted):
    assert leading_string(bytes.fromhex(raw)) == wanted


values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.just(UNDEFINED)
    | st.builds(Date, st.floats(allow_nan=False), st.integers(-720, 720)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        | st.builds(EcmaArray, st.dictionaries(st.text(max_size=8), inner, max_size=4))
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(values, max_size=4))
def test_whatever_is_written_is_read_again(given_values):
    assert decode_all(encode(*given_values)) == given_values


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80) | st.sampled_from(ALL_RAW).flatmap(
    lambda raw: st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)).map(
        lambda at: raw[: at[0]] + bytes((at[1],)) + raw[at[0] + 1 :]
    )
))  # fmt: skip
def test_any_bytes_give_values_or_an_amf0_error(raw):
    with contextlib.suppress(Amf0Error):
        decode_all(raw)


def test_doubles_are_big_endian():
    assert encode(1.5) == b"\x00" + struct.pack(">d", 1.5)
