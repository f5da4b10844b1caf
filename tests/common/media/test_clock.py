"""common/media/clock.py: from the host's clock to stream time."""

from common.media.clock import ClockReference


def test_stream_time_goes_on_with_the_clock() -> None:
    reference = ClockReference(5_000, 100.0)
    assert reference.stream_ms_at(100.0) == 5_000
    assert reference.stream_ms_at(101.25) == 6_250
    assert reference.stream_ms_at(99.9996) == 5_000


def test_an_earlier_tag_leads() -> None:
    assert ClockReference(5_000, 99.9).lead_ms > ClockReference(5_000, 100.0).lead_ms
