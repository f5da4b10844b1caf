"""What ingest and the choice of pictures decide for each kind of odd publisher.

The captures are made by `make.py` from black-box cases, one a kind of fault that publishers have. A
line says what is right for it; the case's name is the capture's.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from common.capture.capture_file import CapturedRead
from tests.kit.replay import Decisions, load, replay

FOLDER = Path(__file__).parent
CAPTURES = sorted(FOLDER.glob("*.tfcap"))
AAC_48 = "AAC-LC 48 kHz 2ch"


@dataclass(frozen=True)
class Expected:
    """What is decided; times are of 30 pictures a second, if nothing else is said."""

    units: int = 241
    keyframes: int = 5
    sounds: int = 376
    audio: str = AAC_48
    taken: tuple[int, int] = (241, 121)  # by renditions of 30 and of 15 pictures a second
    largest_step_ms: int = 34  # between pictures of the first one
    speed: tuple[float, float] = (0.99, 1.01)
    apart_ms: float = 60  # sound and picture that come together, at most
    notices: tuple[str, ...] = ()  # words of what is said in the log
    codes: frozenset[str] = frozenset()  # of what status says at the end
    dropped: frozenset[str] = frozenset()


ARRIVAL = "times of arrival are taken instead"
EXPECTED = {
    "C1a-empty-nal-first": Expected(),
    "C2-bframes-no-cts": Expected(taken=(241, 122), largest_step_ms=67),
    # the first picture is sent before its second message shows that pictures are split
    "C3a-slice-a-message": Expected(242, 6, taken=(242, 122)),
    "C4a-sei-startcode-idr": Expected(),
    "C4b-sps-pps-idr-in-one": Expected(),
    "C5a-all-times-zero": Expected(
        taken=(241, 121),
        largest_step_ms=35,
        notices=(f"picture and sound times stand still: {ARRIVAL}",),
        codes=frozenset({"clock-stands"}),
    ),
    "C5b-video-times-zero": Expected(
        taken=(241, 123),
        largest_step_ms=37,
        notices=(f"picture times stand still: {ARRIVAL}",),
        codes=frozenset({"clock-stands"}),
    ),
    "C6a-90khz": Expected(
        taken=(241, 122),
        largest_step_ms=48,
        notices=(f"run 90 times as fast as the clock: {ARRIVAL}",),
        codes=frozenset({"clock-pace"}),
    ),
    "C6c-us": Expected(
        taken=(241, 122),
        largest_step_ms=48,
        notices=(f"times as fast as the clock: {ARRIVAL}",),
        codes=frozenset({"clock-pace"}),
    ),
    "C7-quiet-server": Expected(
        121, 7, 0, "", (121, 121), largest_step_ms=100, codes=frozenset({"no-sound"})
    ),
    "C9b-multitrack-15mbit": Expected(
        180,
        3,
        280,
        taken=(180, 90),
        notices=tuple(f"video track {track} is omitted" for track in (1, 2, 3)),
        codes=frozenset({"tracks-omitted"}),
    ),
    # half a second passes before a header is made; what came before then follows it
    "C16-aac-no-header": Expected(
        sounds=345,
        audio="AAC-LC 44.1 kHz 2ch",
        notices=("no AAC sequence header: one was made (AAC-LC 44.1 kHz 2ch)",),
        codes=frozenset({"audio-header-made"}),
    ),
    "C17c-herd-late-headers": Expected(
        31,
        4,
        0,
        "",
        (31, 31),
        largest_step_ms=200,
        dropped=frozenset({"video before its sequence header"}),
    ),
    "N13-video-jitter": Expected(largest_step_ms=66),
    "N15-sound-before-zero": Expected(
        largest_step_ms=76, notices=("its times begin 43 ms below zero: all are moved up",)
    ),
    "N33-clock-1.8x": Expected(
        taken=(241, 124),
        largest_step_ms=61,
        notices=(f"run 1.8 times as fast as the clock: {ARRIVAL}",),
        codes=frozenset({"clock-pace"}),
    ),
    # the stall is in its second half, so that media of 6.5 s came within 2.5 s
    "N38-stall-4s": Expected(391, 4, 610, taken=(391, 196), speed=(2.5, 2.7)),
    "N42-gop-cache-8s": Expected(
        481,
        3,
        751,
        taken=(481, 241),
        speed=(0.99, 1.1),
        notices=("8 s or more at once, as relays do, and sends in real time",),
        codes=frozenset({"long-gop"}),
    ),
    "N44-muted-5s": Expected(
        601,
        11,
        704,
        taken=(601, 301),
        notices=("sound and picture parted by 5.0 s: the sound was moved up",),
        codes=frozenset({"sound-parted"}),
    ),
}


def decided(decisions: Decisions, expected: Expected) -> Expected:
    """The decisions in the form of what is expected; what is within bounds, as these bounds."""
    smallest, largest = decisions.steps_ms("30")
    assert smallest > 0  # in order, in any case
    first, last = expected.speed
    ahead_ms = abs(decisions.sound_ahead_ms or 0.0)
    found = decisions.notices
    agree = len(found) == len(expected.notices) and all(
        words in text for words, text in zip(expected.notices, found, strict=True)
    )
    return Expected(
        len(decisions.units),
        decisions.keyframes,
        len(decisions.sounds),
        decisions.audio,
        (len(decisions.taken["30"]), len(decisions.taken["15"])),
        largest,
        expected.speed if first <= decisions.speed <= last else (decisions.speed,) * 2,
        expected.apart_ms if ahead_ms <= expected.apart_ms else ahead_ms,
        expected.notices if agree else found,
        frozenset(decisions.source_notices),
        frozenset(decisions.dropped),
    )


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_what_is_decided_for_a_publisher(path: Path) -> None:
    info, reads = load(path)
    assert info.headers_only
    decisions = replay(reads)
    assert decisions.closed == ""
    expected = EXPECTED[path.stem]
    assert decided(decisions, expected) == expected


def test_every_capture_has_its_line_and_is_small() -> None:
    assert {path.stem for path in CAPTURES} == set(EXPECTED)
    sizes = [path.stat().st_size for path in CAPTURES]
    assert max(sizes) < 20_000
    assert sum(sizes) < 300_000


def test_the_same_capture_gives_the_same_decisions() -> None:
    _, reads = load(FOLDER / "N42-gop-cache-8s.tfcap")
    assert replay(reads) == replay(reads)


def test_when_it_comes_decides_and_not_its_stamps_alone() -> None:
    """The same messages, all at once, are a file."""
    _, reads = load(FOLDER / "N33-clock-1.8x.tfcap")
    at_once: list[CapturedRead] = [replace(read, at_us=read.at_us // 20) for read in reads]
    notices = " ".join(replay(at_once).notices)
    assert "1.8 times" not in notices
    assert "faster than real time" in notices
