"""What may be wrong with a stream's sound by its levels: a table of rules. Pure.

Values are in dB of full scale (dBFS), seconds, or shares of the samples.
"""

from dataclasses import dataclass
from typing import Final

from common.notices.rules import Rule

SILENT_DBFS: Final = -60.0  # peaks below: a muted input, or none
AUDIBLE_DBFS: Final = -40.0  # a channel with such peaks is in use


@dataclass(frozen=True, slots=True)
class LevelFigures:
    """The levels of a stream's last sample, and how long it has been silent."""

    peak_dbfs: float
    quietest_dbfs: float  # the peak of the quietest channel
    rms_dbfs: float
    clipped: float = 0.0
    silent_s: float = 0.0

    @property
    def is_silent(self) -> bool:
        return self.peak_dbfs < SILENT_DBFS


def _apart(figures: LevelFigures) -> float:
    if figures.peak_dbfs < AUDIBLE_DBFS:
        return 0.0
    return figures.peak_dbfs - figures.quietest_dbfs


LEVEL_RULES: Final[tuple[Rule[LevelFigures], ...]] = (
    Rule(
        "silence",
        "the sound is silent",
        "the input: unmute it, or choose the right device",
        lambda f: (
            f"the sound has been silent for {f.silent_s:.0f} s (peak {f.peak_dbfs:.0f} dBFS): "
            "unmute the input, or choose the right device"
        ),
        lambda f: f.silent_s,
        enter=10,
        leave=1,
        after_s=0,
        until_s=5,
    ),
    Rule(
        "quiet-sound",
        "the sound is quiet",
        "a higher level of the input",
        lambda f: (
            f"the sound is quiet, its peaks are at {f.peak_dbfs:.0f} dBFS: "
            f"raise the level by {-12 - f.peak_dbfs:.0f} dB"
        ),
        lambda f: 0.0 if f.is_silent else -f.peak_dbfs,
        enter=30,
        leave=26,
        after_s=30,
        until_s=10,
        is_fault=False,
    ),
    Rule(
        "clipping",
        "the sound clips",
        "a lower level of the input",
        lambda f: (
            f"the sound clips: {f.clipped:.1%} of it is at full scale: lower the level by 6 dB"
        ),
        lambda f: f.clipped,
        enter=0.003,
        leave=0.001,
        after_s=10,
        until_s=15,
    ),
    Rule(
        "one-channel",
        "sound on one channel alone",
        "the input's channels: mono to both, or the right pair",
        lambda _: "there is sound on one channel alone: route the input to both",
        _apart,
        enter=40,
        leave=30,
        after_s=20,
        until_s=10,
        is_fault=False,
    ),
)
