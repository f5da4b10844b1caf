"""The table of what may be wrong with a source, by what arrives of it. Pure.

Thresholds are in the unit of the rule's value: seconds, ms, shares, times as much. What a value is
compared with, and for how long, stands beside it; docs/operations.md has the same codes.
"""

from typing import Final

from common.notices.rules import Rule
from ingest.doctor.source_counts import LATE_MS
from ingest.doctor.source_figures import LEAST_RATE, SourceFigures

LITTLE_BPS: Final = 500_000  # for a source: less is no aim


def _late(figures: SourceFigures) -> float:
    """A source that falls behind is late with all: that has a rule of its own."""
    return 0.0 if figures.behind_share >= 0.02 else figures.late_share


def _bitrate(figures: SourceFigures) -> float:
    return figures.bitrate_bps / _enough(figures) if figures.top_bitrate_bps else 0.0


def _enough(figures: SourceFigures) -> float:
    """What the largest rendition could use, in bits a second; of a small one, what is little."""
    return max(figures.top_bitrate_bps, LITTLE_BPS)


def _rate(figures: SourceFigures) -> float:
    source, most = figures.format, figures.max_source[2]
    return float(source.fps) / most if source is not None and source.fps and most else 0.0


def _size(figures: SourceFigures) -> float:
    """The larger of how far the long and the short side are beyond max_source: upright counts."""
    source = figures.format
    if source is None:
        return 0.0
    most = sorted(figures.max_source[:2])
    sides = sorted((source.width, source.height))
    return max(side / limit if limit else 0.0 for side, limit in zip(sides, most, strict=True))


def _unsteady(figures: SourceFigures) -> float:
    low, high = figures.rates
    return (high - low) / high if high >= LEAST_RATE else 0.0


def _mbit(bits: float) -> str:
    return f"{bits / 1e6:.1f} Mbit/s"


def _sound_words(figures: SourceFigures) -> str:
    ms = figures.sound_behind_ms
    return (
        f"the sound comes {abs(ms):.0f} ms {'behind' if ms > 0 else 'ahead of'} its picture: "
        "set the encoder's sound delay to 0, and the same buffer for sound and picture"
    )


def _max_source(figures: SourceFigures) -> str:
    width, height, fps = figures.max_source
    return f"{width}x{height}@{fps}"


