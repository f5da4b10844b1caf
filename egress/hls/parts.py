"""Samples of one track to parts and segments, on a grid of stream time. Pure.

A segment's number is that of the stream's epoch (`base_msn`) plus the stream time of its first
sample divided by the template's `gop`: keyframes stand on that grid in every rendition. A part is
some whole samples, of `target` at most; one more would be too long. So all but a segment's last lie
within 85 and 100 % of it, however a steady source's stamps jitter; the target belongs to a
track for good (draft-pantos-hls-rfc8216bis, 4.4.3.8).
"""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Final, NamedTuple

from common.mp4.fragments import Run, Sample, fragment

DEFAULT_FPS: Final = Fraction(30)
_SHARED: Final = 1.03  # of `part_s`: a target that suits nearly every rate above 15
_LEAST: Final = 0.86  # of a target, that a whole number of pictures must last: 85 %, and rounding
_ROOM: Final = 0.05  # of a target of pictures: their stamps jitter …
_ROOM_FRAMES: Final = 0.25  # … by less than a frame
_NUMBERS_A_SEGMENT: Final = 256  # of fragments, so that they grow whoever counts them


class Part(NamedTuple):
    """Some samples of one track; times in units of its timescale."""

    msn: int  # the number of the segment that it belongs to
    part_index: int  # in that segment
    begin: int
    end: int
    is_independent: bool  # a player can begin here
    is_last: bool  # of its segment
    data: bytes


def picture_target(fps: Fraction | None, part_s: float) -> int:
    """The target of a rendition's parts in ms: some whole pictures lie within 85 and 100 % of it.

    It is the same for nearly all rates: what a record says of the rate may be wrong, and a camera's
    changes with the light.
    """
    frame_ms = 1000 / float(fps if fps is not None and fps > 0 else DEFAULT_FPS)
    shared = ceil(part_s * 1000 * _SHARED)
    most = int((shared - frame_ms * _ROOM_FRAMES) / frame_ms)
    if most * frame_ms >= shared * _LEAST:
        return shared
    count = max(1, round(part_s * 1000 / frame_ms))
    return ceil(count * frame_ms + min(count * frame_ms * _ROOM, frame_ms * _ROOM_FRAMES))


def sound_target(rate: int, frame: int, part_s: float) -> int:
    """The target of parts of sound, in samples: whole frames of `frame` samples."""
    return frame * max(1, round(part_s * rate / frame))


class PartCutter:
    """Cuts the samples of one configuration of a track."""

    def __init__(
        self, scale: int, gop_ms: int, target: int, first_msn: int = 0, *, base_msn: int = 0
    ) -> None:
        """`scale`: units a second; `target` in these. No segment is numbered below `first_msn`.

        `base_msn`: the number of the segment that begins at 0.
        """
        self.scale = scale
        self.target = target
        self._gop = scale * gop_ms  # in 1/1000 of a unit, so that it is whole
        self._base_msn = base_msn
        self._msn = max(first_msn, base_msn)
        self._index = 0
        self._begin = self._end = 0
        self._track = 0
        self._samples: list[Sample] = []
        self._usual = 0  # the shortest sample of the part before

    @property
    def begun_msn(self) -> int:
        """The number of the segment that samples came for last; -1 before the first sample."""
        return self._msn if self._end else -1

    def msn_at(self, at: int) -> int:
        """The number of the segment that begins at this time, or before it."""
        return self._base_msn + at * 1000 // self._gop

    def add(self, run: Run | None) -> list[Part]:
        """Take complete samples; the next one begins where they end."""
        parts: list[Part] = []
        if run is not None:
            self._track = run.track
            at = run.begin
            for sample in run.samples:
                self._add(at, sample, parts)
                at += sample.duration
        return parts

    def finish(self) -> list[Part]:
        """What is left, as the last part of its segment."""
        return [self._cut(is_last=True)] if self._samples else []

    def _add(self, at: int, sample: Sample, parts: list[Part]) -> None:
        end = at + sample.duration
        msn = self.msn_at(at)
        if msn > self._msn:
            self._msn, self._index = msn, 0
        # one that lasts too long for any part ends the part that it follows: what is short is last
        if self._samples and end - self._begin > self.target >= sample.duration:
            parts.append(self._cut(is_last=False))
        if not self._samples:
            self._begin = at
        self._samples.append(sample)
        self._end = end
        is_last = self.msn_at(end) > self._msn
        # The next one will be as long as others, or a little shorter: what can't take it goes out.
        usual = min(sample.duration, self._usual or sample.duration)
        if is_last or end - self._begin + usual * 3 // 4 > self.target:
            parts.append(self._cut(is_last=is_last))

    def _cut(self, *, is_last: bool) -> Part:
        samples: Sequence[Sample]
        samples, self._samples = self._samples, []
        if len(samples) > 1 or not self._usual:
            self._usual = min(sample.duration for sample in samples)
        number = (self._msn - self._base_msn) * _NUMBERS_A_SEGMENT + min(
            self._index, _NUMBERS_A_SEGMENT - 1
        )
        part = Part(
            self._msn,
            self._index,
            self._begin,
            self._end,
            samples[0].is_key,
            is_last,
            fragment(number, [Run(self._track, self._begin, samples)]),
        )
        self._index += 1
        return part
