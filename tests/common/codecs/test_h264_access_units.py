"""common/codecs/h264_access_units.py: clean access units out of messages with any borders."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.codecs.h264 import AvcConfig, join_avcc, split_avcc
from common.codecs.h264_access_units import (
    CALM,
    AccessUnit,
    AccessUnitAssembler,
    MessageFacts,
    clean_config,
    clean_nals,
    fitting_length_size,
)
from common.errors import AvcError
from tests.kit.h264_bits import (
    INTERLACED_SPS,
    PLAIN_PPS,
    PLAIN_SPS,
    POC_SPS,
    Picture,
    make_sps,
    slice_nal,
)

AUD = b"\x09\xf0"
SEI = b"\x06\x05\x04tfrm\x80"
FILLER = b"\x0c\xff\xff\x80"
SC3, SC4 = b"\x00\x00\x01", b"\x00\x00\x00\x01"


def facts(timestamp: int = 0, now: float = 1.0, is_flagged: bool = False) -> MessageFacts:
    return MessageFacts(timestamp, 0, is_flagged, now)


def config(sps: bytes = POC_SPS, length_size: int = 4) -> AvcConfig:
    return AvcConfig.from_parameter_sets([sps], [PLAIN_PPS], length_size)


def assembler(sps: bytes = POC_SPS, length_size: int = 4) -> AccessUnitAssembler:
    made = AccessUnitAssembler()
    made.configure(config(sps, length_size))
    return made


def idr(slices: int = 1, sps: bytes = POC_SPS, idr_pic_id: int = 0) -> list[bytes]:
    picture = Picture(0, 0, is_idr=True, idr_pic_id=idr_pic_id)
    return [slice_nal(sps, picture, 60 * index) for index in range(slices)]


def inter(number: int, slices: int = 1, sps: bytes = POC_SPS) -> list[bytes]:
    picture = Picture(number, 2 * number)
    return [slice_nal(sps, picture, 60 * index) for index in range(slices)]


def resolved(units: Sequence[AccessUnit]) -> list[list[bytes]]:
    """The units' NAL units, each part that was replaced left out."""
    out: list[list[bytes]] = []
    for unit in units:
        if unit.replaces_last:
            out.pop()
        out.append(split_avcc(bytes(unit.data)))
    return out


# What comes, message by message (NAL units, or raw data); what goes out at each.
@dataclass(frozen=True)
class Row:
    name: str
    messages: list[list[bytes] | bytes]
    units: list[list[list[bytes]]]  # by message; then what a flush gives
    sps: bytes = POC_SPS


