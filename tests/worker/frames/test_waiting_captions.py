"""A source's captions on their way into coded pictures."""

from common.codecs.captions import MAX_TRIPLETS, caption_data
from common.codecs.h264 import split_avcc
from tests.common.codecs.test_captions import HELLO, SLICE, unit
from worker.frames.waiting_captions import WaitingCaptions


def test_captions_of_pictures_left_out_ride_with_the_next_one() -> None:
    waiting = WaitingCaptions()
    waiting.add(HELLO[:3])
    waiting.add(b"")
    waiting.add(HELLO[3:])
    (nal,) = split_avcc(waiting.take())
    assert caption_data(unit(nal, SLICE), 4) == HELLO
    assert waiting.take() == b""


def test_more_than_one_sei_can_hold_are_spread_over_pictures_and_bounded() -> None:
    waiting = WaitingCaptions()
    many = b"".join(bytes((0xFC, index % 256, 1)) for index in range(1000))
    waiting.add(many)
    got = b""
    while sei := waiting.take():
        data = caption_data(sei, 4)
        assert len(data) <= 3 * MAX_TRIPLETS
        got += data
    assert many.endswith(got)
    assert len(got) == 3 * 20 * MAX_TRIPLETS
