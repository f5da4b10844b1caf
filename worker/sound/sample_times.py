"""When the sound of a stream is, counted in samples. Pure.

FLV's times are in ms, and jitter by one. Samples that follow each other have no gap, so they are
counted, and the count is set anew where the times say something else for good.
"""

from typing import Final

from common.ipc.sound_messages import SAMPLE_RATE

MAX_STEP: Final = 1_920  # samples between the count and the times that are no jump: 40 ms
_PER_MS: Final = SAMPLE_RATE // 1000


class SampleTimes:
    """The count of one stream."""

    def __init__(self) -> None:
        self.next: int | None = None  # the time of the next sample

    def jumps(self, time_ms: int, ahead: int) -> bool:
        """Whether sound of this time does not follow what came, of which `ahead` samples wait."""
        expected = self.next
        at = time_ms * _PER_MS
        if expected is not None and abs(at - expected - ahead) <= MAX_STEP:
            return False
        # never back: what was sent has its time
        self.next = at if expected is None else max(at, expected)
        return True

    def take(self, samples: int) -> int:
        """The time of the first of so many samples, which come next."""
        assert self.next is not None
        at, self.next = self.next, self.next + samples
        return at
