"""egress/rtmp/flush_scheduler.py: flushed in the turn, or when due."""

from collections.abc import Callable
from typing import Any

import pytest

from egress.rtmp.fanout import Channel
from egress.rtmp.flush_scheduler import SLICE_S, Flushes
from egress.streams.gop_buffer import AUDIO
from egress.streams.rendition import Rendition
from tests.kit.egress import (
    AUDIO_HEADER,
    METADATA,
    STREAM,
    VIDEO_HEADER,
    MemorySink,
    audio_tag,
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
    """Channels of one stream, each with one player, and what they are flushed by."""

    def __init__(self, *names: str) -> None:
        self.loop = FakeLoop()
        self.waiting: set[str] = set()
        self.started: list[str] = []
        self.flushes = Flushes(
            self.loop,
            self.loop.clock,
            self.waiting,
            lambda channel: self.started.append(channel.rendition.name),
        )
        self.channels = {name: Channel(STREAM, _rendition(name)) for name in names}
        self.sinks = {name: MemorySink() for name in names}
        for name, channel in self.channels.items():
            channel.rendition.tags(0, *_one(key_tag(0)), self.loop.now)
            (_, dts_ms, flags, at), payload = audio_tag(0)
            channel.rendition.shared(AUDIO, dts_ms, flags, payload, at, self.loop.now)
            channel.flush(self.loop.now)
            self.sinks[name].join(channel)
            self.sinks[name].got.clear()
        self.number = 1

    def video(self, *names: str) -> None:
        for name in names:
            tag = inter_tag(self.number * 40)
            self.channels[name].rendition.tags(self.number, *_one(tag), self.loop.now)
        self.number += 1
        self.flushes.touched(self.channels, names, self.loop.now)

    def got(self, name: str) -> list[str]:
        return texts(bytes(self.sinks[name].got))


def _rendition(name: str) -> Rendition:
    rendition = Rendition(name, is_transcoded=False, audio_hold_s=0.045, flush_s=0.0)
    rendition.open(METADATA, VIDEO_HEADER, 0)
    rendition.shared(AUDIO, 0, 2, AUDIO_HEADER, 0.0, 0.0)
    return rendition


def _one(tag: Any) -> tuple[list[Any], list[bytes]]:
    return [tag[0]], [tag[1]]


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
    (_, dts, flags, at), payload = audio_tag(40)
    for _ in range(2):
        rig.channels["a"].rendition.shared(AUDIO, dts, flags, payload, at, rig.loop.now)
        rig.flushes.touched(rig.channels, ["a"], rig.loop.now)
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
    (_, dts, flags, at), payload = audio_tag(40)
    rig.channels["a"].rendition.shared(AUDIO, dts, flags, payload, at, rig.loop.now)
    rig.flushes.touched(rig.channels, ["a"], rig.loop.now)
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
    rig.waiting.add("a player")
    rig.video("a")
    rig.flushes.flush_due()
    assert rig.started == ["a"]


def test_a_channel_that_ends_sends_what_it_has_and_is_not_called_again() -> None:
    rig = Rig("a")
    (_, dts, flags, at), payload = audio_tag(40)
    rig.channels["a"].rendition.shared(AUDIO, dts, flags, payload, at, rig.loop.now)
    rig.flushes.touched(rig.channels, ["a"], rig.loop.now)
    rig.video("a")
    rig.flushes.finish(rig.channels["a"])
    assert set(rig.got("a")) == {"a40", "v40"}
    sends = rig.sinks["a"].sends
    rig.flushes.flush_due()
    rig.loop.advance(rig.loop.now + 1)
    assert rig.sinks["a"].sends == sends
