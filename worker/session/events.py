"""What a session tells its worker, from whatever thread it happens in. Pure values."""

from dataclasses import dataclass

from worker.output.rendition_output import CodedTag


@dataclass(frozen=True, slots=True)
class RungBegan:
    """A rung's encoder is open, for the first time or anew; a keyframe follows."""

    rung: int  # index in the ladder
    metadata: bytes
    header: bytes


@dataclass(frozen=True, slots=True)
class RungCoded:
    """A picture of a rung."""

    rung: int
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
class CapMet:
    """The driver refused an encoder session; what that means for the stream comes apart."""

    open_sessions: int  # of this process
    reason: str
    is_again: bool = False  # by another try for a rung that was lost before


Event = RungBegan | RungCoded | Ended | DeviceGone | CapMet
