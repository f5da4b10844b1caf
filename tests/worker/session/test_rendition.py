"""A rendition as the decode thread knows it."""

from fractions import Fraction

import pytest

from common.config.ladder import RenditionFormat
from common.media.rates import FrameRate
from worker.session.rendition import RemoteRendition, SessionRendition

FORMAT = RenditionFormat("360p", 640, 360, 0, 0, 640, 360, None, 700_000, 1000, 2000, "main", "p3")
FPS = Fraction(30)


def rate(fps: int, seconds: float = 3.0) -> FrameRate:
    meter = FrameRate()
    for number in range(round(fps * seconds)):
        meter.observe(round(number * 1000 / fps))
    return meter


@pytest.mark.parametrize("kind", [SessionRendition, RemoteRendition])
def test_one_that_has_failed_takes_nothing_up_to_a_keyframe_some_time_later(
    kind: type[SessionRendition],
) -> None:
    one = kind(0, FORMAT, FPS)
    assert one.takes(0, is_key=True)
    one.fail("no reason", 100)
    assert not one.takes(133, is_key=False)
    assert not one.takes(1000, is_key=True), "not a second yet"
    assert not one.takes(1200, is_key=False)
    assert one.takes(2000, is_key=True)
    one.fail("again", 2000)
    assert not one.takes(3500, is_key=True), "twice as long"
    assert one.takes(4000, is_key=True)


def test_while_no_session_is_to_be_had_there_is_no_other_try() -> None:
    near = True
    one = SessionRendition(0, FORMAT, FPS, lambda: near)
    one.fail("refused", 0)
    one._was_refused = True
    assert not one.takes(5000, is_key=True)
    near = False
    assert one.takes(6000, is_key=True)


def test_one_that_paused_begins_again_with_a_keyframe() -> None:
    one = SessionRendition(0, FORMAT, FPS)
    assert not one.resume()
    one.pause()
    assert not one.takes(0, is_key=True)
    assert one.resume()
    assert not one.takes(33, is_key=False)
    assert one.takes(66, is_key=True)
    assert one.takes(99, is_key=False)


def test_egress_hears_of_a_remote_one_that_paused_with_its_next_picture() -> None:
    one = RemoteRendition(0, FORMAT, FPS)
    assert not one.take_beginning()
    one.pause()
    assert not one.resume(), "nothing is to be said now"
    assert one.take_beginning()
    assert not one.take_beginning()


def test_an_encoder_is_opened_anew_for_another_rate_and_not_too_often() -> None:
    one = RemoteRendition(0, FORMAT, FPS)
    assert one.rate_to_open_for(rate(30), 3000) is None
    assert one.rate_to_open_for(rate(25, seconds=1.0), 3000) is None, "not measured yet"
    assert one.rate_to_open_for(rate(25), 3000) == 25
    assert one.fps == 25
    assert one.rate_to_open_for(rate(25), 4000) is None
    assert one.rate_to_open_for(rate(15), 5000) is None, "ten seconds apart"
    assert one.rate_to_open_for(rate(15), 13_001) == 15


def test_a_remote_one_that_is_lost_is_tried_again_with_its_own_rate() -> None:
    one = RemoteRendition(0, FORMAT, FPS)
    one.fail("no reason", 0)
    assert one.takes(2000, is_key=True)
    assert one.rate_to_open_for(rate(30), 2000) == FPS
    assert one.lost == "", "unless it is heard that it failed again"
    assert one.takes(2033, is_key=False)
