"""AV1 as RTP payloads: each can be put together again by the format's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codecs.av1 import Av1Config, leb128, obus
from common.errors import Av1Error
from common.media.units import VideoCodec
from common.rtp.av1 import packetise
from tests.kit.coded_video import CodedSpec, coded_video

SPEC = CodedSpec(VideoCodec.AV1, 320, 180, frames=6, gop=3)


def elements(payloads: list[bytes]) -> list[bytes]:
    """The OBU elements, as a receiver gathers them (4.4, 4.5 of the format)."""
    found: list[bytes] = []
    goes_on = False
    for payload in payloads:
        flags, at = payload[0], 1
        assert not flags >> 4 & 3, "each element has its length in front"
        assert bool(flags & 0x80) == goes_on, "Z says what Y of the packet before says"
        while at < len(payload):
            length = payload[at] & 0x7F
            if payload[at] & 0x80:
                at += 1
                length |= payload[at] << 7
            piece, at = payload[at + 1 : at + 1 + length], at + 1 + length
            assert len(piece) == length
            if goes_on:
                found[-1] += piece
            else:
                found.append(piece)
            goes_on = False
        goes_on = bool(flags & 0x40)
    assert not goes_on
    return found


def with_sizes(found: list[bytes]) -> bytes:
    return b"".join(bytes((one[0] | 2,)) + leb128(len(one) - 1) + one[1:] for one in found)


def test_real_pictures_come_out_as_they_went_in() -> None:
    made = coded_video(SPEC)
    header = Av1Config.parse(made.record).sequence_header
    for unit in made.units:
        payloads = packetise(unit.data, header, is_key=unit.is_key, max_bytes=200)
        assert max(map(len, payloads)) <= 200
        assert [bool(one[0] & 0x08) for one in payloads] == [
            unit.is_key and index == 0 for index in range(len(payloads))
        ]
        found = elements(payloads)
        assert all(not one[0] & 2 for one in found), "no OBU says its size"
        assert with_sizes(found) == unit.data


def test_a_keyframe_without_its_sequence_header_is_given_that() -> None:
    header, frame = b"\x0a\x02\x11\x22", b"\x32\x03\x10\x01\x02"
    assert elements(packetise(frame, header, is_key=True)) == [b"\x08\x11\x22", b"\x30\x10\x01\x02"]
    assert elements(packetise(header + frame, header, is_key=True)) == [
        b"\x08\x11\x22",
        b"\x30\x10\x01\x02",
    ]
    assert elements(packetise(frame, header)) == [b"\x30\x10\x01\x02"]


def test_what_no_receiver_looks_at_is_omitted_and_nothing_is_left_of_a_delimiter() -> None:
    assert packetise(b"\x12\x00") == []
    assert elements(packetise(b"\x12\x00\x32\x01\x10\x7a\x01\x80")) == [b"\x30\x10"]
    with pytest.raises(Av1Error):
        packetise(b"\x32\x7f\x10")


@given(
    st.lists(st.tuples(st.sampled_from([3, 4, 5, 6]), st.binary(max_size=900)), min_size=1),
    st.integers(16, 400),
)
def test_any_obus_come_out_as_they_went_in(parts: list[tuple[int, bytes]], size: int) -> None:
    unit = b"".join(bytes((kind << 3 | 2,)) + leb128(len(data)) + data for kind, data in parts)
    assert len(obus(unit)) == len(parts)
    payloads = packetise(unit, max_bytes=size)
    assert max(map(len, payloads)) <= size
    assert with_sizes(elements(payloads)) == unit
