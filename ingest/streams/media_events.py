"""What a publisher's protocol gives its stream, besides the units and configurations themselves.

Values, made by `ingest/<protocol>/to_units.py` in the order of arrival. Pure.
"""

from dataclasses import dataclass
from fractions import Fraction

from common.media.units import (
    AudioConfig,
    AudioUnit,
    DataUnit,
    MediaKind,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The publisher's own description of its stream, for the players of the source rendition."""

    body: bytes  # of an onMetaData message, AMF0; empty: there is none
    fps: Fraction | None = None  # the frame rate that it states, if that is a sensible one
    size: tuple[int, int] | None = None  # width and height likewise


@dataclass(frozen=True, slots=True)
class AudioOmitted:
    """Audio that no player could be given; reported once a reason, the frames go nowhere."""

    reason: str


@dataclass(frozen=True, slots=True)
class TrackOmitted:
    """A part of a further track; one a part of a message.

    Nobody is given it, unless the track stands in for a rendition (`TrackVideo`).
    """

    kind: MediaKind
    track_id: int
    codec: str  # for people
    size: int  # in bytes
    received_s: float
    form: str = ""  # "AAC-LC 44.1 kHz 1ch", where the part says it

    @property
    def name(self) -> str:
        """`video track 1`."""
        return f"{self.kind.value} track {self.track_id}"


@dataclass(frozen=True, slots=True)
class TrackVideo:
    """What a part of a further track of video held."""

    track_id: int
    result: "VideoConfig | VideoUnit | Dropped"


@dataclass(frozen=True, slots=True)
class AudioHeaderMade:
    """The configuration that follows was made here, as none has come; or one has come now."""

    what: str  # "AAC-LC 44.1 kHz 2ch"; empty: the publisher's own has come


@dataclass(frozen=True, slots=True)
class UnsupportedVideo:
    """The publisher sends video of this codec; reported once. Nothing of it can be served."""

    codec: VideoCodec


@dataclass(frozen=True, slots=True)
class Dropped:
    """A message that holds nothing of use. `reason` is one of few, for counting."""

    kind: MediaKind
    reason: str
    detail: str = ""  # for logs
    breaks_references: bool = False  # it held a picture, and the ones after it refer to that


def dropped_video(reason: str, error: Exception | None = None) -> Dropped:
    """Return what says that a message of pictures holds nothing of use."""
    return Dropped(MediaKind.VIDEO, reason, str(error) if error else "")


@dataclass(frozen=True, slots=True)
class ClockDecision:
    """Something was decided about the publisher's clock."""

    notice: str  # for the log
    words: str  # what is wrong with it from now on, for status; empty: nothing
    faults: tuple[tuple[str, str], ...] = ()  # the same by the code of its notice
    parted: str = ""  # that sound and picture parted, if they just did


MediaEvent = (
    VideoUnit
    | AudioUnit
    | DataUnit
    | VideoConfig
    | AudioConfig
    | Metadata
    | AudioOmitted
    | TrackOmitted
    | TrackVideo
    | AudioHeaderMade
    | UnsupportedVideo
    | Dropped
    | ClockDecision
)
