"""What a receiver reports: what was lost since the last time, and when the sender's word came."""

from common.rtp.reception import Reception
from common.rtp.rtcp import SenderInfo, ntp_time


def test_a_report_has_what_was_lost_since_the_one_before():
    reception = Reception(7, 90_000)
    reception.begin(100)
    for number in range(100, 150):
        if number % 5:
            reception.on_packet(number * 3000, 1000, number / 30)
    first = reception.report(149, 5.0)
    assert (first.ssrc, first.lost, first.highest) == (7, 10, 149)
    assert round(first.share_lost, 2) == 0.2
    assert first.jitter < 90
    for number in range(150, 200):
        reception.on_packet(number * 3000, 1000, number / 30)
    second = reception.report(199, 6.0)
    assert (second.share_lost, second.lost) == (0.0, 10)
    assert reception.report(199, 7.0).share_lost == 0.0, "nothing came, and nothing was due"


def test_repeats_are_no_loss_below_none():
    reception = Reception(7, 90_000)
    reception.begin(0)
    for _ in range(5):
        reception.on_packet(0, 10, 1.0)
    report = reception.report(1, 1.0)
    assert (report.share_lost, report.lost) == (0.0, 0)


def test_the_senders_report_is_named_with_the_time_since():
    reception = Reception(7, 90_000)
    reception.begin(0)
    ntp = ntp_time(1000.5)
    reception.on_sender(SenderInfo(7, ntp, 0), 3.0)
    report = reception.report(0, 3.5)
    assert report.last_report == ntp >> 16 & 0xFFFF_FFFF
    assert report.delay == 0x8000


def test_jitter_is_that_of_the_arrivals():
    reception = Reception(7, 90_000)
    reception.begin(0)
    for number in range(400):
        reception.on_packet(number * 3000, 10, number / 30 + 0.01 * (number % 2))
    assert 600 < reception.report(399, 20.0).jitter < 1000, "10 ms of 90 kHz, smoothed"
