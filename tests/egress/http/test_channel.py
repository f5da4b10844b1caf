"""egress/http/channel.py: viewers of a rendition, from a keyframe on, and how bodies end."""

import itertools

from egress.http.channel import SILENT_MS, Channel, Channels
from egress.http.from_units import OTHER_TRACKS
from tests.kit.http_viewer import Feed, MemoryViewer, audio_header, video_header
from tests.kit.ingest_ports import SPS_720


def test_a_viewer_begins_with_the_buffered_gop_and_goes_on() -> None:
    feed = Feed(gop=5)
    feed.next(8)
    channel, viewer = Channel(feed.rendition), MemoryViewer()
    viewer.join(channel)
    assert viewer.head.startswith("HTTP/1.1 200 OK")
    assert "avc1.640028, mp4a.40.2" in viewer.head
    assert viewer.shown_ms == [200, 240], "the last one is held until the next has come"
    feed.next(4)
    assert viewer.shown_ms == [200, 240, 280, 320, 360, 400]


def test_a_second_viewer_begins_with_the_same_gop_made_once() -> None:
    feed = Feed(gop=5)
    feed.next(1)
    channel, first, second = Channel(feed.rendition), MemoryViewer(), MemoryViewer()
    first.join(channel)
    feed.next(3)
    second.join(channel)
    feed.next(2)
    assert second.shown_ms == first.shown_ms == [0, 40, 80, 120, 160]


def test_one_who_comes_before_the_first_keyframe_has_no_answer_until_then() -> None:
    feed = Feed(gop=5)
    channel, viewer = Channel(feed.rendition), MemoryViewer()
    viewer.join(channel)
    assert viewer.got == b""
    feed.next(3)
    assert viewer.shown_ms == [0, 40]


def test_nobody_who_watches_means_no_subscription() -> None:
    feed = Feed()
    empty: list[Channel] = []
    channel, viewer = Channel(feed.rendition, on_empty=empty.append), MemoryViewer()
    assert not feed.rendition.is_subscribed
    viewer.join(channel)
    assert feed.rendition.is_subscribed
    channel.remove(viewer)
    assert not feed.rendition.is_subscribed
    assert empty == [channel]


def test_a_slow_viewer_costs_the_others_nothing_and_skips_to_a_keyframe() -> None:
    feed = Feed(gop=5, size=100)
    channel, slow, quick = Channel(feed.rendition), MemoryViewer(1_500, 200), MemoryViewer()
    slow.join(channel)
    quick.join(channel)
    feed.next(30)
    assert quick.shown_ms == [40 * at for at in range(29)]
    slow.room = 1 << 40
    slow.on_queued()
    feed.next(1)
    shown = slow.shown_ms
    assert shown[-1] == quick.shown_ms[-1]
    gaps = [b for a, b in itertools.pairwise(shown) if b - a != 40]
    assert gaps
    assert all(at % 200 == 0 for at in gaps), "behind a gap there is a keyframe"
    assert channel.dropped() == slow.queue.dropped > 0


def test_another_size_goes_on_in_the_same_body() -> None:
    feed = Feed(gop=5)
    channel, viewer = Channel(feed.rendition), MemoryViewer()
    viewer.join(channel)
    feed.next(5)
    feed.configure(video_header(SPS_720))
    feed.next(5)
    assert viewer.ended is None
    assert viewer.shown_ms == [40 * at for at in range(9)]
    late = MemoryViewer()
    late.join(channel)
    assert "avc1.64001f" in late.head


def test_sound_that_begins_later_asks_for_another_body_and_the_next_has_it() -> None:
    silent = Feed(gop=5, audio=b"")
    channel, viewer, waiting = Channel(silent.rendition), MemoryViewer(), MemoryViewer()
    viewer.join(channel)
    silent.next(7, is_silent=True)
    assert "mp4a" not in viewer.head
    silent.configure(b"", audio_header())
    silent.next(1)
    assert viewer.ended == (OTHER_TRACKS, False)
    waiting.join(channel)
    assert waiting.got == b"", "it begins at the next keyframe"
    silent.next(4)
    assert "mp4a" in waiting.head
    assert waiting.shown_ms == [400]


def test_sound_that_stops_is_no_track_any_more_until_it_comes_again() -> None:
    """Browsers would wait for it for ever."""
    feed = Feed(gop=5)
    feed.next(5)
    channel, first, second, third = Channel(feed.rendition), *(MemoryViewer() for _ in range(3))
    first.join(channel)
    feed.next(SILENT_MS // feed.step_ms - 1, is_silent=True)
    assert first.ended is None
    feed.next(2, is_silent=True)
    assert first.ended == (OTHER_TRACKS, False)
    second.join(channel)
    feed.next(10, is_silent=True)
    assert "mp4a" not in second.head
    assert second.ended is None
    feed.next(1)
    assert second.ended == (OTHER_TRACKS, False)
    third.join(channel)
    feed.next(10)
    assert "mp4a" in third.head
    assert len(third.movie.of(2)) > 0


def test_a_rendition_that_is_over_ends_its_viewers_with_the_reason() -> None:
    feed = Feed()
    channels = Channels()
    viewer, waiting = MemoryViewer(), MemoryViewer()
    feed.next(2)
    viewer.join(channels.get(feed.rendition, has_sound=True))
    waiting.join(channels.get(feed.rendition, has_sound=True))
    feed.rendition.end("the publisher left")
    assert viewer.ended == waiting.ended == ("the publisher left", True)
    assert channels.audience(feed.rendition.stream_id) == {}


def test_viewers_with_and_without_sound_are_counted_together() -> None:
    feed = Feed()
    feed.next(2)
    channels = Channels()
    loud, quiet = MemoryViewer(), MemoryViewer(is_chunked=False)
    loud.join(channels.get(feed.rendition, has_sound=True))
    quiet.join(channels.get(feed.rendition, has_sound=False))
    assert channels.audience(feed.rendition.stream_id)["x"].players == 2
    assert "mp4a" in loud.head
    assert "mp4a" not in quiet.head
    assert quiet.shown_ms == loud.shown_ms


def test_what_viewers_missed_stays_counted_when_they_are_gone() -> None:
    feed = Feed(gop=5, size=100)
    channels, slow = Channels(), MemoryViewer(1_500, 200)
    channel = channels.get(feed.rendition, has_sound=True)
    slow.join(channel)
    feed.next(30)
    missed = slow.queue.dropped
    channel.remove(slow)
    assert feed.rendition.dropped == missed > 0
    assert feed.rendition.sent_bytes == len(slow.got)


def test_a_header_that_cannot_be_read_ends_viewers_and_no_more_is_kept() -> None:
    feed = Feed(gop=2)
    channels, viewer = Channels(), MemoryViewer()
    viewer.join(channels.get(feed.rendition, has_sound=True))
    feed.next(2)
    feed.configure(b"\x17\0\0\0\0")
    feed.next(1)
    assert viewer.ended is not None
    assert viewer.ended[1], "who asks again gets nothing better"
    assert not feed.rendition.is_subscribed