A, B, C = idr(3), inter(1, 3), inter(2, 3)
TOP, BOTTOM = (
    slice_nal(INTERLACED_SPS, Picture(1, order, is_field=True, is_bottom=bool(order % 2)), 0)
    for order in (2, 3)
)
FRAME = slice_nal(INTERLACED_SPS, Picture(2, 6), 0)
ROWS = [
    Row("whole pictures come out at once", [A, B, C], [[A], [B], [C], []]),
    Row("an empty unit first", [b"\0\0\0\0" + join_avcc(B)], [[B], []]),
    Row("empty units between and behind",
        [join_avcc(B[:1]) + b"\0\0\0\0" + join_avcc(B[1:]) + b"\0\0\0\0"], [[B], []]),
    Row("SEI and IDR in one unit", [join_avcc([SEI + SC4 + A[0]])], [[[SEI, A[0]]], []]),
    Row("parameter sets and IDR in one unit",
        [join_avcc([POC_SPS + SC4 + PLAIN_PPS + SC3 + A[0]])],
        [[[POC_SPS, PLAIN_PPS, A[0]]], []]),
    Row("a start code ahead, inside the length", [join_avcc([SC4 + A[0]])], [[A[:1]], []]),
    Row("slices with start codes between them", [join_avcc([SC3.join(B)])], [[B], []]),
    Row("zero bytes behind a unit", [join_avcc([B[0] + bytes(3), B[1]])], [[B[:2]], []]),
    Row("Annex B", [SC4 + SC3.join(B)], [[B], []]),
    Row("a slice a message: the first picture in part, then whole; the others when they end",
        [A[:1], A[1:2], A[2:], B[:1], B[1:], C[:2], C[2:]],
        [[A[:1]], [], [], [A], [], [B], [], [C]]),
    Row("a delimiter ends a picture", [A[:1], A[1:], B, [*C, AUD], [SEI]],
        [[A[:1]], [], [A], [B, C], [], []]),
    Row("delimiters and parameter sets ahead, in messages of their own",
        [[AUD], [POC_SPS, PLAIN_PPS], [SEI], A], [[], [], [], [[AUD, POC_SPS, PLAIN_PPS, SEI, *A]],
                                                  []]),
    Row("what is behind a picture belongs to the next", [[*A, AUD, SEI], B],
        [[A], [[AUD, SEI, *B]], []]),
    Row("two pictures in a message", [[*A, *B], C], [[A, B], [C], []]),
    Row("half a picture more in a message", [[*A, *B[:1]], B[1:], C],
        [[A, B[:1]], [], [B], [C]]),
    Row("filler alone means nothing", [A, [FILLER], B], [[A], [], [B], []]),
    Row("IDR pictures whose id never changes", [idr(), idr(), idr()],
        [[idr()], [idr()], [idr()], []]),
    Row("both fields in one message", [[TOP, BOTTOM], [FRAME]], [[[TOP, BOTTOM]], [[FRAME]], []],
        INTERLACED_SPS),
    Row("a field a message", [[AUD, TOP], [AUD, BOTTOM], [FRAME]],
        [[], [[AUD, TOP, BOTTOM]], [[FRAME]], []], INTERLACED_SPS),
    Row("a field alone", [[TOP], [FRAME]], [[], [[TOP], [FRAME]], []], INTERLACED_SPS),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_comes_and_what_goes_out_when(row: Row) -> None:
    units = assembler(row.sps)
    out = []
    for number, message in enumerate(row.messages):
        data = message if isinstance(message, bytes) else join_avcc(message)
        out.append([split_avcc(bytes(unit.data)) for unit in units.add(data, facts(number))])
    out.append([split_avcc(bytes(unit.data)) for unit in units.flush()])
    assert out == row.units


def test_a_whole_picture_is_the_messages_own_bytes() -> None:
    data = join_avcc([AUD, *A])
    (unit,) = assembler().add(data, facts())
    assert unit.data is data
    assert (unit.is_idr, unit.parameter_sets) == (True, ())


def test_the_time_is_that_of_the_first_slice_and_the_arrival_that_of_the_last() -> None:
    units = assembler()
    units.add(join_avcc(A[:1]), facts(100, 1.0, True))
    units.add(join_avcc(A[1:2]), facts(101, 1.1))
    units.add(join_avcc([*A[2:], AUD]), facts(102, 1.2))
    units.add(join_avcc([SEI, B[0]]), facts(140, 1.3))
    (unit,) = units.flush()
    assert unit.message == facts(140, 1.3)


def test_a_picture_that_was_flushed_and_goes_on_comes_again_whole() -> None:
    units = assembler()
    for nal in A:
        units.add(join_avcc([nal]), facts(0))
    units.add(join_avcc(B[:1]), facts(33))
    (part,) = units.flush()
    assert split_avcc(bytes(part.data)) == B[:1]
    assert units.add(join_avcc(B[1:]), facts(33)) == []
    (whole,) = units.add(join_avcc([AUD]), facts(66))
    assert split_avcc(bytes(whole.data)) == B
    assert whole.replaces_last
    assert units.flush() == []


def test_the_first_split_picture_keeps_its_time_and_is_marked() -> None:
    units = assembler()
    units.add(join_avcc(A[:1]), facts(100, 1.0, True))
    units.add(join_avcc(A[1:]), facts(100, 1.1))
    assert units.splits_pictures
    assert units.waiting_since_s == 1.1
    (unit,) = units.add(join_avcc(B[:1]), facts(133, 1.2))
    assert unit.replaces_last
    assert unit.message == facts(100, 1.1, True)
    assert not units.flush()[0].replaces_last
    assert units.waiting_since_s is None


def test_a_new_time_begins_a_picture_whatever_its_slices_say() -> None:
    """Noise in one bit makes a first slice look like another."""
    units = assembler()
    assert resolved(units.add(join_avcc(A[:1]), facts(0))) == [A[:1]]
    assert resolved(units.add(join_avcc(A[1:]), facts(20))) == [A[1:]]
    assert not units.splits_pictures


@pytest.mark.parametrize(("step_ms", "is_joined"), [(1, True), (5, True), (10, True), (11, False)])
def test_slices_whose_times_go_on_within_a_picture_are_joined(
    step_ms: int, is_joined: bool
) -> None:
    units = assembler()
    for index, nal in enumerate(A):
        units.add(join_avcc([nal]), facts(index * step_ms))
    assert units.splits_pictures is is_joined
    assert [split_avcc(bytes(unit.data)) for unit in units.flush()] == [A] * is_joined


def recovery_point(payload: bytes = b"\x06\x01\xc4") -> bytes:
    return b"\x06" + payload + b"\x80"


@pytest.mark.parametrize(
    ("nals", "is_told"),
    [
        ([recovery_point(), *B], True),
        ([AUD, b"\x06\x05\x04tfrm\x06\x01\xc4\x80", *B], True),
        ([b"\x06\xff\x01\x00\x06\x01\xc4\x80", *B], True),
        ([SEI, *B], False),
        (B, False),
        ([recovery_point(), *A], False),  # an IDR picture says more
        ([b"\x06\x05\xff", *B], False),
        ([b"\x06", *B], False),
    ],
)
def test_a_recovery_point_is_told(nals: list[bytes], is_told: bool) -> None:
    (unit,) = assembler().add(join_avcc(nals), facts())
    assert unit.is_recovery_point is is_told
    split = assembler()
    split.splits_pictures = True
    split.add(join_avcc(nals), facts())
    assert split.flush()[0].is_recovery_point is is_told


@pytest.mark.parametrize(
    ("data", "known", "fitting"),
    [
        (join_avcc(A), 2, 4),
        (join_avcc(A), 1, 4),
        (join_avcc(A, 2), 4, 2),
        (join_avcc(A, 1), 3, 1),
        (join_avcc(A) + b"\0", 1, None),
        (b"\xff" * 20, 4, None),
    ],
)
def test_the_size_of_lengths_is_found_where_a_record_is_wrong_about_it(
    data: bytes, known: int, fitting: int | None
) -> None:
    assert fitting_length_size(data, known) == fitting


def test_a_publisher_that_splits_no_more_pictures_is_waited_for_no_more() -> None:
    units = assembler()
    units.add(join_avcc(A[:1]), facts(0))
    units.add(join_avcc(A[1:]), facts(0))
    came_at_once = []
    for number in range(1, CALM + 10):
        came_at_once.append(units.add(join_avcc(inter(number)), facts(33 * number))[-1:])
    assert not units.splits_pictures
    assert split_avcc(bytes(came_at_once[-1][0].data)) == inter(CALM + 9)


def test_fields_that_never_have_another_are_waited_for_no_more() -> None:
    """An SPS that was read wrong makes fields of frames."""
    units = assembler(INTERLACED_SPS)
    came = []
    for number in range(10):
        field = slice_nal(INTERLACED_SPS, Picture(number, 2 * number, is_field=True), 0)
        came.append(len(units.add(join_avcc([field]), facts(33 * number))))
    assert came == [0, 1, 1, 1, 2, 1, 1, 1, 1, 1]


def test_parameter_sets_are_told_wherever_they_stand() -> None:
    other = make_sps(order_type=0, width_mbs=40)
    units = assembler()
    (unit,) = units.add(join_avcc([SEI, other, PLAIN_PPS, *A]), facts())
    assert unit.parameter_sets == (other, PLAIN_PPS)
    units.add(join_avcc([*B, other]), facts())
    (unit,) = units.add(join_avcc(C), facts())
    assert unit.parameter_sets == (other,)


def test_where_slice_headers_cannot_be_read_first_mb_and_the_time_must_do() -> None:
    units = AccessUnitAssembler()
    first, second, third = A
    assert len(units.add(join_avcc([first]), facts(0))) == 1
    assert units.add(join_avcc([second]), facts(0)) == []
    assert units.add(join_avcc([third]), facts(0)) == []
    (unit,) = units.add(join_avcc([B[1]]), facts(33))  # its first slice was lost
    assert split_avcc(bytes(unit.data)) == A
    assert split_avcc(bytes(units.flush()[0].data)) == [B[1]]


def test_a_picture_whose_first_slice_is_missing_does_not_join_the_one_before() -> None:
    units = assembler()
    assert resolved(units.add(join_avcc(A), facts(0))) == [A]
    assert resolved(units.add(join_avcc(B[1:]), facts(0))) == [B[1:]]
    assert not units.splits_pictures


def test_data_that_cannot_be_read_lose_nothing_of_what_came_before() -> None:
    units = assembler()
    units.add(join_avcc(A[:1]), facts())
    units.add(join_avcc(A[1:]), facts())
    with pytest.raises(AvcError):
        units.add(b"\xff\xff\xff\xff\x65", facts())
    assert [split_avcc(bytes(unit.data)) for unit in units.flush()] == [A]


def test_what_waits_for_its_picture_is_bounded() -> None:
    units = assembler()
    for _ in range(100):
        units.add(join_avcc([b"\x06" + b"\x55" * 10_000 + b"\x80"]), facts())
    (unit,) = units.add(join_avcc(A), facts())
    assert len(unit.data) < 80_000


def test_what_looks_like_a_start_code_in_a_sloppy_payload_is_left_alone() -> None:
    nal = b"\x06\x05\x08" + b"\x00\x00\x01\xff\x00\x00\x01\x65"[:5] + b"\x80"
    assert clean_nals(join_avcc([nal]), 4) == ([nal], True)


def test_a_record_whose_sps_entry_holds_more_is_put_right() -> None:
    good = config()
    mixed = replace(good, sps=(POC_SPS + SC4 + PLAIN_PPS,), pps=())
    assert clean_config(mixed) == good
    assert clean_config(good) is good


@pytest.mark.parametrize("length_size", [1, 2, 4])
def test_lengths_keep_their_size(length_size: int) -> None:
    units = assembler(length_size=length_size)
    data = join_avcc([b"", *B], length_size)
    (unit,) = units.add(data, facts())
    assert unit.data == join_avcc(B, length_size)


# ---- any interleaving of legal access units into messages --------------------------------------


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[list[bytes]]]:
    """An SPS, and access units that it allows."""
    sps = draw(st.sampled_from([PLAIN_SPS, POC_SPS, INTERLACED_SPS]))
    units: list[list[bytes]] = []
    frame_num = 0
    for number in range(draw(st.integers(2, 7))):
        is_idr = number == 0 or draw(st.integers(0, 4)) == 0
        frame_num = 0 if is_idr else frame_num + 1
        ahead = [nal for nal in (AUD, sps, PLAIN_PPS, SEI) if draw(st.booleans())]
        picture = Picture(frame_num, 2 * frame_num, is_idr, idr_pic_id=number % 8)
        fields = [picture]
        if sps is INTERLACED_SPS and draw(st.booleans()):
            first = replace(picture, is_field=True)
            second = replace(first, is_bottom=True, is_idr=False, order=picture.order + 1)
            fields = [first, second]
        slices = [
            slice_nal(sps, field, 40 * index, draw(st.binary(min_size=1, max_size=6)))
            for field in fields
            for index in range(draw(st.integers(1, 3)))
        ]
        units.append(ahead + slices)
    return sps, units


