"""RTMP's and FLV's 32-bit millisecond timestamps: unwrapping and wrapping.

A timestamp wraps after 49.7 days (RTMP 1.0 section 3: arithmetic modulo 2^32, compared by signed
difference). Inside tfarm times are plain integers that never wrap; these two meet at the edges.
Pure; `ingest.streams.clock.timeline` decides what a jump means.
"""

_SPAN = 1 << 32
_HALF = 1 << 31


def wrap(ms: int) -> int:
    """The 32-bit timestamp field for a time, which may be negative."""
    return ms & (_SPAN - 1)


class Unwrapper:
    """Turns 32-bit timestamps into times, each the one nearest to the last (so it wraps both ways).

    The first timestamp is taken as it is. A value exactly half the span away counts as later.
    """

    __slots__ = ("_last",)

    def __init__(self, last: int | None = None) -> None:
        self._last = last

    @property
    def last(self) -> int | None:
        """The last time returned, or the one given at the start."""
        return self._last

    def unwrap(self, timestamp: int) -> int:
        """The time nearest to the last one whose low 32 bits are `timestamp`'s."""
        if self._last is None:
            self._last = wrap(timestamp)
        else:
            step = (timestamp - self._last) & (_SPAN - 1)
            self._last += step - _SPAN if step > _HALF else step
        return self._last
