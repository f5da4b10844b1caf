"""A source's user data on their way into coded pictures."""

from common.media.units import VideoCodec
from common.sei.user_data import MAX_PICTURE_BYTES, user_data_in
from common.sei.utc import UTC_UUID, utc_stamp
from tests.common.sei.test_user_data import CLOCK, message
from worker.frames.waiting_user_data import MAX_WAITING_BYTES, WaitingUserData

find = user_data_in(VideoCodec.H265, [CLOCK, str(UTC_UUID)])


def test_messages_of_pictures_left_out_ride_with_the_next_one() -> None:
    waiting = WaitingUserData(VideoCodec.H265)
    one, two, three = (message(CLOCK, text) for text in (b"1", b"2", b"3"))
    waiting.add((one, two))
    waiting.add(())
    waiting.add((three,))
    assert find(waiting.take(), 4) == (one, two, three)
    assert waiting.take() == b""


def test_of_stamps_a_picture_has_its_own_alone() -> None:
    waiting = WaitingUserData(VideoCodec.H265)
    said = message(CLOCK)
    waiting.add((said, utc_stamp(1)))
    waiting.add((utc_stamp(2),))
    assert find(waiting.take(), 4) == (said, utc_stamp(2))


def test_what_waits_is_bounded_and_the_newest_stay() -> None:
    waiting = WaitingUserData(VideoCodec.H264)
    every = [message(CLOCK, bytes((index,)) * 1000) for index in range(100)]
    for one in every:
        waiting.add((one,))
    sei = waiting.take()
    stayed = MAX_WAITING_BYTES // 1016
    assert every[-stayed] in sei
    assert every[-stayed - 1] not in sei
    assert len(sei) <= MAX_WAITING_BYTES + 1000
    assert MAX_WAITING_BYTES >= MAX_PICTURE_BYTES


def test_a_rendition_of_av1_has_none() -> None:
    waiting = WaitingUserData(VideoCodec.AV1)
    waiting.add((message(CLOCK),))
    assert waiting.take() == b""
