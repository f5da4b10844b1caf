"""ingest/streams/clock/stamp_pace.py: which stamps can be believed."""

import pytest

from ingest.streams.clock.stamp_pace import FaultKind, StampFault, StampPace
from tests.kit.publisher_times import PICTURE, SOUND, Frame, arriving, publisher, stamped

SECONDS = 10
NORMAL = publisher(SECONDS)
PICTURES = publisher(SECONDS, has_sound=False, knows_rate=False)


def first_fault(frames: list[Frame], kind: str) -> tuple[float, StampFault] | None:
    """The first fault of one kind's stamps, and when it is found."""
    sound, picture = StampPace(is_sound=True), StampPace(is_sound=False)
    for frame in frames:
        pace = picture if frame.kind == PICTURE else sound
        is_due = pace.observe(frame.stamp, frame.came_s, frame.length_ms, sound.media_ms)
        if is_due and frame.kind == kind and (fault := pace.judge()) is not None:
            return frame.came_s, fault
    return None


# What comes; of which kind; what is found, and by when.
FAULTS = [
    ("90 kHz", stamped(NORMAL, lambda ms: ms * 90), PICTURE, FaultKind.PACE, 0.5),
    ("90 kHz, sound", stamped(NORMAL, lambda ms: ms * 90), SOUND, FaultKind.PACE, 0.5),
    ("1.8 times, sound", stamped(NORMAL, lambda ms: ms * 1.8), SOUND, FaultKind.PACE, 0.9),
    ("1.8 times, pictures", stamped(NORMAL, lambda ms: ms * 1.8), PICTURE, FaultKind.PACE, 1.4),
    ("1.8 times, unknown", stamped(PICTURES, lambda ms: ms * 1.8), PICTURE, FaultKind.PACE, 2.2),
    ("zero", stamped(NORMAL, lambda ms: 0), PICTURE, FaultKind.STANDING, 0.9),
    ("zero, sound", stamped(NORMAL, lambda ms: 0), SOUND, FaultKind.STANDING, 0.6),
    ("zero, unknown", stamped(PICTURES, lambda ms: 0), PICTURE, FaultKind.STANDING, 0.9),
    ("to and fro each time", stamped(NORMAL, lambda ms: ms + ms // 33 % 2 * 2_000), PICTURE,
     FaultKind.JUMPING, 0.7),
]  # fmt: skip


@pytest.mark.parametrize(
    ("frames", "kind", "found", "by_s"), [row[1:] for row in FAULTS],
    ids=[row[0] for row in FAULTS],
)  # fmt: skip
def test_stamps_that_cannot_be_believed_are_found(
    frames: list[Frame], kind: str, found: FaultKind, by_s: float
) -> None:
    fault = first_fault(frames, kind)
    assert fault is not None
    assert fault[1].kind is found
    assert fault[0] <= by_s


@pytest.mark.parametrize(
    "frames",
    [
        NORMAL,
        PICTURES,
        arriving(NORMAL, lambda s: s / 20),
        arriving(PICTURES, lambda s: s / 20 if s < 8 else s - 7.6),
        stamped(NORMAL, lambda ms: ms + 3_000 * (ms > 5_000)),
        stamped(NORMAL, lambda ms: ms - 2_000 * (ms > 5_000)),
        stamped(NORMAL, lambda ms: ms + ms // 33 % 2 * 40),
        stamped(NORMAL, lambda ms: ms * 0.985),
        publisher(30, fps=0.5),
        arriving(publisher(30, fps=1), lambda s: max(s / 20, s - 8)),
        arriving(publisher(30, fps=2), lambda s: max(s, 4 + s / 3)),
        arriving(PICTURES, lambda s: s + 0.4 * (s * 1.7 % 1)),
    ],
)
def test_stamps_that_can_be_believed_are_not_doubted(frames: list[Frame]) -> None:
    assert first_fault(frames, PICTURE) is None
    assert first_fault(frames, SOUND) is None


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (StampFault(FaultKind.PACE, 90.04), "run 90 times as fast as the clock"),
        (StampFault(FaultKind.PACE, 1003.2), "run 1000 times as fast as the clock"),
        (StampFault(FaultKind.PACE, 0.104), "run 0.1 times as fast as the clock"),
        (StampFault(FaultKind.PACE, 1.79), "run 1.8 times as fast as the clock"),
        (StampFault(FaultKind.STANDING), "stand still"),
        (StampFault(FaultKind.JUMPING, 3.0), "jump from one to the next"),
    ],
)
def test_faults_have_words(fault: StampFault, words: str) -> None:
    assert fault.words == words


def test_the_cadence_is_that_of_the_arrivals() -> None:
    pace = StampPace(is_sound=False)
    assert pace.interval_ms() is None
    for index in range(200):
        pace.observe(0, index * 0.04, None)
    assert pace.interval_ms() == pytest.approx(40)
    pace.restart()
    assert (pace.interval_ms(), pace.measured_s) == (None, 0.0)


@pytest.mark.parametrize(("kind", "by_s"), [(SOUND, 0.9), (PICTURE, 1.4)])
def test_a_fault_is_found_as_soon_after_a_long_calm(kind: str, by_s: float) -> None:
    """Where nothing has changed for longer than the longest window, no window is looked at."""
    begins_ms = 25_000
    frames = stamped(publisher(30), lambda ms: ms + 0.8 * max(0, ms - begins_ms))
    fault = first_fault(frames, kind)
    assert fault is not None
    assert begins_ms / 1000 < fault[0] <= begins_ms / 1000 + by_s
