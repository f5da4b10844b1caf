"""The UTC that a picture's user data say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.media.units import VideoCodec
from common.sei.user_data import user_data_in, user_data_unit
from common.sei.utc import UTC_UUID, UtcStamps, has_utc, utc_stamp, without_utc
from tests.common.sei.test_user_data import CLOCK, message

OTHER = message(CLOCK)
PUBLISHERS = utc_stamp(7)


def test_a_stamp_is_its_uuid_and_microseconds_of_eight_bytes() -> None:
    stamp = utc_stamp(1_764_557_640_123_456)
    assert stamp.hex() == "fbf877ab834641b5a684600b87cbc4bf" + "000644db17534440"


@given(st.integers(0, 2**63 - 1), st.sampled_from([VideoCodec.H264, VideoCodec.H265]))
def test_what_is_written_is_found(unix_us: int, codec: VideoCodec) -> None:
    (found,) = user_data_in(codec, [str(UTC_UUID)])(user_data_unit(codec, [utc_stamp(unix_us)]), 4)
    assert int.from_bytes(found[16:], "big") == unix_us


@pytest.mark.parametrize(
    ("messages", "received_s", "expected"),
    [
        ((), 99.75, (utc_stamp(1_000_000_000_750_000),)),
        ((OTHER,), 99.75, (OTHER, utc_stamp(1_000_000_000_750_000))),
        ((PUBLISHERS, OTHER), 99.75, (PUBLISHERS, OTHER)),
        ((OTHER,), 0.0, (OTHER,)),
    ],
    ids=["alone", "behind others", "the publisher's own wins", "arrival not known"],
)
def test_a_picture_is_stamped_with_its_arrival(
    messages: tuple[bytes, ...], received_s: float, expected: tuple[bytes, ...]
) -> None:
    stamps = UtcStamps(lambda: 100.0, lambda: 1_000_000_001.0)
    assert stamps.added(messages, received_s) == expected


def test_a_host_whose_clock_is_not_set_says_1970() -> None:
    assert UtcStamps(lambda: 100.0, lambda: 0.0).added((), 1.0) == (utc_stamp(0),)


def test_stamps_are_told_from_other_messages() -> None:
    assert has_utc((OTHER, PUBLISHERS))
    assert not has_utc((OTHER,))
    assert without_utc((PUBLISHERS, OTHER, utc_stamp(8))) == (OTHER,)
