"""RTCP: what a viewer says is read, what a sender says can be read."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RtpError
from common.rtp import rtcp
from common.rtp.rtcp import Estimate, KeyframeWanted, Left, Lost, Report, SenderInfo, Sent


def part(kind, count, body):
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


REPORT = struct.pack("!IIB3sIIII", 9, 7, 64, b"\x00\x00\x05", 70_000, 12, 0x11112222, 0x8000)
REMB = b"REMB\x01" + bytes(((5 << 2) | 1, 0, 3)) + struct.pack("!I", 7)
CASES = [
    ("receiver report", part(201, 1, REPORT), [Report(7, 0.25, 0x11112222, 0x8000, 12, 70_000)]),
    ("no reports", part(201, 0, b"\x00\x00\x00\x09"), []),
    ("sender report", part(200, 1, bytes(24) + REPORT[4:]),
     [SenderInfo(0, 0, 0), Report(7, 0.25, 0x11112222, 0x8000, 12, 70_000)]),
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
    infos = [one for one in rtcp.parse(packet) if isinstance(one, SenderInfo)]
    assert [one.timestamp for one in infos] == [5, 6]
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


@given(
    st.lists(
        st.builds(
            rtcp.Received,
            st.integers(0, 2**32 - 1),
            st.floats(0, 1),
            st.integers(0, 2**23 - 1),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**32 - 1),
        ),
        max_size=4,
    )
)
def test_a_receivers_report_says_what_came(received):
    parsed = rtcp.parse(rtcp.receiver_report(5, received))
    found = [one for one in parsed if isinstance(one, Report)]
    assert [one.ssrc for one in found] == [one.ssrc for one in received]
    for one, said in zip(found, received, strict=True):
        assert abs(one.lost - said.share_lost) <= 1 / 128
        assert (one.highest, one.jitter) == (said.highest, said.jitter)
        assert (one.last_report, one.delay) == (said.last_report, said.delay)


@given(st.sets(st.integers(0, 0xFFFF), max_size=60))
def test_a_nack_names_what_is_missing_and_nothing_else(missing):
    (lost,) = rtcp.parse(rtcp.lost_packets(1, 7, sorted(missing)))
    assert isinstance(lost, Lost)
    assert lost.ssrc == 7
    assert sorted(lost.sequences) == sorted(missing)


def test_packets_near_one_another_are_one_entry_of_a_nack():
    assert len(rtcp.lost_packets(1, 7, [10, 11, 12, 26])) == 16
    assert len(rtcp.lost_packets(1, 7, [10, 27])) == 20
    assert len(rtcp.lost_packets(1, 7, [65_535, 0, 1])) == 16


@given(st.integers(0, 2**40))
def test_an_estimate_is_read_as_it_was_said(bps):
    (found,) = rtcp.parse(rtcp.estimate(1, [7, 8], bps))
    assert isinstance(found, Estimate)
    assert found.bps <= bps <= found.bps * (1 + 2**-16)


def test_a_keyframe_is_asked_for():
    assert rtcp.parse(rtcp.keyframe_wanted(1, 7)) == [rtcp.KeyframeWanted(7)]


def test_a_senders_report_tells_its_clock():
    sent = rtcp.Sent(7, 90_000, 10, 1000)
    found = rtcp.parse(rtcp.sender_reports([sent], b"x", 1000.5))
    (info,) = (one for one in found if isinstance(one, rtcp.SenderInfo))
    assert (info.ssrc, info.timestamp) == (7, 90_000)
    assert info.clock_s == 1000.5 + rtcp.NTP_EPOCH_S
