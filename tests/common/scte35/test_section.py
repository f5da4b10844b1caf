"""common/scte35/section.py: what splice information sections say."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SpliceError
from common.scte35.section import TIMES, Command, Segmentation, Splice, Way, at_time, parse
from tests.kit.scte35_writer import (
    INSERTION,
    NULL,
    PLACEMENT_END,
    PLACEMENT_START,
    Insertion,
    insertion,
    section,
    segmentation,
    time_signal,
)

START = Segmentation(0x4800008E, 0x34, 27_630_000)
END = Segmentation(0x4800008E, 0x35)


# threefive 3.1.5 reads the same of the standard's examples.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            PLACEMENT_START,
            Splice(6, 0x72BD0050, 0x4800008E, Way.OUT, 27_630_000, segmentations=(START,)),
        ),
        (PLACEMENT_END, Splice(6, 0x746290A0, 0x4800008E, Way.IN, segmentations=(END,))),
        (INSERTION, Splice(5, 0x7369C02E, 0x4800008F, Way.OUT, 5_426_421)),
        (NULL, Splice(Command.NULL)),
        (insertion(7, 90_000, is_out=0), Splice(5, 90_000, 7, Way.IN)),
        (insertion(7, 10, adjustment=TIMES - 4), Splice(5, 6, 7, Way.OUT)),
        (insertion(7), Splice(5, None, 7, Way.OUT)),
        (insertion(7, is_cancelled=1), Splice(5, event_id=7, is_cancelled=True)),
        (insertion(7, 5, components=3, duration=9), Splice(5, 5, 7, Way.OUT, 9)),
        (time_signal(5), Splice(6, 5)),
        (
            time_signal(5, b"\x00\x04CUEI", segmentation(1, 0x10), segmentation(2, 0x36, 9)),
            Splice(
                6, 5, 2, Way.OUT, 9, segmentations=(Segmentation(1, 0x10), Segmentation(2, 0x36, 9))
            ),
        ),
        (section(0xFF, b"CUEIsecret"), Splice(Command.PRIVATE)),
        (section(5, b"\x01\x02", is_encrypted=True), Splice(5, is_encrypted=True)),
    ],
)
def test_a_section_says_where_its_splice_is_and_leads(data: bytes, expected: Splice) -> None:
    assert parse(data) == expected
    assert parse(data).is_idle == (data == NULL)


def test_a_command_without_its_length_is_read_to_its_end() -> None:
    body = Insertion(7, 5, True, 9).encode()
    found = parse(section(5, body, segmentation(1, 0x10), size=0xFFF))
    assert found == Splice(5, 5, 7, Way.OUT, 9, segmentations=(Segmentation(1, 0x10),))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no splice information"),
        (b"\x02" + INSERTION[1:], "no splice information"),
        (INSERTION[:-1], "length is not what it says"),
        (INSERTION[:-1] + b"\x00", "checksum"),
        (bytes(5000), "exceeds 4096"),
        (section(5, b"\x01\x02"), "bits wanted"),
        (section(5, b"", size=900), "a command of 900 bytes"),
    ],
)
def test_what_is_broken_is_refused_with_words(data: bytes, words: str) -> None:
    with pytest.raises(SpliceError, match=words):
        parse(data)


@given(st.integers(0, TIMES - 1), st.integers(0, TIMES - 1), st.integers(0, TIMES - 1))
def test_a_splice_can_be_set_to_any_time_and_says_the_same(
    pts: int, adjustment: int, ticks: int
) -> None:
    data = insertion(7, pts, adjustment=adjustment, duration=5)
    moved = at_time(data, ticks)
    assert parse(moved) == replace(parse(data), pts=ticks)


@pytest.mark.parametrize("data", [b"", NULL, insertion(7), section(5, b"", is_encrypted=True)])
def test_what_has_no_time_stays_as_it_is(data: bytes) -> None:
    assert at_time(data, 5) == data


@given(st.sampled_from([PLACEMENT_START, INSERTION, PLACEMENT_END]), st.data())
def test_every_part_of_a_command_is_read_or_refused(whole: bytes, data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=40))
    made = section(whole[13], body, data.draw(st.binary(max_size=40)))
    try:
        found = parse(made)
    except SpliceError:
        return
    assert found.pts is None or 0 <= found.pts < TIMES
