"""What may be wrong with a source by its decoded pictures: a table of rules. Pure."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from common.notices.rules import Rule
from worker.quality.floor import LowRendition

MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class PictureFigures:
    """What a session's decoder saw."""

    errors_a_minute: int = 0  # pictures damaged or not decoded
    has_guessed_times: bool = False  # B-frames came without composition times
    black_s: float = 0.0
    still_s: float = 0.0  # black or not
    low: tuple[LowRendition, ...] = ()  # renditions that look worse than their floors allow


class ErrorMeter:
    """Counts over the last minute, from a count since the start. Call it once a second."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def last_minute(self, count: int, now: float) -> int:
        """How many were added in the last minute; `now` is CLOCK_MONOTONIC in seconds."""
        counts = self._counts
        while len(counts) > 1 and now - counts[1][0] >= MINUTE_S:
            counts.popleft()
        counts.append((now, count))
        return count - counts[0][1]


PICTURE_RULES: Final[tuple[Rule[PictureFigures], ...]] = (
    Rule(
        "damaged-pictures",
        "damaged pictures",
        "the encoder, its version or its driver; what relays the stream, where it loses something",
        lambda f: (
            f"{f.errors_a_minute} pictures of the last minute were damaged or could not be "
            "decoded: update the encoder, or look at what relays the stream"
        ),
        lambda f: f.errors_a_minute,
        enter=5,
        leave=1,
        after_s=0,
        until_s=0,
    ),
    Rule(
        "no-composition-times",
        "B-frames without composition times",
        "no B-frames, or an encoder that writes composition times",
        lambda _: (
            "it sends B-frames without composition times, which are made up: set B-frames to 0, "
            "or update the encoder"
        ),
        lambda f: float(f.has_guessed_times),
        enter=1,
        leave=1,
        after_s=2,
        until_s=5,
    ),
    Rule(
        "black-picture",
        "a black picture",
        "the camera or the scene: the lens cap, the input, the right source",
        lambda f: (
            f"the picture has been black for {f.black_s:.0f} s: look at the camera, "
            "or choose the right scene"
        ),
        lambda f: f.black_s,
        enter=10,
        leave=1,
        after_s=0,
        until_s=3,
    ),
    Rule(
        "still-picture",
        "a picture that does not change",
        "nothing, where a still screen is shared; else look whether the camera froze",
        lambda f: (
            f"the picture has not changed for {f.still_s:.0f} s: a still screen, "
            "or a camera that froze"
        ),
        lambda f: 0.0 if f.black_s >= 5 else f.still_s,
        enter=30,
        leave=1,
        after_s=0,
        until_s=3,
        is_fault=False,
    ),
    Rule(
        "low-quality",
        "a rendition that looks worse than its floor allows",
        "more bitrate for the rendition, or a slower preset; or a lower `quality_floor`",
        lambda f: (
            f"{'; '.join(map(str, f.low))}: give it more bitrate or a slower preset, "
            "or lower `quality_floor`"
        ),
        lambda f: float(len(f.low)),
        enter=1,
        leave=1,
        after_s=0,
        until_s=0,
    ),
)
