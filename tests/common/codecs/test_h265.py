"""common/codecs/h265.py: HEVC configuration records, and where decoders can begin."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.h264 import join_avcc, split_avcc
from common.codecs.h265 import (
    HevcConfig,
    NalType,
    codec_string_of_record,
    is_random_access,
    is_record,
    nal_type,
    parameter_sets_in,
    parse_config,
    slice_type,
    with_complete_arrays,
)
from common.errors import HevcError, ProtocolError
from common.media.units import VideoCodec
from tests.kit import ingest_ports
from tests.kit.coded_tracks import coded_track
from tests.kit.coded_video import CodedSpec, coded_video

OPEN_GOPS = CodedSpec(VideoCodec.H265, b_frames=3)


def record(
    *,
    space: int = 0,
    tier: int = 0,
    profile: int = 1,
    flags: int = 0x60000000,
    constraints: str = "b00000000000",
    level: int = 93,
    arrays: bytes = b"\0",
) -> bytes:
    head = bytes((1, space << 6 | tier << 5 | profile)) + flags.to_bytes(4, "big")
    return head + bytes.fromhex(constraints) + bytes((level,)) + bytes(9) + arrays


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (record(), "hvc1.1.6.L93.B0"),  # the example of 14496-15, E.3
        (record(profile=2, flags=0x20000000, level=153), "hvc1.2.4.L153.B0"),
        (record(space=1, profile=4, flags=0x08000000, tier=1), "hvc1.A4.10.H93.B0"),
        (record(constraints="000000000000"), "hvc1.1.6.L93"),
        (record(constraints="900800000000"), "hvc1.1.6.L93.90.8"),
        (record(constraints="b00000000001"), "hvc1.1.6.L93.B0.0.0.0.0.1"),
        (record(flags=0), "hvc1.1.0.L93.B0"),
    ],
)
def test_the_codec_string_is_of_profile_tier_and_level(made: bytes, name: str) -> None:
    assert codec_string_of_record(made) == name


def test_all_parameter_sets_are_said_to_be_in_the_record() -> None:
    nal = b"\0\2ab"
    arrays = b"\2" + b"\x20\0\2" + nal + nal + b"\xa1\0\1" + nal
    wanted = b"\2" + b"\xa0\0\2" + nal + nal + b"\xa1\0\1" + nal
    assert with_complete_arrays(record(arrays=arrays)) == record(arrays=wanted)


def test_of_an_encoders_record_each_array_is_complete() -> None:
    found = coded_track(VideoCodec.H265).config.record
    assert codec_string_of_record(found).startswith("hvc1.1.6.L60")
    assert len(with_complete_arrays(found)) == len(found)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (b"", "of 0 bytes"),
        (record()[:22], "of 22 bytes"),
        (b"\2" + record()[1:], "version 2"),
        (record(arrays=b"\1\x20"), "within its arrays"),
        (record(arrays=b"\1\x20\0\1\0\5abcd"), "ends beyond"),
        (record(arrays=b"\1\x20\xff\xff\0\0"), "ends beyond"),
    ],
)
def test_what_cannot_be_read_is_an_error(made: bytes, words: str) -> None:
    with pytest.raises(HevcError, match=words):
        with_complete_arrays(made)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_record_or_an_error(data: bytes) -> None:
    for look in (codec_string_of_record, with_complete_arrays, HevcConfig.parse, parse_config):
        try:
            look(data)
        except HevcError:
            continue


def test_an_encoders_record_says_what_the_pictures_are() -> None:
    made = coded_video(OPEN_GOPS)
    config = parse_config(made.record)
    assert (config.codec, config.width, config.height) == (VideoCodec.H265, 192, 108)
    assert config.fps == Fraction(25)
    assert (config.bits_per_pixel, config.reference_frames) == (12, 4)


def test_a_record_is_written_as_it_was_read() -> None:
    config = HevcConfig.parse(coded_video(OPEN_GOPS).record)
    assert [nal_type(nal) for nal in (*config.vps, *config.sps, *config.pps, *config.sei)] == [
        NalType.VPS,
        NalType.SPS,
        NalType.PPS,
        NalType.PREFIX_SEI,
    ]
    assert HevcConfig.parse(config.encode()) == config


def test_a_record_is_made_of_parameter_sets() -> None:
    config = HevcConfig.parse(coded_video(OPEN_GOPS).record)
    made = HevcConfig.from_parameter_sets(config.vps, config.sps, config.pps)
    assert made.encode()[:13] == coded_video(OPEN_GOPS).record[:13]
    assert HevcConfig.parse(made.encode()) == made
    assert config.with_sets(config.vps, config.sps, config.pps) == config
    assert HevcConfig.from_parameter_sets((), config.sps, (), 2).nal_length_size == 2
    with pytest.raises(HevcError, match="no SPS"):
        HevcConfig.from_parameter_sets(config.vps, (), config.pps)


def test_a_record_is_told_from_that_of_h264() -> None:
    assert is_record(coded_video(OPEN_GOPS).record)
    assert not is_record(ingest_ports.record())
    assert not is_record(record())  # without parameter sets


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (b"\1\x01\0\1\0\2\x02\x01", "type 1 in an HEVC"),
        (b"\1\x20\0\1\0\1\x40", "NAL unit of 1 bytes"),
        (b"\1\x20\0\x41" + 65 * b"\0\2\x40\1", "more than 64"),
    ],
)
def test_a_record_holds_parameter_sets_alone(arrays: bytes, words: str) -> None:
    with pytest.raises(HevcError, match=words):
        HevcConfig.parse(record(arrays=arrays))


def test_a_record_of_the_table_without_parameter_sets_says_nothing() -> None:
    assert HevcConfig.parse(record()).sps == ()
    with pytest.raises(HevcError, match="without an SPS"):
        parse_config(record())


def test_decoders_begin_at_the_encoders_keyframes() -> None:
    made = coded_video(OPEN_GOPS)
    assert [is_random_access(unit.data, made.record) for unit in made.units] == [
        unit.is_key for unit in made.units
    ]
    kinds = [slice_type(unit.data, 4) for unit in made.units]
    assert kinds[0] == NalType.IDR_N_LP
    assert kinds[9:13] == [NalType.CRA, NalType.RASL_R, NalType.RASL_N, NalType.RASL_N]


@pytest.mark.parametrize(
    ("kind", "begins"),
    [(kind, 16 <= kind <= 23) for kind in (0, 1, 6, 8, 9, 15, 16, 17, 18, 19, 20, 21, 23, 24, 35)],
)
def test_a_picture_is_of_the_type_of_its_slices(kind: int, begins: bool) -> None:
    unit = join_avcc([b"\x46\1\x50", b"\x4e\1\0", bytes((kind << 1, 1, 0x80))])
    assert is_random_access(memoryview(unit), record()[:21] + b"\3\0") == begins
    assert slice_type(unit, 4) == (kind if kind <= 31 else -1)


def test_parameter_sets_are_found_among_nal_units() -> None:
    config = HevcConfig.parse(coded_video(OPEN_GOPS).record)
    nals = [*config.sei, *config.pps, *config.vps, b"\x26\1abc", *config.sps]
    assert parameter_sets_in(split_avcc(join_avcc(nals))) == (
        [*config.vps],
        [*config.sps],
        [*config.pps],
    )


@given(st.binary(max_size=60))
def test_any_bytes_are_a_unit_or_an_error(data: bytes) -> None:
    try:
        assert is_random_access(data, record()) in (False, True)
    except ProtocolError:
        return


@given(st.integers(0, 2500))
def test_every_cut_of_a_record_is_an_error_or_ends_behind_it(end: int) -> None:
    made = coded_video(OPEN_GOPS).record
    try:
        assert HevcConfig.parse(made[:end]) == HevcConfig.parse(made)
        assert end >= len(made)
    except HevcError:
        assert end < len(made)
