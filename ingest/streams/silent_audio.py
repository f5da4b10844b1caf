"""Silence in place of the audio of a publisher that is away: AAC-LC of one or two channels. Pure.

Frames follow stream time, a little behind it, as the worker's pictures do
(`worker/frames/freeze_frame.py`), so that nothing is ahead of the publisher's first tags when it is
back.
"""

from collections.abc import Iterator

from common.codecs.aac import AAC_LC, AudioSpecificConfig, frame_samples, silent_frame
from common.flv.audio import aac_frame

LAG_MS = 100
MAX_BEHIND_MS = 1_000  # more is left out: a host that slept, a publisher silent before it was gone


def can_be_silent(config: AudioSpecificConfig) -> bool:
    """Whether a frame of silence can be made in this format."""
    return (
        config.object_type == AAC_LC
        and not config.sbr
        and not config.short_frames
        and config.channels in (1, 2)
        and config.channel_config != 0
    )


class Silence:
    """The tags of one absence, in a format for which `can_be_silent`."""

    def __init__(self, config: AudioSpecificConfig, last_ms: int | None) -> None:
        """`last_ms` is the DTS of the last audio tag that was sent."""
        self.payload = aac_frame(silent_frame(config.channels))
        self._step_ms = frame_samples(config) * 1000 / config.sample_rate
        self._next_ms = None if last_ms is None else last_ms + self._step_ms

    def take(self, stream_now_ms: int) -> Iterator[int]:
        """The DTS of each tag that is due."""
        reached_ms = stream_now_ms - LAG_MS
        if self._next_ms is None or reached_ms - self._next_ms > MAX_BEHIND_MS:
            self._next_ms = float(reached_ms)
        while self._next_ms <= reached_ms:
            yield round(self._next_ms)
            self._next_ms += self._step_ms
