"""common/codecs/av1.py: AV1 configuration records, and where decoders can begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.av1 import (
    Av1Config,
    ObuType,
    codec_string_of_record,
    is_random_access,
    obus,
    parse_config,
    read_unit,
    sequence_header_of,
)
from common.errors import Av1Error
from common.media.units import VideoCodec
from tests.kit.coded_tracks import coded_track
from tests.kit.coded_video import CodedSpec, coded_video

PLAIN = CodedSpec(VideoCodec.AV1)
# with pictures that are shown later, several in a temporal unit
REORDERED = CodedSpec(VideoCodec.AV1, parameters=("pred-struct=2", "rc=1"))
DELIMITER = b"\x12\0"


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ("81 04 0c 00", "av01.0.04M.08"),
        ("81 04 4c 00", "av01.0.04M.10"),
        ("81 0d cc 00", "av01.0.13H.10"),
        ("81 28 00 00", "av01.1.08M.08.0.000.01.01.01.0"),  # 4:4:4
        ("81 48 6c 00", "av01.2.08M.12"),
        ("81 48 68 00", "av01.2.08M.12.0.100.01.01.01.0"),  # 4:2:2
        ("81 04 1c 00", "av01.0.04M.08.1.110.01.01.01.0"),  # one colour
        ("81 04 0d 00", "av01.0.04M.08.0.111.01.01.01.0"),  # chroma with the left sample
        ("81 04 0c 00 0a 0b", "av01.0.04M.08"),  # and OBUs
    ],
)
def test_the_codec_string_is_of_profile_level_and_tier(record: str, name: str) -> None:
    assert codec_string_of_record(bytes.fromhex(record)) == name


def test_of_an_encoders_record_too() -> None:
    assert codec_string_of_record(coded_track(VideoCodec.AV1).config.record) == "av01.0.00M.08"


@pytest.mark.parametrize("record", ["", "81 04 0c", "82 04 0c 00", "01 04 0c 00"])
def test_what_cannot_be_read_is_an_error(record: str) -> None:
    with pytest.raises(Av1Error, match="AV1 configuration"):
        codec_string_of_record(bytes.fromhex(record))


@given(st.binary(max_size=8))
def test_any_bytes_are_a_record_or_an_error(data: bytes) -> None:
    try:
        codec_string_of_record(data)
    except Av1Error:
        return


@pytest.mark.parametrize("spec", [PLAIN, REORDERED])
def test_decoders_begin_at_the_encoders_keyframes(spec: CodedSpec) -> None:
    made = coded_video(spec)
    assert [is_random_access(unit.data, made.record) for unit in made.units] == [
        unit.is_key for unit in made.units
    ]
    assert all(read_unit(unit.data).has_frame for unit in made.units)


def test_a_keyframe_brings_a_sequence_header_that_says_the_same_as_the_records() -> None:
    # SVT-AV1 decides on some tools only when it has seen pictures
    made = coded_video(PLAIN)
    header = sequence_header_of(Av1Config.parse(made.record).sequence_header)
    units = [read_unit(unit.data) for unit in made.units]
    assert {sequence_header_of(unit.sequence_header) for unit in units if unit.is_key} == {header}
    assert {unit.sequence_header for unit in units if not unit.is_key} == {b""}


@pytest.mark.parametrize(
    "spec",
    [
        PLAIN,
        CodedSpec(VideoCodec.AV1, frames=1, pixel_format="yuv420p10le", colour=(9, 18, 9)),
        CodedSpec(VideoCodec.AV1, frames=1, width=190, height=106, colour=(1, 1, 1)),
    ],
)
def test_a_record_is_made_of_a_sequence_header(spec: CodedSpec) -> None:
    record = coded_video(spec).record
    config = Av1Config.parse(record)
    assert Av1Config.from_sequence_header(config.sequence_header).encode() == record
    found = parse_config(record)
    assert (found.codec, found.width, found.height) == (VideoCodec.AV1, spec.width, spec.height)


def test_a_record_without_a_sequence_header_says_nothing() -> None:
    assert Av1Config.parse(bytes.fromhex("81040c00")).sequence_header == b""
    with pytest.raises(Av1Error, match="without a sequence header"):
        parse_config(bytes.fromhex("81040c00"))


def test_delimiters_and_padding_are_left_out() -> None:
    data = coded_video(PLAIN).units[0].data
    padding = b"\x7a\2ab"
    assert read_unit(DELIMITER + data + padding) == read_unit(data)
    assert read_unit(data).data is data


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", []),
        (DELIMITER, [(ObuType.TEMPORAL_DELIMITER, 0, 2, 2)]),
        (b"\x30abc", [(ObuType.FRAME, 0, 1, 4)]),  # without a size, to the end
        (b"\x36\0\1a", [(ObuType.FRAME, 0, 3, 4)]),  # with an extension
        (b"\x32\x81\0a", [(ObuType.FRAME, 0, 3, 4)]),  # a size of more bytes than it takes
    ],
)
def test_obus_are_found_by_their_sizes(data: bytes, found: list[tuple[int, ...]]) -> None:
    assert [tuple(obu) for obu in obus(memoryview(data))] == found


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x80", "forbidden"),
        (b"\x32\5abc", "ends at 7 in 5"),
        (b"\x32", "cut short"),
        (b"\x32" + b"\xff" * 9, "cut short"),
        (b"\x36", "cut short"),
        (b"\x34", "ends at"),
        (DELIMITER * 4097, "more than 4096"),
    ],
)
def test_obus_that_cannot_be_are_an_error(data: bytes, words: str) -> None:
    with pytest.raises(Av1Error, match=words):
        obus(data)


@pytest.mark.parametrize(
    ("head", "is_key"),
    [
        (0x10, True),  # a key frame, shown
        (0x00, False),  # a key frame to be shown later
        (0x30, False),  # an inter frame
        (0x50, False),  # an intra-only frame
        (0x90, False),  # a frame that was there before
    ],
)
def test_a_shown_key_frame_is_one(head: int, is_key: bool) -> None:
    assert read_unit(bytes((0x32, 2, head, 0))).is_key == is_key


@given(st.binary(max_size=60))
def test_any_bytes_are_a_unit_or_an_error(data: bytes) -> None:
    for look in (read_unit, parse_config):
        try:
            look(data)
        except Av1Error:
            continue


@given(st.binary(max_size=60))
def test_obus_lie_one_behind_the_other(data: bytes) -> None:
    try:
        found = obus(data)
    except Av1Error:
        return
    at = 0
    for obu in found:
        assert at == obu.begin < obu.payload <= obu.end <= len(data)
        at = obu.end
    assert at == len(data)
