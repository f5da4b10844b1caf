"""RTCP: what a viewer says is read, what a sender says can be read."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RtpError
from common.rtp import rtcp
from common.rtp.rtcp import Estimate, KeyframeWanted, Left, Lost, Report, Sent


def part(kind, count, body):
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


REPORT = struct.pack("!IIB3sIIII", 9, 7, 64, b"\x00\x00\x05", 70_000, 12, 0x11112222, 0x8000)
REMB = b"REMB\x01" + bytes(((5 << 2) | 1, 0, 3)) + struct.pack("!I", 7)
CASES = [
    ("receiver report", part(201, 1, REPORT), [Report(7, 0.25, 0x11112222, 0x8000, 12, 70_000)]),
    ("no reports", part(201, 0, b"\x00\x00\x00\x09"), []),
    ("sender report", part(200, 1, bytes(24) + REPORT[4:]),
     [Report(7, 0.25, 0x11112222, 0x8000, 12, 70_000)]),
    ("NACK", part(205, 1, struct.pack("!IIHHHH", 9, 7, 65535, 0b101, 40, 0)),
     [Lost(7, (65535, 0, 2, 40))]),
    ("PLI", part(206, 1, struct.pack("!II", 9, 7)), [KeyframeWanted(7)]),
    ("FIR", part(206, 4, struct.pack("!IIIBxxx", 9, 0, 7, 1)), [KeyframeWanted(7)]),
    ("REMB", part(206, 15, struct.pack("!II", 9, 0) + REMB), [Estimate((0x10003) << 5)]),
    ("another application's", part(206, 15, struct.pack("!II", 9, 0) + b"ABCD"), []),
    ("transport-cc", part(205, 15, bytes(16)), []),
    ("names", part(202, 1, b"\x00\x00\x00\x09\x01\x01a\x00"), []),
    ("end", part(203, 1, b"\x00\x00\x00\x09"), [Left()]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "packet", "found"), CASES, ids=[one[0] for one in CASES])
def test_what_a_viewer_says(name, packet, found):
    assert rtcp.parse(packet) == found
    assert rtcp.parse(part(201, 0, b"\x00\x00\x00\x09") + packet) == found


@pytest.mark.parametrize(("name", "packet", "found"), CASES, ids=[one[0] for one in CASES])
def test_what_is_cut_off_is_an_error_or_says_less(name, packet, found):
    for end in range(1, len(packet)):
        with pytest.raises(RtpError):
            rtcp.parse(packet[:end])


@given(st.binary(max_size=200))
def test_any_bytes_are_feedback_or_an_error(data):
    try:
        found = rtcp.parse(data)
    except RtpError:
        return
    assert sum(len(one.sequences) for one in found if isinstance(one, Lost)) <= 17 * 50


@given(st.lists(st.tuples(st.integers(199, 208), st.integers(0, 31), st.binary(max_size=60))))
def test_any_parts_are_feedback_or_an_error(parts):
    with contextlib.suppress(RtpError):
        rtcp.parse(b"".join(part(kind, n, body[: len(body) // 4 * 4]) for kind, n, body in parts))


def test_a_senders_reports_have_the_times_of_its_media():
    packet = rtcp.sender_reports([Sent(7, 2**32 + 5, 3, 400), Sent(8, 6, 1, 9)], b"tfarm", 1.5)
    kind, body = packet[1], packet[4:28]
    assert kind == rtcp.SENDER_REPORT
    ssrc, ntp, timestamp, packets, octets = struct.unpack("!IQIII", body)
    assert (ssrc, timestamp, packets, octets) == (7, 5, 3, 400)
    assert ntp == (rtcp.NTP_EPOCH_S << 32) + (3 << 31)
    assert rtcp.parse(packet) == []
    assert packet.count(b"tfarm") == 2


def test_the_way_there_and_back():
    now = 1_800_000_000.25
    sent = rtcp.ntp_time(now - 0.35) >> 16 & 0xFFFF_FFFF
    report = Report(7, 0, sent, int(0.25 * 65536))
    assert rtcp.round_trip_s(report, now) == pytest.approx(0.1, abs=0.001)
    assert rtcp.round_trip_s(Report(7, 0, 0, 0), now) is None
    assert rtcp.round_trip_s(Report(7, 0, sent, 65536), now) == 0.0  # it says nonsense


@pytest.mark.parametrize(
    ("most", "counts"), [(-1, [0, 0]), (0, [0, 0]), (20, [17, 3]), (99, [17, 17])]
)
def test_of_many_lost_packets_no_more_are_read_than_may_be(most, counts):
    packet = part(205, 1, struct.pack("!IIHH", 9, 7, 100, 0xFFFF)) * 2
    found = rtcp.parse(packet, most)
    assert [len(one.sequences) for one in found if isinstance(one, Lost)] == counts


def test_an_end_and_a_nack_can_be_read():
    assert rtcp.parse(rtcp.farewell([7, 8])) == [Left()]
    assert rtcp.parse(rtcp.lost_packets(1, 7, [5, 65535])) == [Lost(7, (5, 65535))]
