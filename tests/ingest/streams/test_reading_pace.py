"""ingest/streams/reading_pace.py: files are read in real time, relays' bursts at once."""

from collections.abc import Callable

import pytest

from ingest.streams.reading_pace import (
    KEPT_LEAD_S,
    MAX_BURST_S,
    MAX_LEAD_S,
    TOO_FAST,
    ReadingPace,
    ReadingState,
)

PICTURE_S = 0.04
SIZE = 2_000  # bytes a picture
ROOM = 150_000  # what the kernel keeps of a connection


class Wire:
    """A publisher and the reading of it, by steps of 10 ms: pieces of 16 KiB, holds, ticks."""

    def __init__(self, sent_s: Callable[[float], float], room: int = ROOM) -> None:
        """`sent_s`: how many seconds of media a publisher has sent by a time, if it can."""
        self.pace = ReadingPace()
        self.read_pictures = 0
        self.arrived = 0  # pictures in the kernel or read
        self.now = 0.0
        self._sent_s = sent_s
        self._room = room
        self._held_until_s = 0.0

    def run(self, until_s: float) -> None:
        while self.now < until_s:
            self.now = round(self.now + 0.01, 2)
            wanted = int(self._sent_s(self.now) / PICTURE_S)
            self.arrived = min(wanted, self.read_pictures + self._room // SIZE)
            if self.now >= self._held_until_s:
                self._read()
            elif round(self.now * 100) % 10 == 0:
                self.pace.look(self.now, self.unread * SIZE)

    @property
    def unread(self) -> int:
        return self.arrived - self.read_pictures

    def _read(self) -> None:
        for _ in range(16):
            pictures = min(self.unread, 8)
            if not pictures:
                return
            for _ in range(pictures):
                self.read_pictures += 1
                self.pace.see(round(self.read_pictures * PICTURE_S * 1000), self.now, SIZE)
            if self.pace.is_fast:
                self.pace.read(self.now, self.unread * SIZE)
            if self.pace.waits_s > 0:
                self._held_until_s = self.now + min(self.pace.waits_s, 2.0)
                return

    @property
    def late_s(self) -> float:
        """How much of what was sent is not read."""
        return self._sent_s(self.now) - self.read_pictures * PICTURE_S


@pytest.mark.parametrize(
    ("name", "sent_s", "by_s"),
    [
        ("in real time", lambda s: s, 0.1),
        ("a GOP of 4 s", lambda s: s + 4, 0.1),
        ("a GOP of 8 s", lambda s: s + 8, 1.5),
        ("a GOP of 8 s over a path of 16 times real time", lambda s: min(16 * s, s + 8), 2.5),
        ("a GOP of 11 s", lambda s: s + 11, 4.5),
        ("a GOP of 20 s", lambda s: s + 20, 9.5),
        ("held up for 4 s, then all of it", lambda s: s if s < 3 else max(3, s * (s > 7)), 9.0),
    ],
)
def test_who_sends_in_real_time_is_read_at_once_after_its_burst(
    name: str, sent_s: Callable[[float], float], by_s: float
) -> None:
    wire = Wire(sent_s, room=2_000_000)
    wire.run(by_s)
    for _ in range(20):
        wire.run(wire.now + 1.0)
        assert wire.late_s <= 2 * PICTURE_S
    assert wire.pace.state is ReadingState.LIVE
    notices = wire.pace.notices
    assert not notices or notices[-1].endswith("at once, as relays do, and sends in real time")


@pytest.mark.parametrize(
    ("name", "sent_s", "by_s"),
    [
        ("at once", lambda s: 60.0, 1.5),
        ("as fast as it is read", lambda s: 1000.0, 1.5),
        ("ten times as fast", lambda s: 10 * s, 2.5),
        ("three times as fast", lambda s: 3 * s, 8.0),
        ("twice as fast", lambda s: 2 * s, 12.0),
        ("1.8 times as fast", lambda s: 1.8 * s, 14.0),
    ],
)
def test_a_file_is_read_in_real_time(
    name: str, sent_s: Callable[[float], float], by_s: float
) -> None:
    wire = Wire(sent_s)
    wire.run(by_s)
    assert wire.pace.state is ReadingState.FILE
    assert wire.pace.notices[-1] == TOO_FAST
    # what it got ahead until it was known is made up for, and then it keeps to the clock
    lead_s = wire.read_pictures * PICTURE_S - wire.now
    assert lead_s <= max(MAX_BURST_S, 2 * MAX_LEAD_S) + 1.0
    wire.run(by_s + lead_s + 2)
    for _ in range(5):
        begin_s, begin = wire.now, wire.read_pictures
        wire.run(wire.now + 4.0)
        read_s = (wire.read_pictures - begin) * PICTURE_S
        assert read_s == pytest.approx(wire.now - begin_s, abs=1.2)
    assert wire.pace.state is ReadingState.FILE


def declared(sent_s: Callable[[float], float], picture_s: float | None = PICTURE_S) -> Wire:
    """A publisher of pictures of a declared rate."""
    wire = Wire(sent_s)
    wire.pace.picture_s = picture_s
    return wire


@pytest.mark.parametrize(("factor", "by_s"), [(1.5, 40.0), (1.2, 30.0), (1.1, 55.0)])
def test_a_file_little_faster_than_the_clock_is_read_in_real_time(
    factor: float, by_s: float
) -> None:
    wire = declared(lambda s: factor * s)
    wire.run(by_s)
    assert wire.pace.state is ReadingState.FILE
    begin_s, begin = wire.now, wire.read_pictures
    wire.run(by_s + 40.0)
    read_s = (wire.read_pictures - begin) * PICTURE_S
    assert read_s == pytest.approx(wire.now - begin_s, abs=1.2)
    assert wire.pace.notices.count(TOO_FAST) == 1


@pytest.mark.parametrize(
    ("sent_s", "picture_s"),
    [
        (lambda s: 1.02 * s, PICTURE_S),  # a clock that drifts
        (lambda s: s if s < 20 else 20 if s < 32 else s, PICTURE_S),  # held up, then all at once
        (lambda s: s if s < 20 else max(20, min(s, 1.3 * s - 13.8)), PICTURE_S),  # or bit by bit
        (lambda s: 1.2 * s, PICTURE_S / 1.2),  # times that run fast
        (lambda s: 1.2 * s, None),  # nothing else tells
    ],
)  # fmt: skip
def test_who_keeps_to_the_clock_is_no_file(
    sent_s: Callable[[float], float], picture_s: float | None
) -> None:
    wire = declared(sent_s, picture_s)
    wire.run(120.0)
    assert wire.pace.state is ReadingState.LIVE


def test_by_media_alone_it_is_a_file_beyond_five_seconds() -> None:
    pace = ReadingPace()
    for index in range(200):
        pace.see(index * 40, 10.0, SIZE)
    assert pace.notices == [TOO_FAST]
    assert pace.waits_s == pytest.approx(7.96 - KEPT_LEAD_S)


def test_a_clock_that_is_set_is_no_media() -> None:
    pace = ReadingPace()
    for time_ms in (0, 9_000, 18_000, 27_000):
        pace.see(time_ms, 10.0, SIZE)
    assert pace.ahead_s == 0.0
    pace.see(90_000_000, 10.0, SIZE, is_set_anew=True)
    assert (pace.ahead_s, pace.is_fast) == (0.0, False)


@pytest.mark.parametrize("factor", [2, 10, 20, 90])
def test_times_that_run_too_fast_make_no_file_where_sound_or_pictures_tell_better(
    factor: int,
) -> None:
    with_sound, with_rate = ReadingPace(), ReadingPace()
    with_sound.sound_frame_s = 0.02
    with_rate.picture_s = 0.04
    for index in range(25):
        for pace in (with_sound, with_rate):
            pace.hear()
            pace.hear()
            pace.see(index * 40 * factor, 10 + index * 0.04, SIZE)
    assert not with_sound.is_fast
    assert not with_rate.is_fast
