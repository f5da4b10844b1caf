"""What a session tells its worker, from whatever thread it happens in. Pure values."""

from dataclasses import dataclass

from worker.output.rendition_output import CodedTag


@dataclass(frozen=True, slots=True)
class RenditionBegan:
    """A rendition's encoder is open, for the first time or anew; a keyframe follows."""

    rendition: int  # index in the ladder
    metadata: bytes
    header: bytes


@dataclass(frozen=True, slots=True)
class RenditionCoded:
    """A picture of a rendition."""

    rendition: int
    tag: CodedTag
    is_replay: bool
    coded_s: float = 0.0  # when the encoder had it


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of a session; `trouble`: it could not be served (any more)."""

    reason: str
    trouble: bool
    is_workers_own: bool = False  # trouble of this process: its device may serve the stream


@dataclass(frozen=True, slots=True)
class DeviceGone:
    """The device is lost: the process must end."""

    reason: str


@dataclass(frozen=True, slots=True)
class EncoderLimitHit:
    """The driver refused an encoder session; what that means for the stream comes apart."""

    open_sessions: int  # of this process
    reason: str
    is_again: bool = False  # by another try for a rendition that was lost before


Event = RenditionBegan | RenditionCoded | Ended | DeviceGone | EncoderLimitHit
