"""egress/streams/subscribers.py: several kinds at once, each from a keyframe, none at a cost."""

import pytest

from egress.fanout.channel import Channel
from egress.streams.rendition import Rendition
from egress.streams.subscribers import MAX_BATCH, Start
from tests.kit.egress import (
    AUDIO_HEADER,
    METADATA,
    VIDEO_HEADER,
    MemorySink,
    audio_header_tag,
    audio_tag,
    egress_rendition,
    give,
    give_shared,
    inter_tag,
    key_tag,
    texts,
)
from tests.kit.unit_recorder import UnitRecorder


class Feed:
    """A rendition with a keyframe every `gop` pictures."""

    def __init__(self, gop: int = 5, step_ms: int = 40, *, keeps_last: bool = False) -> None:
        self.rendition: Rendition = egress_rendition(keeps_last=keeps_last)
        self.rendition.open(METADATA, VIDEO_HEADER, 0)
        give_shared(self.rendition, audio_header_tag(0))
        self.gop = gop
        self.step_ms = step_ms
        self.number = 0

    def next(self, count: int = 1) -> None:
        """Pictures, each with its sound and a flush of its own."""
        for _ in range(count):
            self.put()
            self.rendition.flush()

    def put(self) -> None:
        at_ms = self.number * self.step_ms
        is_key = self.number % self.gop == 0
        give(self.rendition, self.number, key_tag(at_ms) if is_key else inter_tag(at_ms))
        give_shared(self.rendition, audio_tag(at_ms))
        self.number += 1


def test_who_subscribes_gets_the_configuration_and_then_the_buffered_gop() -> None:
    feed = Feed()
    feed.next(7)
    recorder = UnitRecorder()
    feed.rendition.subscribe(recorder)
    assert recorder.read() == ["C", "v200K", "a200", "v240", "a240"]
    assert recorder.config is not None
    parts = (recorder.config.script, recorder.config.video, recorder.config.audio)
    assert [part.body for part in parts if part is not None] == [
        METADATA,
        VIDEO_HEADER,
        AUDIO_HEADER,
    ]
    feed.next()
    assert recorder.read() == ["v280", "a280"]


def test_units_are_the_coded_data_without_flv() -> None:
    feed = Feed()
    feed.next(2)
    recorder = UnitRecorder()
    feed.rendition.subscribe(recorder)
    assert recorder.units() == [b"v0", b"a0", b"v40", b"a40"]


def test_of_a_backlog_only_who_wants_all_of_it_begins_at_its_first_keyframe() -> None:
    feed = Feed()
    viewer, recording = UnitRecorder(), UnitRecorder()
    feed.rendition.subscribe(viewer)
    feed.rendition.subscribe(recording, Start.FIRST)
    for _ in range(8):
        feed.put()
    feed.rendition.flush()
    assert viewer.read()[:2] == ["C", "v200K"]
    assert recording.read()[:2] == ["C", "v0K"]
    assert recording.config is not None
    assert recording.config.video is not None


def test_who_wants_all_of_it_gets_the_gops_before_too_where_they_are_kept() -> None:
    feed = Feed(keeps_last=True)
    feed.next(12)
    viewer, segments = UnitRecorder(), UnitRecorder()
    feed.rendition.subscribe(viewer)
    feed.rendition.subscribe(segments, Start.FIRST)
    assert viewer.read()[:2] == ["C", "v400K"]
    found = segments.read()
    assert found[:2] == ["C", "v0K"]
    assert [each for each in found if each.startswith("v")] == [
        "v0K",
        *("v40", "v80", "v120", "v160"),
        "v200K",
        *("v240", "v280", "v320", "v360"),
        "v400K",
        "v440",
    ]


@pytest.mark.parametrize("start", [Start.LIVE, Start.GOP])
def test_without_a_gop_to_start_from_the_next_keyframe_is_the_start(start: Start) -> None:
    feed = Feed()
    if start is Start.LIVE:
        feed.next(2)  # there is one, and it is not wanted
    recorder = UnitRecorder()
    feed.rendition.subscribe(recorder, start)
    assert recorder.config is None
    feed.next(6)
    key = "v0K" if start is Start.GOP else "v200K"
    assert recorder.read()[:2] == ["C", key]


