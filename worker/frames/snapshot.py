"""A small picture of a stream that somebody looks at: whether one is due, and the last. Pure.

The worker's loop asks for one and takes it; the decode thread makes it of the next keyframe, whose
picture is the best of its GOP and owes nothing to what was lost before; or, where keyframes are
far apart, of the first good picture behind `KEY_WAIT_S`. So a stream that nobody looks at costs a
comparison a picture. Of a stream that nobody plays a keyframe is decoded now and then: the small
picture of the last one is kept, for who asks next.
"""

from typing import Final

LARGEST: Final = 320  # samples, of the longer side
KEY_WAIT_S: Final = 2.0  # for a keyframe


def snapshot_size(width: int, height: int, sar: float) -> tuple[int, int]:
    """The size of a picture's snapshot, with square samples: even, and no larger than it is."""
    shown = max(1.0, width * sar)
    scale = min(1.0, LARGEST / max(shown, height))
    return max(2, 2 * round(shown * scale / 2)), max(2, 2 * round(height * scale / 2))


class SnapshotSlot:
    """That of one session."""

    def __init__(self) -> None:
        self.is_wanted = False  # set by the loop, reset by the decode thread
        self._made: bytes | None = None
        self._kept: bytes | None = None  # of a stream that nobody plays
        self._wanted_s = 0.0  # since when

    def want(self, now_s: float) -> None:
        """Ask for one, also while one is on its way."""
        if (kept := self._kept) is not None:
            self._made = kept
            return
        if not self.is_wanted:
            self._wanted_s = now_s
            self.is_wanted = True

    def takes(self, *, is_key: bool, now_s: float) -> bool:
        """Whether to make it of this picture."""
        return is_key or now_s - self._wanted_s >= KEY_WAIT_S

    def put(self, jpeg: bytes | None) -> None:
        """Give what was asked for; None: it could not be made."""
        self._made = jpeg or b""
        self.is_wanted = False

    def keep(self, jpeg: bytes | None) -> None:
        """Keep one for who asks from now on; None: none, and the next picture's is to be made."""
        self._kept = jpeg
        if jpeg is not None and self.is_wanted:
            self.put(jpeg)

    def take(self) -> bytes | None:
        """What was made since the last call, once; empty: it could not be made; None: nothing."""
        made, self._made = self._made, None
        return made
