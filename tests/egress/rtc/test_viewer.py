"""A viewer: where it begins, what it is sent again, and how it changes renditions."""

import struct

import pytest

from common.rtp import rtcp
from common.rtp.history import History
from common.rtp.rtcp import Lost
from egress.rtc.viewer import State
from tests.kit.rtc_viewer import FIRST_SEQUENCE, STEP_MS, PictureFeed, Watching


def started(feed, **options):
    watching = Watching(feed, **options)
    watching.viewer.start(watching.now)
    return watching


@pytest.mark.parametrize("before", [1, 2, 3, 10, 24, 25, 26, 49, 60])
def test_it_begins_at_the_last_keyframe_and_catches_up_without_a_gap(before):
    feed = PictureFeed(gop=25)
    feed.next(before)
    watching = started(feed)
    watching.run(40)
    assert watching.viewer.state is State.LIVE
    key = (before - 1) // 25 * 25
    pictures = watching.screen.pictures()
    assert [number for number, _ in pictures] == list(range(key, before + 40))
    # once it has caught up, times are those of the media
    assert all(time_ms == number * STEP_MS for number, time_ms in pictures[-20:])


def test_what_is_replayed_runs_as_fast_as_its_timestamps():
    feed = PictureFeed(gop=100)
    feed.next(76)
    watching = started(feed)
    began = watching.now
    while watching.viewer.state is State.REPLAYING:
        watching.pass_ms(5)
    # 3 s at four times real time; as much again as would have come meanwhile
    assert watching.now - began == pytest.approx(1.0, abs=0.02)
    times = [time_ms for _, time_ms in watching.screen.pictures()]
    assert times[-1] - times[0] == pytest.approx(750, abs=10)
    assert times[0] == 75 * STEP_MS  # as if it had begun at the newest


def test_it_may_begin_at_the_next_keyframe():
    feed = PictureFeed(gop=25)
    feed.next(30)
    watching = started(feed, is_live_start=True)
    watching.run(10)
    assert watching.viewer.state is State.WAITING
    assert not watching.screen.packets
    watching.run(20)
    assert watching.screen.numbers() == list(range(50, 60))


def test_nothing_is_sent_before_it_is_connected():
    feed = PictureFeed()
    watching = Watching(feed)
    watching.run(10)
    assert not watching.screen.packets
    assert not watching.viewer.is_timed


def test_a_group_too_long_is_not_replayed():
    feed = PictureFeed(gop=500)
    feed.next(200)
    watching = started(feed)
    watching.run(10)
    assert watching.viewer.state is State.WAITING
    assert not watching.screen.packets


def test_what_was_lost_is_sent_again():
    feed = PictureFeed(gop=25)
    feed.next(1)
    watching = started(feed)
    watching.run(3)
    watching.loses = 5
    watching.run(5)
    lost = watching.screen.lost
    assert len(lost) == 5
    ask(watching, lost)
    assert watching.screen.numbers() == list(range(9))
    assert all(packet.ssrc == 12 for packet in watching.screen.repeats)


def ask(watching, lost):
    packet = rtcp.lost_packets(1, 11, [at & 0xFFFF for at in lost])
    for said in rtcp.parse(packet):
        assert isinstance(said, Lost)
        watching.viewer.on_lost(said)


def test_numbers_that_were_never_sent_cost_nothing():
    feed = PictureFeed()
    feed.next(1)
    watching = started(feed)
    watching.run(3)
    before = len(watching.screen.packets)
    ask(watching, range(FIRST_SEQUENCE + before, FIRST_SEQUENCE + before + 300))
    watching.viewer.on_lost(Lost(99, (1, 2)))
    assert not watching.screen.repeats
    assert watching.viewer.is_refused_repeats == 300


def test_a_keyframe_is_made_up_for_by_the_last_one_once_a_second():
    feed = PictureFeed(gop=75)
    feed.next(1)
    watching = started(feed)
    watching.run(30)
    watching.viewer.on_keyframe_wanted(watching.now)
    assert watching.viewer.state is State.REPLAYING
    watching.run(20)
    pictures = watching.screen.pictures()
    assert [number for number, _ in pictures] == [*range(31), *range(51)]


