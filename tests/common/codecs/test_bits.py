import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.bits import BitReader, BitWriter
from common.errors import AvcError, FlvError

# H.264 table 9-2 and 9-3: bits, ue(v), se(v)
EXP_GOLOMB = [
    ("1", 0, 0),
    ("010", 1, 1),
    ("011", 2, -1),
    ("00100", 3, 2),
    ("00101", 4, -2),
    ("00110", 5, 3),
    ("00111", 6, -3),
    ("0001000", 7, 4),
]


def from_text(bits: str) -> bytes:
    writer = BitWriter()
    for bit in bits:
        writer.bits(int(bit), 1)
    return writer.to_bytes()


@pytest.mark.parametrize(("bits", "unsigned", "signed"), EXP_GOLOMB)
def test_exp_golomb_codes_read_as_in_the_standard_table(
    bits: str, unsigned: int, signed: int
) -> None:
    assert BitReader(from_text(bits), AvcError).ue() == unsigned
    assert BitReader(from_text(bits), AvcError).se() == signed


def test_the_longest_exp_golomb_code_is_of_32_leading_zeros() -> None:
    assert BitReader(from_text("0" * 32 + "1" + "0" * 31 + "1"), AvcError).ue() == 2**32
    with pytest.raises(AvcError, match="32 leading zeros"):
        BitReader(bytes(40), AvcError).ue()


def test_reading_past_the_end_raises_the_given_error() -> None:
    reader = BitReader(b"\xff", FlvError)
    reader.bits(3)
    with pytest.raises(FlvError, match="6 bits wanted where 5 are left"):
        reader.bits(6)


def test_align_skips_to_the_next_byte_and_stays_on_one() -> None:
    reader = BitReader(b"\x80\x01", AvcError)
    reader.align()
    assert reader.remaining == 16
    reader.bits(1)
    reader.align()
    assert reader.bits(8) == 1
    reader.align()
    assert reader.remaining == 0


def test_a_value_that_does_not_fit_its_field_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        BitWriter().bits(8, 3)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, 2**n - 1), st.just(n))))
)
def test_fields_written_are_read_back(fields: list[tuple[int, int]]) -> None:
    writer = BitWriter()
    for value, count in fields:
        writer.bits(value, count)
    reader = BitReader(writer.to_bytes(), AvcError)
    assert [reader.bits(count) for _, count in fields] == [value for value, _ in fields]
    assert reader.remaining < 8
