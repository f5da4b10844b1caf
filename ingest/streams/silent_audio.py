"""Silence in place of the audio of a publisher that is away. Pure.

It is made for AAC-LC and Opus of one or two channels.

Frames follow stream time, a little behind it, as the worker's pictures do
(`worker/frames/freeze_frame.py`), so that nothing is ahead of the publisher's first tags when it is
back.
"""

from collections.abc import Iterator

from common.codecs import opus
from common.codecs.aac import AAC_LC, AudioSpecificConfig, frame_samples, silent_frame
from common.media.units import AudioCodec, AudioConfig, AudioUnit

LAG_MS = 100
MAX_BEHIND_MS = 1_000  # more is dropped: a host that slept, a publisher silent before it was gone


def can_be_silent(config: AudioConfig) -> bool:
    """Whether a frame of silence can be made in this format."""
    if config.codec is AudioCodec.OPUS:
        return config.channels in (1, 2)
    if config.codec is not AudioCodec.AAC:
        return False
    asc = AudioSpecificConfig.parse(config.record)
    return (
        asc.object_type == AAC_LC
        and not asc.sbr
        and not asc.short_frames
        and asc.channels in (1, 2)
        and asc.channel_config != 0
    )


class Silence:
    """The frames of one absence, in a format for which `can_be_silent`."""

    def __init__(self, config: AudioConfig, last_ms: int | None) -> None:
        """`last_ms` is the DTS of the last frame that was sent."""
        self._codec = config.codec
        if config.codec is AudioCodec.OPUS:
            self._frame = opus.silent_packet(config.channels)
            self._step_ms = opus.packet_samples(self._frame) * 1000 / opus.RATE
        else:
            asc = AudioSpecificConfig.parse(config.record)
            self._frame = silent_frame(asc.channels)
            self._step_ms = frame_samples(asc) * 1000 / asc.sample_rate
        self._next_ms = None if last_ms is None else last_ms + self._step_ms

    def take(self, stream_now_ms: int, now: float) -> Iterator[AudioUnit]:
        """The frames that are due."""
        reached_ms = stream_now_ms - LAG_MS
        if self._next_ms is None or reached_ms - self._next_ms > MAX_BEHIND_MS:
            self._next_ms = float(reached_ms)
        while self._next_ms <= reached_ms:
            yield AudioUnit(self._codec, 0, round(self._next_ms), self._frame, now)
            self._next_ms += self._step_ms
