"""What a session reports to its worker, and its pipeline to it, from any thread. Pure values."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from common.config.ladder import RenditionFormat
from common.ipc.media_messages import RenditionVideo
from worker.devices.source import Source
from worker.encoders.encoded_stream import HandedOver
from worker.output.rendition_output import CodedTag
from worker.pool.memory import PicturePool


@dataclass(frozen=True, slots=True)
class RenditionBegan:
    """A rendition's encoder is open, for the first time or anew; a keyframe follows."""

    rendition: int  # index in the ladder
    video: RenditionVideo
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
class RenditionRests:
    """A rendition's encoder is closed, as nobody plays it; it begins anew before the next tag."""

    rendition: int


@dataclass(frozen=True, slots=True)
class EncodingWanted:
    """A session's pictures are to be encoded by an encoder process."""

    pool: PicturePool
    source: Source  # its colour
    renditions: tuple[RenditionFormat, ...]
    fps: tuple[Fraction, ...]  # of each, that rate control goes by
    queue_ms: int


@dataclass(frozen=True, slots=True)
class PicturesScaled:
    """A picture lies in the session's pool, scaled, for an encoder process."""

    pts_ms: int
    is_key: bool
    is_replay: bool
    received_s: float
    scaled_s: float
    pictures: tuple[HandedOver, ...]
    is_saturated: bool = False  # there is a stream for every core of the host


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
    """The driver refused an encoder session; what that costs the stream is another event."""

    open_sessions: int  # of this process
    reason: str
    is_again: bool = False  # by another try for a rendition that was lost before


Event = (
    RenditionBegan
    | RenditionCoded
    | RenditionRests
    | EncodingWanted
    | PicturesScaled
    | Ended
    | DeviceGone
    | EncoderLimitHit
)


class SessionLife(Protocol):
    """The calls by which a pipeline reports to its session, from any of its threads."""

    def post(self, event: Event) -> None:
        """Hand an event to the worker's loop."""
        ...

    def wind_down(self, end: Ended, *, flush: bool) -> None:
        """End the stream here; `flush`: with what the encoders still have."""
        ...

    def on_device_lost(self, error: Exception) -> None: ...

    def on_stopped(self) -> None:
        """Every thread has done what was posted to it before `Pipeline.stop`."""
        ...
