"""common/codecs/vui.py: what the VUI of H.264 and of H.265 begins with."""

from fractions import Fraction

import pytest

from common.codecs.bits import BitReader, BitWriter
from common.codecs.vui import Vui, read_sar, read_signal
from common.errors import AvcError


@pytest.mark.parametrize(
    ("index", "more", "sar"),
    [
        (0, [], Fraction(1)),  # unspecified
        (1, [], Fraction(1)),
        (2, [], Fraction(12, 11)),
        (16, [], Fraction(2)),
        (17, [], Fraction(1)),  # reserved
        (255, [64, 45], Fraction(64, 45)),
        (255, [0, 1], Fraction(1)),  # no ratio
        (255, [1, 0], Fraction(1)),
    ],
)
def test_aspect_ratios(index: int, more: list[int], sar: Fraction) -> None:
    writer = BitWriter().bits(index, 8)
    for number in more:
        writer.bits(number, 16)
    assert read_sar(BitReader(writer.to_bytes(), AvcError)) == sar


def test_all_of_it_is_read_in_order() -> None:
    writer = BitWriter().bits(1, 1).bits(14, 8)  # 4:3
    writer.bits(1, 1).bits(1, 1)  # overscan
    writer.bits(1, 1).bits(5, 3).bits(1, 1)  # signal type, full range
    writer.bits(1, 1).bits(9, 8).bits(16, 8).bits(9, 8)
    writer.bits(1, 1).bits(0b010, 3).bits(0b011, 3)  # chroma lies at 1 and 2
    writer.bits(0b101, 3)  # what follows
    reader, vui = BitReader(writer.to_bytes(), AvcError), Vui()
    read_signal(reader, vui)
    assert vui == Vui(Fraction(4, 3), True, 9, 16, 9)
    assert reader.bits(3) == 0b101


def test_what_is_not_told_stays_unspecified() -> None:
    vui = Vui()
    read_signal(BitReader(BitWriter().bits(0, 8).to_bytes(), AvcError), vui)
    assert vui == Vui()
