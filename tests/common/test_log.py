"""common/log.py: keys stay out of the log, and a flood of lines is held back."""

from common.log import RateLimit, key_hash, stream_label


def test_a_label_shows_the_app_and_never_the_key() -> None:
    label = stream_label("live/secret")
    assert label == f"live/{key_hash('secret')}"
    assert "secret" not in label


def test_a_burst_passes_then_lines_are_held_back_and_counted() -> None:
    limit = RateLimit(burst=2, interval_s=1.0)
    assert [limit.allow(10.0), limit.allow(10.0)] == [0, 0]
    assert [limit.allow(10.1), limit.allow(10.2)] == [None, None]
    assert limit.allow(11.2) == 2
    assert limit.allow(60.0) == 0
