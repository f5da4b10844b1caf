"""common/codecs/h265.py: HEVC configuration records, as far as fMP4 needs them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.h265 import codec_string_of_record, with_complete_arrays
from common.errors import HevcError
from common.media.units import VideoCodec
from tests.kit.coded_tracks import coded_track


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
    for look in (codec_string_of_record, with_complete_arrays):
        try:
            look(data)
        except HevcError:
            continue
