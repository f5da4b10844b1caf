"""Pictures out of packets, whatever is lost of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rtp.h264 import packetise
from common.rtp.header import TIMESTAMPS, Packet
from common.rtp.pictures import MAX_UNITS, Picture, PictureLost, PictureReader

SPS, PPS = b"\x67\x42\xc0\x1f\x8c", b"\x68\xce\x3c\x80"
LOST = PictureLost("packets were lost")


def slice_of(number: int, size: int, *, is_key: bool = False, is_first: bool = True) -> bytes:
    head = bytes((0x65 if is_key else 0x41, 0x88 if is_first else 0x44))
    return head + number.to_bytes(2, "big") + bytes(size)


def packets_of(payloads, timestamp, *, is_marked=True):
    return [
        Packet(96, is_marked and at == len(payloads) - 1, 0, timestamp % TIMESTAMPS, 1, payload)
        for at, payload in enumerate(payloads)
    ]


def read(packets):
    reader, found = PictureReader(), []
    for packet in packets:
        found += reader.gap() if packet is None else reader.add(packet)
    return found


def test_parameter_sets_in_packets_of_their_own_belong_to_their_picture():
    """As OBS sends them (SRS #3920)."""
    idr = slice_of(0, 3000, is_key=True)
    payloads = [SPS, PPS, *packetise([idr])]
    (picture,) = read(packets_of(payloads, 9000))
    assert picture == Picture([SPS, PPS, idr], 9000, is_key=True)
    assert read(packets_of(packetise([idr], (SPS, PPS)), 9000)) == [picture]


@pytest.mark.parametrize(
    ("lost", "numbers"),
    [
        ((), [0, 1, 2, 3]),
        ((0,), [1, 2, 3]),  # the head of a picture
        ((1,), [1, 2, 3]),  # its middle
        ((2,), [1, 2, 3]),  # its marked end: what follows begins a picture
        ((3,), [0, 2, 3]),
        ((2, 3), [2, 3]),  # the end of one and the head of the next
        ((3, 4, 5), [0, 2, 3]),  # a whole picture
    ],
)
def test_a_picture_that_lacks_a_packet_is_dropped_whole_and_no_other(lost, numbers):
    packets = [
        packet
        for number in range(4)
        for packet in packets_of(packetise([slice_of(number, 3000)], (), 1200), number * 3000)
    ]
    assert len(packets) == 12
    line = []
    for at, packet in enumerate(packets):
        if at not in lost:
            line.append(packet)
        elif at - 1 not in lost:
            line.append(None)
    found = read(line)
    pictures = [one for one in found if isinstance(one, Picture)]
    assert [int.from_bytes(one.nals[0][2:4], "big") for one in pictures] == numbers
    assert (LOST in found) == bool(lost)


def test_a_picture_of_several_slices_whose_first_is_lost_is_none():
    payloads = [slice_of(0, 50), slice_of(0, 50, is_first=False), slice_of(0, 50, is_first=False)]
    head, *rest = packets_of(payloads, 3000)
    before = packets_of([slice_of(9, 10)], 0)
    assert [type(one) for one in read([*before, None, *rest])] == [Picture, PictureLost]
    assert len(read([*before, head, *rest])) == 2


def test_without_a_mark_the_next_time_ends_a_picture():
    first, second = slice_of(0, 10), slice_of(1, 10)
    packets = packets_of([first], 0, is_marked=False) + packets_of([second], 3000)
    assert [one.nals for one in read(packets)] == [[first], [second]]


def test_times_go_on_where_they_wrap():
    packets = [
        packet
        for number in range(6)
        for packet in packets_of([slice_of(number, 10)], TIMESTAMPS - 9000 + number * 3000)
    ]
    times = [one.timestamp for one in read(packets)]
    assert times == [TIMESTAMPS - 9000 + number * 3000 for number in range(6)]


@pytest.mark.parametrize("payload", [b"\x1c\x05", b"\x18\x00\xff", b"\x1f123", b"\x1c\x05abc"])
def test_what_cannot_be_read_costs_its_picture_alone(payload):
    packets = packets_of([slice_of(0, 10)], 0) + packets_of([payload], 3000)
    packets += packets_of([slice_of(2, 10)], 6000)
    assert [type(one) for one in read(packets)] == [Picture, PictureLost, Picture]


def test_what_fills_the_line_is_nothing():
    assert read(packets_of([b""], 0) + packets_of([b""], 3000)) == []


def test_a_picture_has_a_bounded_number_of_units():
    reader = PictureReader()
    (packet,) = packets_of([b"\x18" + b"\x00\x02\x41\x88" * 300], 0, is_marked=False)
    found = [one for _ in range(40) for one in reader.add(packet)]
    assert found == [PictureLost("a picture that is too large")]
    assert len(reader._nals) <= MAX_UNITS


@given(st.lists(st.binary(max_size=40), max_size=30), st.lists(st.booleans(), min_size=30))
def test_nothing_that_comes_raises(payloads, marks):
    read([Packet(96, mark, 0, at // 3, 1, one) for at, (one, mark) in enumerate(
        zip(payloads, marks, strict=False))])  # fmt: skip