def test_nothing_is_given_twice_or_missed_where_something_waits_to_be_flushed() -> None:
    feed = Feed()
    feed.next(2)
    feed.put()
    early = UnitRecorder()
    feed.rendition.subscribe(early)
    assert early.read() == ["C", "v0K", "a0", "v40", "a40"]
    feed.rendition.flush()
    assert early.read() == ["v80", "a80"]
    for _ in range(3):
        feed.put()
    late = UnitRecorder()
    feed.rendition.subscribe(late)
    assert late.read() == [], "a newer keyframe is about to come"
    feed.rendition.flush()
    assert late.read() == ["C", "v200K", "a200"]


def test_of_a_backlog_the_last_keyframe_is_the_start() -> None:
    feed = Feed()
    recorder = UnitRecorder()
    feed.rendition.subscribe(recorder)
    for _ in range(12):
        feed.put()
    feed.rendition.flush()
    assert recorder.read() == ["C", "v400K", "a400", "v440", "a440"]


def test_a_configuration_that_changes_comes_between_the_units_it_changes_between() -> None:
    feed = Feed(gop=2)
    recorder, joined = UnitRecorder(), UnitRecorder()
    feed.rendition.subscribe(recorder)
    for _ in range(2):
        feed.put()
    feed.rendition.open(b"", VIDEO_HEADER + b"2", 2)
    feed.put()
    give_shared(feed.rendition, audio_header_tag(80, AUDIO_HEADER + b"2"))
    feed.put()
    feed.rendition.flush()
    feed.rendition.subscribe(joined)
    assert recorder.read() == ["C", "v80K", "a80", "C", "v120", "a120"]
    assert joined.read() == ["C", "v80K", "a80", "C", "v120", "a120"]
    assert recorder.config is joined.config
    assert joined.config is not None
    assert joined.config.video is not None
    assert joined.config.video.body == VIDEO_HEADER + b"2"
    assert joined.config.audio is not None
    assert joined.config.audio.body == AUDIO_HEADER + b"2"


def test_several_kinds_take_a_rendition_at_once() -> None:
    feed = Feed()
    feed.next(2)
    channel, recorder, sink = Channel(feed.rendition), UnitRecorder(), MemorySink()
    sink.join(channel)
    feed.rendition.subscribe(recorder)
    feed.next(5)
    assert [word for word in recorder.read() if word != "C"] == [
        word + ("K" if word in ("v0", "v200") else "")
        for word in texts(bytes(sink.got))
        if word[0] in "va"
    ]
    assert not channel.behind, "the player got what all in step get"


def test_one_that_leaves_is_called_no_more_and_the_others_are() -> None:
    feed = Feed()
    feed.next(1)
    first, second = UnitRecorder(), UnitRecorder()
    feed.rendition.subscribe(first)
    feed.rendition.subscribe(second)
    feed.rendition.unsubscribe(first)
    feed.next(1)
    assert first.read() == ["C", "v0K", "a0"]
    assert second.read()[-2:] == ["v40", "a40"]
    assert first.ended is None
    feed.rendition.unsubscribe(second)
    assert not feed.rendition.is_subscribed


def test_one_that_leaves_while_it_is_given_units_gets_no_more_of_them() -> None:
    feed = Feed(gop=10_000)

    class Leaver(UnitRecorder):
        def on_config(self, config: object, /) -> None:
            super().on_config(config)  # type: ignore[arg-type]  # as it is called
            feed.rendition.unsubscribe(self)

    feed.next(3)
    leaver = Leaver()
    feed.rendition.subscribe(leaver)
    feed.next(1)
    assert leaver.read() == []
    assert leaver.config is not None


