"""Publishers as lists of stamps and arrivals: what a `SourceClock` is told."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ingest.streams.clock.source_clock import SourceClock

PICTURE, SOUND = "picture", "sound"
SOUND_MS = 1024 / 48


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame on its way in."""

    kind: str
    media_s: float  # when it was taken
    stamp: int  # on the wire, 32 bits
    came_s: float
    length_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Timed:
    """A frame, and the time that it was given."""

    frame: Frame
    ms: int
    is_set_anew: bool


def publisher(
    seconds: float, fps: float = 30, *, has_sound: bool = True, knows_rate: bool = True
) -> list[Frame]:
    """One as it should be: it begins at 0 s, and arrives as it is made."""
    pictures = [
        Frame(PICTURE, n / fps, round(n * 1000 / fps), n / fps, 1000 / fps if knows_rate else None)
        for n in range(int(seconds * fps))
    ]
    sounds = [
        Frame(SOUND, n * SOUND_MS / 1000, round(n * SOUND_MS), n * SOUND_MS / 1000, SOUND_MS)
        for n in range(int(seconds * 1000 / SOUND_MS) if has_sound else 0)
    ]
    return in_order([*pictures, *sounds])


def in_order(frames: Iterable[Frame]) -> list[Frame]:
    """As one connection brings them."""
    return sorted(frames, key=lambda frame: frame.came_s)


def stamped(
    frames: Sequence[Frame], stamp: Callable[[int], float], kinds: Sequence[str] = (PICTURE, SOUND)
) -> list[Frame]:
    """The same with other stamps."""
    return [
        replace(frame, stamp=int(stamp(frame.stamp)) & 0xFFFFFFFF) if frame.kind in kinds else frame
        for frame in frames
    ]


def arriving(
    frames: Sequence[Frame], came: Callable[[float], float], kinds: Sequence[str] = (PICTURE, SOUND)
) -> list[Frame]:
    """The same with other arrivals; within a kind none overtakes another."""
    latest_s = {PICTURE: 0.0, SOUND: 0.0}
    out: list[Frame] = []
    for frame in frames:
        came_s = came(frame.came_s) if frame.kind in kinds else frame.came_s
        latest_s[frame.kind] = max(latest_s[frame.kind], came_s)
        out.append(replace(frame, came_s=latest_s[frame.kind]))
    return in_order(out)


def run(frames: Sequence[Frame], clock: SourceClock, start_s: float = 500.0) -> list[Timed]:
    """What the clock makes of them."""
    out = []
    for frame in frames:
        take = clock.video if frame.kind == PICTURE else clock.audio
        time = take(frame.stamp, start_s + frame.came_s, frame.length_ms)
        out.append(Timed(frame, time.ms, time.is_set_anew))
    return out