def test_the_next_keyframe_is_waited_for_where_it_is_near():
    feed = PictureFeed(gop=25)
    feed.next(1)
    watching = started(feed)
    watching.run(44)  # 0.8 s into a group of 1 s
    watching.viewer.on_keyframe_wanted(watching.now)
    assert not watching.viewer.is_timed
    watching.run(20)  # 0.6 s into the next
    watching.viewer.on_keyframe_wanted(watching.now)
    assert watching.viewer.state is State.REPLAYING
    watching.run(15)
    assert watching.screen.numbers() == [*range(65), *range(50, 80)]
    packets = len(watching.screen.packets)
    for _ in range(100):
        watching.viewer.on_keyframe_wanted(watching.now)
    assert len(watching.screen.packets) == packets


@pytest.mark.parametrize("late", [0, 1, 3])
@pytest.mark.parametrize("is_other_late", [True, False])
def test_another_rendition_is_taken_at_a_keyframe_of_both(late, is_other_late):
    one, other = PictureFeed(gop=25), PictureFeed(gop=25, size=900, name="360p")
    one.next(10)
    other.next(10)
    watching = started(one)
    watching.feeds = [one, other] if is_other_late else [other, one]
    watching.run(5, late=late)
    watching.viewer.prefer(other.channel)
    watching.run(40, late=late)
    assert watching.viewer.rendition == "360p"
    assert watching.viewer.switched == 1
    pictures = watching.screen.pictures()
    assert [number for number, _ in pictures] == list(range(len(pictures)))
    assert not one.channel.viewers
    assert other.channel.viewers


def test_a_rendition_that_has_no_keyframe_then_is_not_waited_for():
    one, other = PictureFeed(gop=25), PictureFeed(gop=1000, name="360p")
    one.next(10)
    other.next(10)
    watching = started(one)
    watching.viewer.prefer(other.channel)
    watching.feeds = [one, other]
    watching.run(40)
    assert watching.viewer.state is State.LIVE
    assert watching.viewer.rendition == "720p"
    assert watching.screen.numbers() == list(range(50))


def test_a_switch_can_be_called_off():
    one, other = PictureFeed(gop=25), PictureFeed(gop=25, name="360p")
    one.next(20)
    watching = started(one)
    watching.viewer.prefer(other.channel)
    watching.run(8)  # beyond the keyframe: it waits for the other's
    watching.viewer.prefer(one.channel)
    watching.run(10)
    assert watching.screen.numbers() == list(range(38))
    assert not other.channel.viewers


def test_the_end_of_a_rendition_ends_its_viewer_or_gives_it_the_other():
    one, other = PictureFeed(gop=25), PictureFeed(gop=25, name="360p")
    one.next(30)
    other.next(30)
    watching = started(one)
    watching.feeds = [one, other]
    watching.run(5)
    watching.viewer.prefer(other.channel)
    one.rendition.end("it is over")
    watching.feeds = [other]
    watching.run(40)
    assert watching.viewer.rendition == "360p"
    assert not watching.viewer.ended
    assert watching.screen.numbers()[-10:] == list(range(65, 75))
    other.rendition.end("it is over")
    assert watching.viewer.ended == "it is over"


def test_sound_comes_with_pictures_that_are_live_and_reports_say_so():
    feed = PictureFeed(gop=50)
    feed.next(45)
    watching = started(feed)
    viewer, history = watching.viewer, History(has_keys=False)
    sound = history.append([b"opus"], 1780, is_key=False)
    viewer.on_sound(history, sound)
    assert viewer.state is State.REPLAYING
    assert not watching.screen.sound
    assert viewer.reports(1.0, watching.now, b"tfarm") is None
    watching.run(40)
    viewer.on_sound(history, sound)  # it is too old by now
    viewer.on_sound(history, history.append([b"opus"], 3400, is_key=False))
    (packet,) = watching.screen.sound
    assert (packet.timestamp, packet.ssrc, packet.is_marked) == (3400 * 48, 13, True)
    reports = viewer.reports(1.0, watching.now, b"tfarm")
    assert reports is not None
    ssrc, _, timestamp, packets, _ = struct.unpack_from("!IQIII", reports, 4)
    assert (ssrc, packets) == (11, viewer.video.packets)
    passed_ms = (timestamp - viewer.video.timestamp(0)) % 2**32 / 90
    assert passed_ms == pytest.approx(84 * STEP_MS + STEP_MS, abs=10)


def test_who_leaves_is_called_no_more():
    one, other = PictureFeed(), PictureFeed(name="360p")
    one.next(3)
    watching = started(one)
    watching.viewer.prefer(other.channel)
    watching.viewer.leave()
    assert not one.channel.viewers
    assert not other.channel.viewers
