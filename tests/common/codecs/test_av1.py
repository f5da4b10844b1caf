"""common/codecs/av1.py: AV1 configuration records, as far as fMP4 needs them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.av1 import codec_string_of_record
from common.errors import Av1Error
from common.media.units import VideoCodec
from tests.kit.coded_tracks import coded_track


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