@st.composite
def message(draw: st.DrawFn, nals: list[bytes]) -> bytes:
    """These NAL units with oddities that harm nothing."""
    pieces: list[bytes] = []
    for nal in nals:
        if draw(st.integers(0, 3)) == 0:
            pieces.append(b"")
        if pieces and pieces[-1] and draw(st.integers(0, 3)) == 0:
            pieces[-1] += draw(st.sampled_from([SC3, SC4])) + nal
        else:
            pieces.append(nal + bytes(draw(st.sampled_from([0, 0, 0, 1, 2]))))
    if draw(st.integers(0, 5)) == 0:
        return b"".join(SC4 + piece for piece in pieces if piece)
    return join_avcc(pieces)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_interleaving_with_any_oddity_gives_the_units_of_the_clean_stream(
    data: st.DataObject,
) -> None:
    sps, units = data.draw(streams())
    assembled = assembler(sps)
    nals = [nal for unit in units for nal in unit]
    cuts = data.draw(st.sets(st.integers(1, len(nals)), max_size=len(nals)))
    borders = [0, *sorted(cuts | {len(nals)})]
    out: list[AccessUnit] = []
    for number, (begin, end) in enumerate(pairwise(borders)):
        out += assembled.add(data.draw(message(nals[begin:end])), facts(number))
    out += assembled.flush()
    assert resolved(out) == units
    # no more than the first picture that was split came in part
    assert sum(unit.replaces_last for unit in out) <= 1
    sets = [nal for unit in out if not unit.replaces_last for nal in unit.parameter_sets]
    assert len(sets) >= sum(nal[0] & 0x1F in (7, 8) for nal in nals) - 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_messages_of_whole_pictures_come_out_at_once(data: st.DataObject) -> None:
    sps, units = data.draw(streams())
    assembled = assembler(sps)
    for unit in units:
        (out,) = assembled.add(data.draw(message(unit)), facts())
        assert split_avcc(bytes(out.data)) == unit


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=12))
def test_whatever_comes_nothing_but_avc_errors_is_raised(messages: list[bytes]) -> None:
    assembled = assembler()
    for body in messages:
        try:
            units = assembled.add(body, facts())
        except AvcError:
            continue
        for unit in units:
            assert all(split_avcc(bytes(unit.data)))
    assembled.flush()
