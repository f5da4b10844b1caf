"""When decoded pictures are shown, where composition times are missing or wrong. Pure.

Decoders give pictures in display order whatever their times say. Of a stream with B-frames whose
composition times are all 0 they come with the times of decoding, to and fro: 0, 66, 100, 33. The
k-th shown picture is given the k-th smallest time then, so the steps are even and none is lost.

Only once a picture has come out of order in a stream without composition times, or again and again
in one with them (in another unit, the same for all, with some missing), and until `CALM` pictures
came in order: else a picture's own time is right, and a unit that gave no picture leaves
nothing behind. Where times are given anew, such a unit leaves one time too many; it shows in that
more times wait than did when this began, and the oldest is dropped.

A picture that is behind the one before by `JITTER_MS` at most is shown right after it.
"""

from bisect import bisect_right, insort

CALM = 300
JITTER_MS = 50
_PLAIN = 3  # units in a row without a composition time: there are none
_OUT_OF_ORDER, _OFTEN = 24, 50  # each 15th picture, or three at once
_STEADY = 16  # pictures over which the fewest times that wait are taken
_MAX_WAITING = 64


class DisplayTimes:
    """Tell it of units in decoding order, then ask of pictures in display order."""

    def __init__(self) -> None:
        self._waiting: list[int] = []  # times of units whose pictures have not come, sorted
        self._plain = 0  # units in a row without a composition time
        self._own_ms: int | None = None  # the last picture's own time …
        self._shown_ms: int | None = None  # … and the one it was given
        self._calm = CALM  # pictures in order since one was not
        self._wrong = 0  # grows with each picture out of order, and shrinks with the others
        self._usual: int | None = None  # how many times wait behind a picture, at least …
        self._fewest = _MAX_WAITING  # … and lately
        self._counted = 0

    @property
    def is_guessing(self) -> bool:
        """Whether pictures came out of order without composition times lately."""
        return self._calm < CALM

    def put(self, dts_ms: int, pts_ms: int) -> None:
        """A unit goes into the decoder."""
        self._plain = self._plain + 1 if dts_ms == pts_ms else 0
        insort(self._waiting, pts_ms)
        if len(self._waiting) > _MAX_WAITING:
            del self._waiting[0]

    def take(self, pts_ms: int) -> int:
        """The time at which to show the picture that came out with this one."""
        is_in_order = self._own_ms is None or pts_ms > self._own_ms
        self._own_ms = pts_ms
        self._wrong = max(0, self._wrong - 1) if is_in_order else self._wrong + _OUT_OF_ORDER
        if not is_in_order and (self._plain >= _PLAIN or self._wrong >= _OFTEN):
            if self._calm >= CALM:
                self._usual = None
                self._count_anew()
            self._calm = 0
        else:
            self._calm += 1
        if self._calm >= CALM:
            del self._waiting[: bisect_right(self._waiting, pts_ms)]
            shown_ms = self._shown_ms
            if shown_ms is not None and shown_ms - JITTER_MS <= pts_ms <= shown_ms:
                pts_ms = shown_ms + 1
            self._shown_ms = pts_ms
            return pts_ms
        # The first one out of order had its time thrown away with those that never come.
        is_first = self._calm == 0 and self._usual is None and self._counted == 0
        time_ms = self._waiting.pop(0) if self._waiting and not is_first else pts_ms
        if self._shown_ms is not None:
            time_ms = max(time_ms, self._shown_ms + 1)
        self._shown_ms = time_ms
        self._drop_unused()
        return time_ms

    def _drop_unused(self) -> None:
        self._fewest = min(self._fewest, len(self._waiting))
        self._counted += 1
        if self._counted < _STEADY:
            return
        if self._usual is None:
            self._usual = self._fewest
        del self._waiting[: self._fewest - self._usual]
        self._usual = min(self._usual, self._fewest)
        self._count_anew()

    def _count_anew(self) -> None:
        self._fewest, self._counted = _MAX_WAITING, 0
