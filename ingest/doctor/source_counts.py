"""What is counted of each picture and each frame of sound, for the figures of a second. Pure.

This runs for every message of every publisher: a few comparisons, nothing is kept of a message.
A *lead* is a frame's time minus the clock's at its arrival, in ms: the highest is that of the frame
that came earliest for its time.
"""

from typing import Final

from common.media.units import AudioUnit, VideoUnit

LATE_MS: Final = 300.0  # more than a read that is batched, or a busy host, explains
PAUSE_MS: Final = 1_000  # from one picture to the next
NEVER: Final = float("-inf")


class SourceCounts:
    """One publisher's counts since the last `begin_second`, and what came last."""

    __slots__ = (
        "key_ms",
        "late",
        "late_below_ms",
        "least_composition_ms",
        "longest_gop_ms",
        "most_composition_ms",
        "newest_ms",
        "picture_lead_ms",
        "picture_s",
        "pictures",
        "sound_lead_ms",
        "sound_s",
        "starts_anew",
        "unreadable",
    )

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another publisher begins."""
        self.key_ms: int | None = None  # of the last keyframe
        self.newest_ms: int | None = None  # of the last picture
        self.picture_s: float | None = None  # when the last picture came
        self.sound_s: float | None = None  # likewise of sound
        self.late_below_ms = NEVER  # pictures of less lead are late
        self.starts_anew = False  # its time was set anew: older leads mean nothing
        self.unreadable = 0  # pictures
        self.begin_second()

    def begin_second(self) -> None:
        """Count anew."""
        self.pictures = 0
        self.late = 0
        self.picture_lead_ms = NEVER
        self.sound_lead_ms = NEVER
        self.longest_gop_ms = 0  # of those that ended
        self.most_composition_ms = -1_000_000
        self.least_composition_ms = 1_000_000

    def picture(self, unit: VideoUnit) -> None:
        """Count a picture."""
        dts_ms, composition_ms = unit.dts_ms, unit.composition_ms
        if unit.discontinuity:
            self.starts_anew = True
            self.picture_lead_ms = self.sound_lead_ms = self.late_below_ms = NEVER
            self.key_ms = None
        elif self.key_ms is not None and dts_ms - (self.newest_ms or dts_ms) > PAUSE_MS:
            # a GOP is no longer for a pause of its publisher
            self.key_ms += dts_ms - (self.newest_ms or dts_ms)
        lead_ms = dts_ms - unit.received_s * 1000
        if lead_ms > self.picture_lead_ms:
            self.picture_lead_ms = lead_ms
        if lead_ms < self.late_below_ms:
            self.late += 1
        if composition_ms > self.most_composition_ms:
            self.most_composition_ms = composition_ms
        if composition_ms < self.least_composition_ms:
            self.least_composition_ms = composition_ms
        if unit.is_key:
            if self.key_ms is not None and dts_ms - self.key_ms > self.longest_gop_ms:
                self.longest_gop_ms = dts_ms - self.key_ms
            self.key_ms = dts_ms
        self.pictures += 1
        self.newest_ms = dts_ms
        self.picture_s = unit.received_s

    def sound(self, unit: AudioUnit) -> None:
        """Count a frame of sound."""
        lead_ms = unit.dts_ms - unit.received_s * 1000
        if lead_ms > self.sound_lead_ms:
            self.sound_lead_ms = lead_ms
        self.sound_s = unit.received_s
