"""common/codecs/h265_access_units.py: messages to access units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.h264 import join_avcc, split_avcc
from common.codecs.h264_access_units import CALM, MessageFacts
from common.codecs.h265_access_units import HevcAssembler, clean_nals
from common.errors import ProtocolError

SC = b"\x00\x00\x00\x01"
FIRST, NEXT = b"\x02\x01\xd0\x20", b"\x02\x01\x50\x21"  # slices of a picture
IDR = b"\x26\x01\xaf\x10"
VPS, AUD, SEI = b"\x40\x01\x0c", b"\x46\x01\x50", b"\x4e\x01\x80"
SUFFIX = b"\x50\x01\x84\x80"


def facts(at: int = 0) -> MessageFacts:
    return MessageFacts(at, 0, False, at / 1000)


def assemble(*messages: list[bytes]) -> list[list[list[bytes]]]:
    """What came out of each message, and then of the end."""
    assembler = HevcAssembler()
    found = []
    for at, nals in enumerate(messages):
        units = assembler.add(join_avcc(nals), facts(40 * at))
        found.append([split_avcc(bytes(unit.data)) for unit in units])
    found.append([split_avcc(bytes(unit.data)) for unit in assembler.flush()])
    return found


@pytest.mark.parametrize(
    ("messages", "units"),
    [
        ([[FIRST]], [[[FIRST]], []]),
        ([[AUD, VPS, SEI, IDR, SUFFIX]], [[[AUD, VPS, SEI, IDR, SUFFIX]], []]),
        ([[FIRST, NEXT, NEXT]], [[[FIRST, NEXT, NEXT]], []]),
        ([[FIRST, IDR]], [[[FIRST], [IDR]], []]),
        ([[AUD, SEI], [FIRST]], [[], [[AUD, SEI, FIRST]], []]),
        ([[FIRST, SEI], [FIRST]], [[[FIRST]], [[SEI, FIRST]], []]),
        # who splits pictures: the first comes again, from then on they wait
        (
            [[FIRST], [NEXT], [FIRST], [NEXT]],
            [[[FIRST]], [], [[FIRST, NEXT]], [], [[FIRST, NEXT]]],
        ),
        ([[FIRST], [NEXT], [AUD]], [[[FIRST]], [], [[FIRST, NEXT]], []]),
        ([[NEXT], [IDR]], [[[NEXT]], [[IDR]], []]),
        ([[SUFFIX]], [[], []]),
    ],
)
def test_a_unit_is_a_picture_and_what_stands_before_it(
    messages: list[list[bytes]], units: list[list[list[bytes]]]
) -> None:
    assert assemble(*messages) == units


def test_whoever_sends_whole_pictures_again_is_not_waited_for() -> None:
    assembler = HevcAssembler()
    for nal in (FIRST, NEXT):
        assembler.add(join_avcc([nal]), facts())
    for at in range(CALM + 2):
        assembler.add(join_avcc([FIRST]), facts(40 * at))
    assert assembler.waiting_since_s is None


def test_a_whole_message_passes_as_it_is() -> None:
    data = memoryview(join_avcc([AUD, FIRST, NEXT]))
    (unit,) = HevcAssembler().add(data, facts())
    assert unit.data is data


@pytest.mark.parametrize(
    ("data", "nals", "is_clean"),
    [
        (join_avcc([FIRST, NEXT]), [FIRST, NEXT], True),
        (b"".join(SC + nal for nal in (AUD, IDR)), [AUD, IDR], False),
        (join_avcc([AUD + SC + IDR]), [AUD, IDR], False),
        (join_avcc([IDR + bytes(2)]), [IDR], False),
        (bytes(4) + join_avcc([IDR]), [IDR], False),
        (join_avcc([b"\x02", IDR]), [IDR], False),  # no header
        (join_avcc([b"\x82\x01\xd0", IDR]), [IDR], False),  # the forbidden bit
        (b"", [], True),
    ],
)
def test_oddities_are_put_right(data: bytes, nals: list[bytes], is_clean: bool) -> None:
    assert clean_nals(data, 4) == (nals, is_clean)


@given(st.lists(st.lists(st.sampled_from([FIRST, NEXT, IDR, VPS, AUD, SEI, SUFFIX]))))
def test_every_slice_comes_out_at_least_once_and_in_order(messages: list[list[bytes]]) -> None:
    slices = [nal for nals in messages for nal in nals if nal in (FIRST, NEXT, IDR)]
    found = [nal for units in assemble(*messages) for unit in units for nal in unit]
    kept = [nal for nal in found if nal in (FIRST, NEXT, IDR)]
    assert len(kept) >= len(slices)
    at = iter(kept)
    assert all(nal in at for nal in slices)


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_any_bytes_are_units_or_an_error(messages: list[bytes]) -> None:
    assembler = HevcAssembler()
    for data in messages:
        try:
            units = assembler.add(data, facts())
        except ProtocolError:
            continue
        assert all(split_avcc(bytes(unit.data)) for unit in units)
    assembler.flush()
