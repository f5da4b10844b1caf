"""egress/streams/flush_scheduler.py: flushed in the turn, or when due."""

from collections.abc import Callable
from typing import Any

import pytest

from egress.fanout.channel import Channel
from egress.streams.flush_scheduler import SLICE_S, FlushScheduler
from egress.streams.rendition import Rendition
from egress.streams.waiting import WaitingViewers
from tests.kit.egress import (
    METADATA,
    STREAM,
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


class FakeTimer:
    def __init__(self, at: float, callback: Callable[..., None], *args: Any) -> None:
        self.at, self.callback, self.args = at, callback, args
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """Turns and timers, by hand; it is the clock too."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], None]] = []
        self.timers: list[FakeTimer] = []

    def clock(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> FakeTimer:
        self.timers.append(FakeTimer(self.now + delay, callback, *args))
        return self.timers[-1]

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def advance(self, to: float) -> None:
        self.now = to
        due = [timer for timer in self.timers if timer.at <= to]
        self.timers = [timer for timer in self.timers if timer.at > to]
        for timer in due:
            if not timer.is_cancelled:
                timer.callback(*timer.args)

    def waiting(self) -> list[FakeTimer]:
        return [timer for timer in self.timers if not timer.is_cancelled]


class Rig:
    """Renditions of one stream, each with one player, and what they are flushed by."""

    def __init__(self, *names: str) -> None:
        self.loop = FakeLoop()
        self.waiting = WaitingViewers()
        self.started: list[str] = []
        self.flushes = FlushScheduler(self.loop, self.loop.clock, self.waiting)
        self.renditions = {name: _rendition(name) for name in names}
        self.channels = {name: Channel(each) for name, each in self.renditions.items()}
        self.sinks = {name: MemorySink() for name in names}
        for name, rendition in self.renditions.items():
            give(rendition, 0, key_tag(0), now=self.loop.now)
            give_shared(rendition, audio_tag(0), now=self.loop.now)
            rendition.flush()
            self.sinks[name].join(self.channels[name])
            self.sinks[name].got.clear()
        self.number = 1

    def video(self, *names: str) -> None:
        for name in names:
            tag = inter_tag(self.number * 40)
            give(self.renditions[name], self.number, tag, now=self.loop.now)
        self.number += 1
        self.flushes.touched(self.renditions, names, self.loop.now)

    def audio(self, name: str) -> None:
        give_shared(self.renditions[name], audio_tag(40), now=self.loop.now)

    def got(self, name: str) -> list[str]:
        return texts(bytes(self.sinks[name].got))


def _rendition(name: str) -> Rendition:
    rendition = egress_rendition(name)
    rendition.open(METADATA, VIDEO_HEADER, 0)
    give_shared(rendition, audio_header_tag(0))
    return rendition


def test_what_a_read_touched_is_flushed_behind_it_by_one_send() -> None:
    rig = Rig("a", "b")
    rig.video("a", "b")
    rig.video("a")
    assert rig.got("a") == []
    rig.flushes.flush_due()
    assert rig.got("a") == ["v40", "v80"]
    assert rig.got("b") == ["v40"]
    assert rig.sinks["a"].sends == 1
    assert rig.sinks["b"].sends == 1
    assert rig.loop.soon == []


def test_audio_without_its_picture_waits_with_one_timer_and_goes_with_the_picture() -> None:
    rig = Rig("a")
    for _ in range(2):
        rig.audio("a")
        rig.flushes.touched(rig.renditions, ["a"], rig.loop.now)
    rig.flushes.flush_due()
    assert rig.got("a") == []
    [timer] = rig.loop.waiting()
    assert timer.at == pytest.approx(rig.loop.now + 0.045)
    rig.video("a")
    rig.flushes.flush_due()
    assert set(rig.got("a")) == {"a40", "v40"}
    assert rig.loop.waiting() == []


def test_audio_without_its_picture_goes_when_its_time_is_up() -> None:
    rig = Rig("a")
    rig.audio("a")
    rig.flushes.touched(rig.renditions, ["a"], rig.loop.now)
    rig.loop.advance(rig.loop.now + 0.05)
    assert rig.got("a") == ["a40"]


def test_a_long_backlog_lets_the_loop_have_its_turn() -> None:
    rig = Rig("a", "b", "c")

    class SlowSink(MemorySink):
        def send(self, data: bytes, /) -> int:
            rig.loop.now += 2 * SLICE_S
            return super().send(data)

    slow = SlowSink()
    slow.join(rig.channels["a"])
    rig.video("a", "b", "c")
    rig.flushes.flush_due()
    assert rig.got("a") == ["v40"]
    assert rig.got("b") == []
    rig.video("a")
    assert len(rig.loop.soon) == 1
    rig.loop.turn()
    assert rig.got("b") == ["v40"]
    assert rig.got("c") == ["v40"]
    rig.loop.turn()
    assert rig.got("a") == ["v40", "v80"]


def test_a_fault_in_one_rendition_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig("a", "b")

    class Broken(MemorySink):
        def send(self, data: bytes, /) -> int:
            raise RuntimeError("a bug")

    Broken().join(rig.channels["a"])
    rig.video("a", "b")
    rig.flushes.flush_due()
    assert rig.got("b") == ["v40"]
    assert "a flush failed" in caplog.text


def test_a_start_is_told_only_while_somebody_waits() -> None:
    rig = Rig("a")
    rig.video("a")
    rig.flushes.flush_due()
    assert rig.started == []
    rig.waiting.add(STREAM, "a", "a player", lambda: rig.started.append("a"))
    rig.waiting.add(STREAM, "b", "another", lambda: rig.started.append("b"))
    rig.video("a")
    rig.flushes.flush_due()
    assert rig.started == ["a"]


def test_a_channel_that_ends_sends_what_it_has_and_is_not_called_again() -> None:
    rig = Rig("a")
    rig.audio("a")
    rig.flushes.touched(rig.renditions, ["a"], rig.loop.now)
    rig.video("a")
    rig.flushes.finish(rig.renditions["a"])
    assert set(rig.got("a")) == {"a40", "v40"}
    sends = rig.sinks["a"].sends
    rig.flushes.flush_due()
    rig.loop.advance(rig.loop.now + 1)
    assert rig.sinks["a"].sends == sends
