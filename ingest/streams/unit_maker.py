"""Coded pictures of any codec to units: their stream time, composition time, keyframe flag.

Pure, one a publisher's track of one codec.
"""

from fractions import Fraction
from typing import Protocol

from common.codecs.h264_access_units import MessageFacts
from common.media.rates import declared_rate
from common.media.units import Data, VideoCodec, VideoUnit
from ingest.streams.clock.timeline import Stamp

# Beyond it a composition time is garbage (read unsigned, -1 is 4.6 hours; some are in 1/90000 s):
# taken as 0. A picture is shown 16 pictures after its decoding at the latest (H.264 A.3.1), and all
# of them may be later by a constant.
MAX_COMPOSITION_MS = 10_000
MAX_REORDERED = 16
MAX_OFFSET_MS = 2_000


class PictureTimes(Protocol):
    """Where a track's pictures get their stream time."""

    def video(
        self, timestamp: int, now: float, composition_ms: int, frame_ms: float | None
    ) -> Stamp:
        """The time of a picture; `frame_ms` by the rate that the publisher declares."""
        ...


class UnitMaker:
    """Call `unit` for each picture, in the order of decoding."""

    def __init__(self, codec: VideoCodec, times: PictureTimes) -> None:
        self._codec = codec
        self._times = times
        self._claimed_before = False  # the last picture was said to be a keyframe
        self._declared_fps: Fraction | None = None  # by metadata …
        self._frame_ms: float | None = None  # … or by the headers, which go first

    def declare_rate(self, fps: Fraction | None) -> None:
        """Take the frame rate that the publisher states beside its video."""
        self._declared_fps = fps
        if self._frame_ms is None and fps is not None:
            self._frame_ms = float(1000 / fps)

    def configure(self, fps: Fraction | None) -> None:
        """Take the frame rate that new parameter sets tell, or that they tell none."""
        fps = declared_rate(fps) or self._declared_fps
        self._frame_ms = float(1000 / fps) if fps is not None else None

    def unit(
        self,
        data: Data,
        message: MessageFacts,
        *,
        is_random_access: bool,
        is_claimed: bool,
        replaces_last: bool = False,
    ) -> VideoUnit:
        """The unit of a coded picture; `is_claimed`: as a keyframe, whatever it is."""
        composition_ms = message.composition_ms
        if composition_ms and abs(composition_ms) > self._most_composition_ms:
            composition_ms = 0
        stamp = self._times.video(
            message.timestamp, message.received_s, composition_ms, self._frame_ms
        )
        if stamp.moved_ms and not replaces_last:  # … which is shown a moment behind its part
            composition_ms = _composition_moved(composition_ms, stamp)
        return VideoUnit(
            self._codec,
            0,
            stamp.dts_ms,
            composition_ms,
            self._is_key(is_claimed, is_random_access),
            data,
            message.received_s,
            is_random_access,
            stamp.discontinuity,
        )

    @property
    def _most_composition_ms(self) -> float:
        if self._frame_ms is None:
            return MAX_COMPOSITION_MS
        return min(MAX_COMPOSITION_MS, MAX_REORDERED * self._frame_ms + MAX_OFFSET_MS)

    def _is_key(self, is_claimed: bool, is_random_access: bool) -> bool:
        """The keyframe flag, put right: some encoders set it on no picture, some on all.

        A picture that decoders cannot begin at by itself, but is flagged or has a recovery point,
        is believed (intra refresh, open GOP) unless the one before it was so too.
        """
        believed = is_claimed and not self._claimed_before
        self._claimed_before = is_claimed
        return is_random_access or believed


def _composition_moved(composition_ms: int, stamp: Stamp) -> int:
    """Keep the PTS of a picture whose DTS was moved up, but for a PTS before its DTS."""
    return max(composition_ms - stamp.moved_ms, min(composition_ms, 0))
