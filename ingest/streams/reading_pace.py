"""How fast a publisher is read: no faster than real time where it sends a file.

A file comes as fast as it is read, for hours, and nobody could play that. A relay's cached GOP
comes fast too, but then media come in real time, and to hold it back would keep it late for good.
What comes behind the first `MAX_LEAD_S` of lead over the clock tells them apart:

1. `LIVE`: read at once. A publisher that gets more than `MAX_LEAD_S` ahead within `WINDOW_S` of its
   first picture sends a file, as far as can be told by its media alone.
2. `PROBATION`, where it is known too how much waits unread (`read`): it is read on, at no more than
   `PROBATION_PACE` times real time. When nothing waits any more, and `DRAINED_S` later neither, it
   was a burst, and 1 holds again. With `MAX_BURST_S` of lead it is a file.
3. `FILE`: read so that its media are `KEPT_LEAD_S` ahead at most. While nothing is read, `look` is
   told how much waits: when that grows as fast as media in real time do, a longer burst is over,
   what waits of it is read at once, and 1 holds again. Of a file either nothing more comes, or all
   that there is room for.

What has come is counted by the pictures' times, which may yet be found wrong. So it is no more than
`SPARSE` times what the sound amounts to, where there is some, nor than as much of the pictures by
the rate that is declared of them, unless they come in bulk; and a step of more than `MAX_STEP_S` is
a clock that was set.

1 holds again `MAX_PARDONS` times; whoever gets ahead after that sends a file, only slower.

4. Behind the first `WINDOW_S` whoever gets ahead by `SLOW_LEAD_S`, by its pictures' times and by
   what the sound (else the pictures by their rate) amounts to, sends a file little faster than the
   clock: a burst would have come faster, and what was held up only makes up for it. So 3 holds for
   good, with the lead that it has. Clocks may drift: `DRIFT` of the time is no lead.

Pure; `now` is CLOCK_MONOTONIC in seconds, given by the caller.
"""

from enum import Enum, auto

MAX_LEAD_S = 5.0
MAX_BURST_S = 8.5
KEPT_LEAD_S = 1.0  # of a file: its media never waits for it
MAX_STEP_S = 1.0  # from one picture to the next
SPARSE = 4
TOGETHER_S = 0.005
WINDOW_S = 10.0  # from the first picture; later ones may have been held up on their way
PROBATION_PACE = 6.0
DRAINED_S = 0.05
LOOK_S = 0.6  # for so long nothing was read: the first half fills buffers, the second one tells
GROWTH = (0.4, 1.25)  # of what media in real time bring
MAX_PARDONS = 2
SLOW_LEAD_S, DRIFT = 3.0, 0.03
SLOW_LOOK_S = 1.0

TOO_FAST = "it sends faster than real time and is read no faster (from a file: ffmpeg -re -i ...)"


class ReadingState(Enum):
    """How a publisher is read."""

    LIVE = auto()
    PROBATION = auto()
    FILE = auto()


