"""common/media/pictures.py: what headers tell of pictures, whatever the codec."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.media.pictures import config_of
from common.media.units import Colour, VideoCodec, VideoConfig
from tests.kit.coded_video import PLAIN_PICTURES


@pytest.mark.parametrize(
    ("chroma", "luma_bits", "chroma_bits", "bits"),
    [(0, 8, 8, 8), (1, 8, 8, 12), (1, 10, 10, 24), (2, 8, 10, 32), (3, 8, 8, 24), (3, 12, 12, 48)],
)
def test_a_sample_of_more_than_8_bits_takes_two_bytes(
    chroma: int, luma_bits: int, chroma_bits: int, bits: int
) -> None:
    pictures = replace(
        PLAIN_PICTURES, chroma_format=chroma, bit_depth=luma_bits, bit_depth_chroma=chroma_bits
    )
    assert pictures.bits_per_pixel == bits
    assert pictures.depth == max(luma_bits, chroma_bits)


def test_a_configuration_says_the_same() -> None:
    assert config_of(VideoCodec.AV1, b"record", PLAIN_PICTURES, 8) == VideoConfig(
        VideoCodec.AV1,
        b"record",
        640,
        360,
        Fraction(4, 3),
        Fraction(25),
        colour=Colour(9, 16, 9, is_full_range=True),
        reference_frames=8,
        bits_per_pixel=12,
    )
