"""Frames of sound that share a time are spread: each follows the one before by its length. Pure.

Phones and hardware encoders hand over several frames together, all stamped with the time of that
moment: 0, 0, 0, 70, 70, 70. How long a frame is is known, so it is known what they mean:

1. A frame whose stamp is less than a quarter of a frame behind the one before, or steps back, is
   placed one frame behind it.
2. From then on all are, so that they come evenly, drawn towards the stamps at the first of each
   group: by an eighth of what they are off, half a frame at most. So sound runs at the pace of the
   stamps, and not at that of what the frames amount to.
3. Stamps that go on later than `GAP_MS` behind what was placed are a pause, and taken as they are.
   When what was placed is `MOST_AHEAD_MS` beyond the stamps, these do not mean what 1 takes them
   for, and are taken as they are until they are even.
4. Stamps that were even for `EVEN_FRAMES` are taken as they are again.
"""

GAP_MS = 200.0
MOST_AHEAD_MS = 1_000.0
EVEN_FRAMES = 50
_CLOSE = 0.25  # of a frame
_DRAWN = 1 / 8
_ROUNDING_MS = 2.0


class FrameSpread:
    """One publisher's frames of sound."""

    def __init__(self) -> None:
        self._last_ms: int | None = None  # the last time taken
        self._length_ms: float | None = None  # … how long its frame is …
        self._placed_ms: float | None = None  # … and where its frame was placed; None: as it was
        self._even = 0  # frames in a row
        self._is_given_up = False  # by rule 3

    def take(self, time_ms: int, frame_ms: float | None, *, is_set_anew: bool = False) -> int:
        """The time for the next frame; `frame_ms` is its length, None where that is not known.

        `is_set_anew`: its time does not follow the one before.
        """
        last_ms, self._last_ms = self._last_ms, time_ms
        length_ms, self._length_ms = self._length_ms, frame_ms
        if last_ms is None or frame_ms is None or is_set_anew:
            self._placed_ms = None
            return time_ms
        if length_ms is not None:  # it begins where the one before ends
            frame_ms = length_ms
        step_ms = time_ms - last_ms
        self._even = self._even + 1 if abs(step_ms - frame_ms) <= _ROUNDING_MS else 0
        is_close = -MOST_AHEAD_MS < step_ms < _CLOSE * frame_ms
        if self._placed_ms is None:
            self._is_given_up = self._is_given_up and self._even < EVEN_FRAMES
            if self._is_given_up or not is_close:
                return time_ms
            self._placed_ms = float(last_ms)
        return round(self._place(time_ms, frame_ms, is_close=is_close))

    def _place(self, time_ms: int, frame_ms: float, *, is_close: bool) -> float:
        assert self._placed_ms is not None
        next_ms = self._placed_ms + frame_ms
        off_ms = time_ms - next_ms
        self._is_given_up = off_ms < -MOST_AHEAD_MS
        is_even = self._even >= EVEN_FRAMES and abs(off_ms) <= _ROUNDING_MS
        if off_ms > GAP_MS or self._is_given_up or is_even:
            self._placed_ms = None
            return time_ms
        if not is_close:
            most_ms = frame_ms / 2
            next_ms += min(most_ms, max(-most_ms, _DRAWN * off_ms))
        self._placed_ms = next_ms
        return next_ms
