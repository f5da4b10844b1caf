"""One publishing connection: its media given to its stream, and what it is closed for.

Pure: the events of `ingest.streams.media_events` and the time in, a `Refusal` out when the
connection has to end.
"""

from typing import Protocol

from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import Takeover
from common.config.settings import IngestSettings
from common.media.units import (
    AudioConfig,
    AudioUnit,
    DataUnit,
    MediaKind,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from ingest.streams.media_events import (
    AudioOmitted,
    Dropped,
    MediaEvent,
    Metadata,
    UnsupportedVideo,
)
from ingest.streams.stream import Stream
from ingest.streams.timeline import Timeline

WHICH_AUDIO = "one track of AAC, MP3 or another legacy FLV format is passed on"
TOO_FAST = "it sends faster than real time and is read no faster (from a file: ffmpeg -re -i ...)"
MAX_LEAD_S = 5.0  # more than a relay's last GOP brings at once
KEPT_LEAD_S = 1.0  # of one that is fast: its media never waits for it
MAX_STEP_S = 1.0  # from one picture to the next, as far as it counts
LEAD_WINDOW_S = 10.0  # from the first picture; later ones may have been held up on their way
IMMEDIATE_S = 3.0  # from its start a publisher is read at once, for renditions and players to begin
BATCH_S = 0.2  # that anything may lie unread; a part of a tick more when others come or go
# That may, about what a connection's receive buffer holds at first (Linux: 128 KiB). Of more, a
# publisher with a small send buffer waits in its sends (of 40 Mbit/s, with 32 KiB: up to 64 ms).
BATCHED_BITS = 1_000_000


class PublishingConnection(Protocol):
    """A connection that asked to publish."""

    @property
    def host(self) -> str:
        """The peer's address without its port."""
        ...

    @property
    def peer(self) -> str:
        """The peer's address with its port."""
        ...

    @property
    def last_media_s(self) -> float:
        """When audio or video came last, be it readable or not; its acceptance before that."""
        ...

    def accept_publish(self, request_id: int, timeline: Timeline, now: float) -> None:
        """Let it publish; its media gets its times by `timeline`."""
        ...

    def refuse_publish(self, request_id: int, refusal: Refusal) -> None:
        """Say no, and close once that has gone out."""
        ...

    def hold_back(self, seconds: float) -> None:
        """Read nothing for so long, or for less."""
        ...

    def look_again(self) -> None:
        """Read what has come."""
        ...

    def read_batched(self) -> None:
        """Read what has come; from now on nothing is read but by this."""
        ...

    def read_immediately(self) -> None:
        """Read as soon as something comes."""
        ...

    def end_publish(self, refusal: Refusal) -> None:
        """Tell a publisher why it cannot go on, and close once that has gone out."""
        ...

    def finish_publish(self, words: str) -> None:
        """Tell a publisher that its stream ends in order, and close once that has gone out."""
        ...


class Pace:
    """How far a publisher's pictures run ahead of the clock; from a file they may, by hours.

    Known by the first ones: whoever is ahead with them is read no faster than in real time.
    """

    def __init__(self) -> None:
        self.is_fast = False
        self.ahead_s = 0.0  # by the last picture, of one that is fast
        self._first_s = 0.0  # when the first picture came …
        self._media_s = 0.0  # … and how much has come since
        self._last: VideoUnit | None = None
        self._is_known = False

    def see(self, unit: VideoUnit) -> None:
        if self._is_known and not self.is_fast:
            return
        last, self._last = self._last, unit
        if last is None or unit.discontinuity:
            self._first_s, self._media_s, self.ahead_s = unit.received_s, 0.0, 0.0
            return
        # A longer step is a clock that was set, rather than so much media.
        self._media_s += min((unit.dts_ms - last.dts_ms) / 1000, MAX_STEP_S)
        passed_s = unit.received_s - self._first_s
        self.ahead_s = self._media_s - passed_s
        if not self._is_known:
            self.is_fast = self.ahead_s > MAX_LEAD_S
            self._is_known = self.is_fast or passed_s > LEAD_WINDOW_S


class Publisher:
    """Feeds a stream from one connection, from Publish.Start to the connection's end."""

    def __init__(
        self,
        stream: Stream,
        connection: PublishingConnection,
        settings: IngestSettings,
        now: float,
        is_odd: bool = False,
    ) -> None:
        """`is_odd`: of the ticks, which ones are its turn if it is read at every other one."""
        self.stream = stream
        self.is_odd = is_odd
        self.has_video = False  # a picture has come
        self.notices: list[str] = []  # for the log; who reads them empties it
        self._media = stream.media
        self._connection = connection
        self._settings = settings
        self._started_s = now
        self._unsupported: VideoCodec | None = None  # that came since the last picture …
        self._unsupported_s = 0.0  # … and when it did
        self._pace = Pace()
        self._last_trouble = ""  # the latest reason for which video was dropped

    @property
    def last_media_s(self) -> float:
        """When audio or video came last."""
        return self._connection.last_media_s

    def take(self, event: MediaEvent, now: float) -> Refusal | None:
        """Take what came next."""
        # not by `match`: this runs for every message of every publisher
        if isinstance(event, VideoUnit):
            self.has_video = True
            self._unsupported = None
            self._media.video(event)
            self._see_pace(event)
        elif isinstance(event, AudioUnit):
            self._media.audio_unit(event)
        else:
            return self._take_other(event, now)
        return None

    @property
    def waits_s(self) -> float:
        """How long to read nothing from it."""
        return max(0.0, self._pace.ahead_s - KEPT_LEAD_S) if self._pace.is_fast else 0.0

    def batch_s(self, now: float) -> float:
        """How long what it sends may lie unread: 0, half of BATCH_S, or BATCH_S."""
        if (
            now - self._started_s <= IMMEDIATE_S
            or not self.has_video
            or self._pace.is_fast
            or self.stream.has_players
        ):
            return 0.0
        rate_bps = self.stream.bits_per_second(now)
        return next((s for s in (BATCH_S, BATCH_S / 2) if rate_bps * s <= BATCHED_BITS), 0.0)

    def makes_way(self, now: float) -> bool:
        """Whether another publisher may take its stream over, by the template's rule."""
        match self.stream.template.takeover:
            case Takeover.ALWAYS:
                return True
            case Takeover.IDLE:
                return now - self.last_media_s >= self._settings.takeover_idle_s
            case Takeover.NEVER:
                return False

    def overdue(self, now: float) -> Refusal | None:
        """What this publisher has to be closed for, by the clock."""
        settings = self._settings
        if not self.has_video and now - self._started_s >= settings.first_video_timeout_s:
            what = f"no video within {settings.first_video_timeout_s:g} s of the start"
            if self._last_trouble:
                what = f"{what}: {self._last_trouble}"
            return Refusal(RefusalReason.FAILED, what)
        if (
            self._unsupported is not None
            and now - self._unsupported_s >= settings.first_video_timeout_s
        ):
            return _unsupported(self._unsupported)
        if now - self.last_media_s >= settings.idle_timeout_s:
            return Refusal(RefusalReason.IDLE, f"no media for {settings.idle_timeout_s:g} s")
        return None

    def _take_other(
        self,
        event: DataUnit
        | VideoConfig
        | AudioConfig
        | Metadata
        | AudioOmitted
        | UnsupportedVideo
        | Dropped,
        now: float,
    ) -> Refusal | None:
        match event:
            case DataUnit():
                self._media.data(event)
            case VideoConfig():
                self.stream.configure(event, now)
            case AudioConfig():
                self._media.audio_configure(event)
            case Metadata():
                self._media.metadata(event)
            case AudioOmitted(reason):
                self._media.audio_omitted(reason)
                self.notices.append(f"{reason} is omitted: {WHICH_AUDIO}")
            case UnsupportedVideo(codec):
                if not self.has_video:
                    return _unsupported(codec)
                # Among pictures that were H.264 it may be one broken tag.
                self._unsupported, self._unsupported_s = codec, now
                self._media.drop("video of another codec")
            case Dropped():
                self._drop(event)
        return None

    def _drop(self, event: Dropped) -> None:
        if event.kind is MediaKind.VIDEO:
            self._last_trouble = (
                f"{event.reason} ({event.detail})" if event.detail else event.reason
            )
        if event.breaks_references:
            self._media.lose_picture(event.reason)
        else:
            self._media.drop(event.reason)

    def _see_pace(self, unit: VideoUnit) -> None:
        was_fast = self._pace.is_fast
        self._pace.see(unit)
        if self._pace.is_fast and not was_fast:
            self.notices.append(TOO_FAST)


def _unsupported(codec: VideoCodec) -> Refusal:
    return Refusal(
        RefusalReason.UNSUPPORTED,
        f"{codec.label} video is not supported: publish H.264",
        is_lasting=True,
    )