def test_a_slow_one_costs_the_others_nothing() -> None:
    feed = Feed(gop=25)
    feed.next(1)
    slow, quick = UnitRecorder(queue_ms=1_000), UnitRecorder()
    channel, sink = Channel(feed.rendition), MemorySink()
    feed.rendition.subscribe(slow)
    feed.rendition.subscribe(quick)
    sink.join(channel)
    everything = []
    for _ in range(60):
        feed.next(5)
        assert slow.lag_ms <= 1_000
        everything += quick.read()
    expected = [f"v{i * 40}" + ("K" if i % 25 == 0 else "") for i in range(301)]
    assert [word for word in everything if word[0] == "v"] == expected
    assert [word for word in texts(bytes(sink.got)) if word[0] == "v"] == [
        word.rstrip("K") for word in expected
    ]
    assert quick.dropped == sink.player.dropped == 0
    assert slow.dropped > 300
    rest = slow.read()
    assert not rest or rest[:2] == ["C", next(word for word in rest if word.endswith("K"))]


@pytest.mark.parametrize("fails_at", ["its start", "a flush", "its end too"])
def test_one_that_raises_is_ended_alone(fails_at: str, caplog: pytest.LogCaptureFixture) -> None:
    feed = Feed()
    feed.next(1)
    broken, whole, sink = UnitRecorder(), UnitRecorder(), MemorySink()
    if fails_at == "its start":
        broken.fails_with = RuntimeError("a bug")
    is_taken = feed.rendition.subscribe(broken)
    assert is_taken is (fails_at != "its start")
    feed.rendition.subscribe(whole)
    sink.join(Channel(feed.rendition))

    class FailsOnce(RuntimeError):
        pass

    broken.fails_with = FailsOnce("a bug")
    feed.next(2)
    assert "a flush failed" in caplog.text
    assert "UnitRecorder" in caplog.text
    assert [word for word in whole.read() if word[0] == "v"] == ["v0K", "v40", "v80"]
    assert texts(bytes(sink.got))[-2:] == ["v80", "a80"]
    failures = caplog.text.count("a flush failed")
    feed.next(2)
    assert caplog.text.count("a flush failed") == failures == 1


def test_one_that_raises_hears_of_its_end() -> None:
    feed = Feed()

    class FailsAtUnits(UnitRecorder):
        def on_units(self, tags: object, /) -> None:
            raise RuntimeError("a bug")

    broken = FailsAtUnits()
    feed.rendition.subscribe(broken)
    feed.next(1)
    assert broken.ended == "it failed"


def test_batches_are_bounded_however_long_the_backlog_is() -> None:
    feed = Feed(gop=10_000, step_ms=10)
    recorder, joined = UnitRecorder(), UnitRecorder()
    feed.rendition.subscribe(recorder)
    for _ in range(MAX_BATCH):
        feed.put()
    feed.rendition.flush()
    feed.rendition.subscribe(joined)
    for each in (recorder, joined):
        assert each.largest_batch == MAX_BATCH
        assert len(each.read()) == 1 + 2 * MAX_BATCH


def test_at_the_end_all_are_ended_once() -> None:
    feed = Feed()
    feed.next(1)
    recorder, sink = UnitRecorder(), MemorySink()
    feed.rendition.subscribe(recorder)
    sink.join(Channel(feed.rendition))
    feed.rendition.end("it is over")
    feed.rendition.end("again")
    assert (recorder.ended, sink.ended) == ("it is over", "it is over")
    assert not feed.rendition.is_subscribed


@pytest.mark.parametrize("start", [Start.GOP, Start.FIRST])
def test_behind_a_gop_that_is_not_kept_it_begins_with_a_still_and_the_sound(start: Start) -> None:
    feed = Feed(gop=30, step_ms=1_000)
    feed.next(25)
    assert feed.rendition.has_start
    recorder = UnitRecorder()
    feed.rendition.subscribe(recorder, start)
    assert recorder.read() == ["C", "v24000K"]
    feed.next(2)
    give_shared(feed.rendition, audio_header_tag(26_000, AUDIO_HEADER + b"x"))
    feed.next(1)
    assert recorder.read() == ["a25000", "a26000", "C", "a27000"]
    feed.next(4)
    assert recorder.read() == ["a28000", "a29000", "v30000K", "a30000", "v31000", "a31000"]


def test_who_wants_no_picture_of_before_waits_for_the_next_keyframe() -> None:
    feed = Feed(gop=30, step_ms=1_000)
    feed.next(25)
    recorder = UnitRecorder()
    feed.rendition.subscribe(recorder, Start.LIVE)
    feed.next(6)
    assert recorder.read() == ["C", "v30000K", "a30000"]