SOURCE_RULES: Final[tuple[Rule[SourceFigures], ...]] = (
    Rule(
        "long-gop",
        "keyframes too far apart",
        "the encoder's keyframe interval to the template's `gop`",
        lambda f: (
            f"keyframes are {f.gop_s:.1f} s apart: set the keyframe interval to {f.set_gop_s:g} s"
        ),
        lambda f: f.gop_s,
        enter=5.0,
        leave=4.5,
        after_s=0,
        until_s=5,
    ),
    Rule(
        "pictures-late",
        "many pictures late",
        "a lower bitrate, a better network, a smaller send buffer",
        lambda f: (
            f"{f.late_share:.0%} of the pictures come more than {LATE_MS / 1000:g} s late, in "
            "bursts: lower the bitrate, or use a better network"
        ),
        _late,
        enter=0.10,
        leave=0.03,
        after_s=5,
        until_s=20,
    ),
    Rule(
        "too-slow",
        "the media falls behind the clock",
        "a bitrate that the network carries, or a picture that the encoder can keep up with",
        lambda f: (
            f"the media comes at {1 - f.behind_share:.0%} of real time: the network or the encoder "
            "is too slow: lower the bitrate, the size or the frame rate"
        ),
        lambda f: f.behind_share,
        enter=0.04,
        leave=0.01,
        after_s=5,
        until_s=15,
    ),
    Rule(
        "too-fast",
        "it sends faster than real time",
        "real time, such as `ffmpeg -re`",
        lambda _: (
            "it sends faster than real time and is read no faster: send in real time "
            "(from a file: ffmpeg -re -i ...)"
        ),
        lambda f: float(f.is_fast),
        enter=1,
        leave=1,
        after_s=3,
        until_s=10,
    ),
    Rule(
        "sound-apart",
        "sound and picture of a time come apart",
        "the encoder's delay of the sound to 0",
        _sound_words,
        lambda f: abs(f.sound_behind_ms),
        enter=300,
        leave=200,
        after_s=5,
        until_s=10,
    ),
    Rule(
        "high-bitrate",
        "a bitrate far above the template's",
        "the encoder's bitrate to at most three times the largest rendition's",
        lambda f: (
            f"it sends {_mbit(f.bitrate_bps)}, the largest rendition has "
            f"{_mbit(f.top_bitrate_bps)}: set its bitrate to {_mbit(3 * _enough(f))} "
            "or less"
        ),
        _bitrate,
        enter=5.0,
        leave=4.0,
        after_s=10,
        until_s=20,
    ),
    Rule(
        "high-rate",
        "a frame rate above max_source",
        "the encoder's frame rate, or the template's `max_source`",
        lambda f: (
            f"it sends {float((f.format and f.format.fps) or 0):.0f} pictures a second, max_source "
            f"says {f.max_source[2]}: set the encoder to {f.max_source[2]}, or raise max_source"
        ),
        _rate,
        enter=1.1,
        leave=1.05,
        after_s=5,
        until_s=10,
    ),
    Rule(
        "unsteady-rate",
        "an unsteady frame rate",
        "a constant frame rate; a camera's low-light mode off",
        lambda f: (
            f"between {f.rates[0]:.0f} and {f.rates[1]:.0f} pictures a second: set a constant "
            "frame rate, and switch a camera's low-light mode off"
        ),
        _unsteady,
        enter=0.5,
        leave=0.3,
        after_s=10,
        until_s=20,
        is_fault=False,
    ),
    Rule(
        "large-source",
        "a source larger than max_source",
        "the encoder's size, or the template's `max_source`",
        lambda f: (
            f"the source is {f.format.width if f.format else 0}x"
            f"{f.format.height if f.format else 0}, max_source says {_max_source(f)}: publish "
            "a smaller picture, or raise max_source"
        ),
        _size,
        enter=1.02,
        leave=1.01,
        after_s=0,
        until_s=5,
    ),
    Rule(
        "reorder-delay",
        "B-frames that add delay",
        "no B-frames (x264: `tune=zerolatency`, `bframes=0`), or fewer, where delay matters",
        lambda f: (
            f"B-frames add {f.reorder_ms:.0f} ms of delay: set B-frames to 0 "
            "(x264: tune zerolatency) where delay matters"
        ),
        lambda f: f.reorder_ms,
        enter=150,
        leave=120,
        after_s=5,
        until_s=15,
        is_fault=False,
    ),
    Rule(
        "no-sound",
        "no sound at all",
        "a sound track (AAC), if there should be one",
        lambda _: "no sound has come: add a sound track (AAC) if there should be one",
        lambda f: f.live_s if f.silent_s is None else 0.0,
        enter=10,
        leave=1,
        after_s=0,
        until_s=0,
        is_fault=False,
    ),
    Rule(
        "sound-stopped",
        "the sound stopped",
        "the encoder's sound device; a muted one should send silence",
        lambda f: (
            f"no sound has come for {f.silent_s or 0:.0f} s, while pictures come: "
            "look at the encoder's sound device"
        ),
        lambda f: f.silent_s or 0.0,
        enter=5,
        leave=2,
        after_s=0,
        until_s=5,
    ),
    Rule(
        "picture-stopped",
        "the picture stopped",
        "the encoder's camera or capture; a shared screen may be still",
        lambda f: (
            f"no picture has come for {f.still_s:.0f} s, while sound comes: "
            "look at the encoder's camera, unless a still screen is shared"
        ),
        lambda f: f.still_s,
        enter=5,
        leave=2,
        after_s=0,
        until_s=5,
    ),
    Rule(
        "unreadable-pictures",
        "pictures that cannot be read",
        "the encoder, its version or its driver; what relays the stream",
        lambda f: (
            f"{f.unreadable} pictures in the last minute could not be read: update the encoder, "
            "or look at what relays the stream"
        ),
        lambda f: float(f.unreadable),
        enter=3,
        leave=1,
        after_s=0,
        until_s=0,
    ),
)

# What comes as an event, not as a figure: code, what it is, what to set.
SOURCE_EVENTS: Final[dict[str, tuple[str, str]]] = {
    "clock-stands": ("time stamps stand still", "the encoder's time stamps to run with the clock"),
    "clock-pace": (
        "time stamps in another unit, or of a clock that runs fast or slow",
        "the encoder's time stamps to milliseconds",
    ),
    "clock-jumps": (
        "time stamps jump from frame to frame",
        "the encoder's time stamps to run with the clock",
    ),
    "sound-parted": (
        "sound and picture parted, and were put together again",
        "one clock for sound and picture; a muted device should send silence",
    ),
    "audio-omitted": ("sound of a codec that is not passed on", "AAC"),
    "audio-header-made": (
        "AAC without its sequence header: one was made of what is known",
        "the encoder to send the AAC sequence header (AudioSpecificConfig)",
    ),
    "tracks-omitted": (
        "further tracks, which are not passed on (a fact)",
        "one track of video and one of audio (Enhanced Broadcasting or multitrack off)",
    ),
}
