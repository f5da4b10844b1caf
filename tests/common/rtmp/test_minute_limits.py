"""How much a peer may ask for within a minute."""

import pytest

from common.errors import ProtocolError
from common.rtmp.config import SessionConfig
from common.rtmp.minute_limits import MinuteLimits


def test_calls_are_counted_by_the_minute() -> None:
    limits = MinuteLimits(SessionConfig(max_calls_per_minute=3))
    for now in (0.0, 60.0):
        limits.begin(now)
        for _ in range(3):
            limits.count_call()
    with pytest.raises(ProtocolError, match="3 commands"):
        limits.count_call()


def test_small_messages_are_counted_apart() -> None:
    limits = MinuteLimits(SessionConfig(max_small_messages_per_minute=2, max_calls_per_minute=2))
    limits.begin(0.0)
    for _ in range(2):
        limits.count_call()
        limits.count_small_message()
    with pytest.raises(ProtocolError, match="2 messages of less than 16 bytes"):
        limits.count_small_message()


def test_the_first_minute_begins_at_the_first_look() -> None:
    limits = MinuteLimits(SessionConfig())
    assert limits.began_s < -1e9
    limits.begin(5.0)
    assert limits.began_s == 5.0


def test_metadata_is_counted_by_its_bytes_and_may_be_had_again_a_minute_later() -> None:
    limits = MinuteLimits(SessionConfig(max_metadata_bytes_per_minute=100))
    limits.begin(0.0)
    assert limits.allows_metadata(100)
    assert not limits.allows_metadata(1)
    limits.begin(60.0)
    assert limits.allows_metadata(99)
