"""A splice, out of the data message that carries SCTE-35 (`common.flv.ad_cue`). Pure."""

from dataclasses import dataclass

from common.errors import SpliceError
from common.flv import ad_cue
from common.scte35.section import Splice, Way, parse


@dataclass(frozen=True, slots=True)
class SplicePoint:
    """One splice of a stream."""

    at_ms: int  # stream time
    section: bytes  # as its publisher sent it; the times in it are that one's
    splice: Splice

    @property
    def duration_s(self) -> float | None:
        """How long the break lasts that begins; None: it does not say."""
        return self.splice.duration_s if self.splice.way is Way.OUT else None

    def is_repeated_by(self, other: "SplicePoint") -> bool:
        """Whether another one says the same, however its section is written."""
        return (self.at_ms, self.splice.way, self.splice.event_id, self.splice.segmentations) == (
            other.at_ms,
            other.splice.way,
            other.splice.event_id,
            other.splice.segmentations,
        )


def splice_point(body: bytes, dts_ms: int) -> SplicePoint | None:
    """The splice in a data message that came at `dts_ms`; None: there is none to be read."""
    cue = ad_cue.read(body)
    if cue is None:
        return None
    try:
        splice = parse(cue.section)
    except SpliceError:
        return None
    if splice.is_idle or splice.is_encrypted:
        return None
    pre_roll_s = cue.pre_roll_s
    if pre_roll_s is None:
        pre_roll_s = cue.time_s - dts_ms / 1000 if cue.time_s is not None else 0.0
    if abs(pre_roll_s) > ad_cue.MAX_AHEAD_S:
        pre_roll_s = 0.0
    return SplicePoint(dts_ms + round(pre_roll_s * 1000), cue.section, splice)