class ReadingPace:
    """One publisher's lead over the clock, and what follows from it."""

    def __init__(self) -> None:
        self.state = ReadingState.LIVE
        self.notices: list[str] = []  # for the log; who reads them empties it
        self.ahead_s = 0.0
        self.sound_frame_s: float | None = None  # the length of a frame of sound, where it is known
        self.picture_s: float | None = None  # … and of a picture, as declared
        self._sound_s = self._pictures_s = 0.0  # what has come of both, by these
        self._pictures = self._in_bulk = 0  # … and how many pictures came with the one before
        self._came_s = 0.0
        self._first_s: float | None = None  # when the first picture came …
        self._media_s = 0.0  # … and how much has come since …
        self._bytes = 0  # … of so many bytes
        self._last_ms = 0
        self._is_settled = False  # it sends in real time, or a little faster
        self._usual_s = 0.0  # the lead that it has then, and what a clock that drifts adds …
        self._looked_s = 0.0  # … when that was looked at
        self._pardons = 0
        self._is_suspected = False  # a file, by its media alone
        self._probation_s = 0.0  # since when …
        self._media_before_s = 0.0  # … and what had come by then
        self._drained_s: float | None = None
        self._backlog_bytes = 0  # of a burst that is over: no lead
        self._looks: list[tuple[float, int]] = []  # while nothing is read: when, bytes unread

    @property
    def is_fast(self) -> bool:
        """It is not read at once."""
        return self.state is not ReadingState.LIVE

    @property
    def waits_s(self) -> float:
        """How long to read nothing from it."""
        if self.state is ReadingState.LIVE:
            return 0.0
        if self.state is ReadingState.PROBATION:
            passed_s = self._media_s - self.ahead_s + (self._first_s or 0.0) - self._probation_s
            return max(0.0, (self._media_s - self._media_before_s) / PROBATION_PACE - passed_s)
        return max(0.0, self.ahead_s - KEPT_LEAD_S)

    def hear(self) -> None:
        """A frame of sound has come."""
        if self.sound_frame_s is not None:
            self._sound_s += self.sound_frame_s

    def carry(self, size: int) -> None:
        """Something has come that is not served; it waits unread with the rest."""
        self._bytes += size

    def see(self, time_ms: int, now: float, size: int, *, is_set_anew: bool = False) -> None:
        """Take a picture's time and size."""
        if self._is_settled:
            self._see_settled(time_ms, now, is_set_anew)
            return
        if self._first_s is None or is_set_anew:
            self._begin(now)
            self._last_ms = time_ms
            return
        if self._backlog_bytes > 0:
            self._backlog_bytes -= size
            self._begin(now)
            self._last_ms = time_ms
            return
        step_s = (time_ms - self._last_ms) / 1000
        self._media_s += step_s if step_s <= MAX_STEP_S else 0.0
        self._pictures_s += self.picture_s or 0.0
        self._pictures += 1
        self._in_bulk += now - self._came_s < TOGETHER_S
        self._came_s = now
        self._bytes += size
        self._last_ms = time_ms
        passed_s = now - self._first_s
        self.ahead_s = self._media_s - passed_s
        self._looks.clear()
        if self.state is ReadingState.LIVE:
            if self.ahead_s > MAX_LEAD_S and self._least_s - passed_s > MAX_LEAD_S:
                self._found_a_file()
                self._is_suspected = self._pardons == 0
            elif passed_s > WINDOW_S:
                self._is_settled = True
                self._usual_s, self._looked_s = max(0.0, self.ahead_s), now
        elif self.state is ReadingState.PROBATION and self.ahead_s > MAX_BURST_S:
            self._found_a_file()

    def read(self, now: float, unread_bytes: int | None) -> None:
        """A read is over, and left so many bytes unread; None: that is not known."""
        if unread_bytes is None:
            return
        if self._is_suspected:
            self._is_suspected = False
            self.notices.remove(TOO_FAST)
            self.state = ReadingState.PROBATION
            self._probation_s, self._media_before_s = now, self._media_s
            self._drained_s = None
        if self.state is not ReadingState.PROBATION:
            return
        if unread_bytes > 0:
            self._drained_s = None
        elif self._drained_s is None:
            self._drained_s = now
        elif now - self._drained_s >= DRAINED_S:
            self._pardon(now)

    def look(self, now: float, unread_bytes: int | None) -> None:
        """Nothing was read since the last look or `see`, and so many bytes wait."""
        if (
            unread_bytes is None
            or self.state is not ReadingState.FILE
            or self._pardons >= MAX_PARDONS
        ):
            return
        looks = self._looks
        looks.append((now, unread_bytes))
        if now - looks[0][0] < LOOK_S or not self._media_s:
            return
        half = next(index for index, at in enumerate(looks) if at[0] >= now - LOOK_S / 2)
        begin_s, begin_bytes = looks[half]
        usual = self._bytes / self._media_s * (now - begin_s)
        growth = (unread_bytes - begin_bytes) / usual if usual else 0.0
        if GROWTH[0] <= growth <= GROWTH[1]:
            self._pardon(now)
            self._backlog_bytes = unread_bytes
        del looks[:half]

    # ---- inside -------------------------------------------------------------------------------

    def _see_settled(self, time_ms: int, now: float, is_set_anew: bool) -> None:
        """Rule 4."""
        step_ms = time_ms - self._last_ms
        self._last_ms = time_ms
        if step_ms <= MAX_STEP_S * 1000 and not is_set_anew:
            self._media_s += step_ms / 1000
        if self.picture_s is not None:
            self._pictures_s += self.picture_s
        if now - self._looked_s >= SLOW_LOOK_S and self._is_slowly_ahead(now):
            self._is_settled = False
            self._begin(now)
            self._media_s = KEPT_LEAD_S  # what it has more it may keep
            self._pardons = MAX_PARDONS
            self._found_a_file()

    def _is_slowly_ahead(self, now: float) -> bool:
        assert self._first_s is not None
        drifted_s = self._usual_s + DRIFT * (now - self._looked_s)
        self._looked_s = now
        known_s = self._sound_s or self._pictures_s
        if not known_s:
            return False
        lead_s = min(self._media_s, known_s) - (now - self._first_s)
        self._usual_s = max(self._usual_s, min(lead_s, drifted_s))
        return lead_s - self._usual_s > SLOW_LEAD_S

    @property
    def _least_s(self) -> float:
        """What has come, by whatever says least."""
        least_s = self._media_s
        if self._sound_s:
            least_s = min(least_s, SPARSE * self._sound_s)
        if self.picture_s is not None and 2 * self._in_bulk < self._pictures:
            least_s = min(least_s, SPARSE * self._pictures_s)
        return least_s

    def _begin(self, now: float) -> None:
        self._first_s, self._media_s, self._bytes, self.ahead_s = now, 0.0, 0, 0.0
        self._sound_s = self._pictures_s = 0.0
        self._pictures = self._in_bulk = 0

    def _found_a_file(self) -> None:
        self.state = ReadingState.FILE
        self.notices.append(TOO_FAST)
        self._looks.clear()

    def _pardon(self, now: float) -> None:
        self.state = ReadingState.LIVE
        self._pardons += 1
        self.notices.append(
            f"it began with {self.ahead_s:.0f} s or more at once, as relays do, and sends in real"
            " time"
        )
        self._begin(now)
