"""One publishing connection: its messages demuxed into its stream, and what it is closed for.

Pure: events of `common.rtmp` and the time in, a `Refusal` out when the connection has to end.
"""

from typing import Protocol

from common.access.refusal import Refusal, RefusalReason
from common.config.settings import IngestSettings
from common.rtmp.events import (
    AudioReceived,
    DataReceived,
    Event,
    MetadataReceived,
    VideoReceived,
)
from ingest.rtmp.to_units import (
    AudioConfig,
    AudioFrame,
    AudioLeftOut,
    DataUnit,
    Demuxer,
    Dropped,
    Unsupported,
    VideoConfig,
    VideoUnit,
)
from ingest.streams.stream import Stream

# A tag that held a picture which cannot be used: the pictures after it refer to it.
_LOST_PICTURES = frozenset({"NAL units beyond their tag"})

WHICH_AUDIO = "one track of AAC, MP3 or another legacy FLV format is passed on"
TOO_FAST = "it sends faster than real time and is read no faster (from a file: ffmpeg -re -i ...)"
MAX_LEAD_S = 5.0  # more than a relay's last GOP brings at once
KEPT_LEAD_S = 1.0  # of one that is fast: its media never waits for it
MAX_STEP_S = 1.0  # from one picture to the next, as far as it counts
LEAD_WINDOW_S = 10.0  # from the first picture; later ones may have been held up on their way
PROMPT_S = 3.0  # from its start a publisher is read at once, for renditions and players to begin
BATCH_S = 0.2  # that anything may lie unread; a part of a tick more when others come or go
# That may, about what a connection's receive buffer holds at first (Linux: 128 KiB). Of more, a
# publisher with a small send buffer waits in its sends (of 40 Mbit/s, with 32 KiB: up to 64 ms).
LAZY_BITS = 1_000_000


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

    def accept_publish(self, request_id: int) -> None: ...

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

    Told by the first ones: whoever is ahead with them is read no faster than in real time.
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
        self, stream: Stream, settings: IngestSettings, now: float, is_odd: bool = False
    ) -> None:
        """`is_odd`: of the ticks, which ones are its turn if it is read at every other one."""
        self.stream = stream
        self.is_odd = is_odd
        self.has_video = False  # a picture has come
        self.last_media_s = now
        self._settings = settings
        self._started_s = now
        self._demuxer = Demuxer(stream.timeline)
        self._unsupported = ""  # the codec that came since the last picture …
        self._unsupported_s = 0.0  # … and when it did
        self.notices: list[str] = []  # for the log; who reads them empties it
        self._pace = Pace()
        self._last_trouble = ""  # the latest reason for which video was left out

    def take(self, event: Event, now: float) -> Refusal | None:
        """Take a media event; other events are not its business."""
        # not by `match`: this runs for every message of every publisher
        if isinstance(event, VideoReceived):
            self.last_media_s = now
            return self._video(event.timestamp, event.payload, now)
        if isinstance(event, AudioReceived):
            self.last_media_s = now
            self._audio(event.timestamp, event.payload, now)
        elif isinstance(event, MetadataReceived):
            self.stream.metadata(event.payload)
        elif isinstance(event, DataReceived):
            self._data(event.timestamp, event.payload, now)
        return None

    @property
    def waits_s(self) -> float:
        """How long to read nothing from it."""
        return max(0.0, self._pace.ahead_s - KEPT_LEAD_S) if self._pace.is_fast else 0.0

    def may_lie_s(self, now: float) -> float:
        """For how long nobody minds if what it sends lies unread: 0, half of LAZY_S, or LAZY_S."""
        if (
            now - self._started_s <= PROMPT_S
            or not self.has_video
            or self._pace.is_fast
            or self.stream.is_watched
        ):
            return 0.0
        rate_bps = self.stream.bits_per_second(now)
        return next((s for s in (BATCH_S, BATCH_S / 2) if rate_bps * s <= LAZY_BITS), 0.0)

    def overdue(self, now: float) -> Refusal | None:
        """What this publisher has to be closed for, by the clock."""
        settings = self._settings
        if not self.has_video and now - self._started_s >= settings.first_video_timeout_s:
            what = f"no video within {settings.first_video_timeout_s:g} s of the start"
            if self._last_trouble:
                what = f"{what}: {self._last_trouble}"
            return Refusal(RefusalReason.FAILED, what)
        if self._unsupported and now - self._unsupported_s >= settings.first_video_timeout_s:
            return _unsupported(self._unsupported)
        if now - self.last_media_s >= settings.idle_timeout_s:
            return Refusal(RefusalReason.IDLE, f"no media for {settings.idle_timeout_s:g} s")
        return None

    def _video(self, timestamp: int, payload: bytes, now: float) -> Refusal | None:
        stream = self.stream
        for result in self._demuxer.video(timestamp, payload, now):
            match result:
                case VideoUnit():
                    self.has_video = True
                    self._unsupported = ""
                    stream.video(result)
                    self._see_pace(result)
                case VideoConfig():
                    stream.video_config(result, now)
                case Unsupported(name):
                    if not self.has_video:
                        return _unsupported(name)
                    # Among pictures that were H.264 it may be one broken tag.
                    self._unsupported, self._unsupported_s = name, now
                    stream.left_out("video of another codec")
                case Dropped(_, reason, detail):
                    self._last_trouble = f"{reason} ({detail})" if detail else reason
                    if reason in _LOST_PICTURES:
                        stream.video_lost(reason)
                    else:
                        stream.left_out(reason)
        return None

    def _see_pace(self, unit: VideoUnit) -> None:
        was_fast = self._pace.is_fast
        self._pace.see(unit)
        if self._pace.is_fast and not was_fast:
            self.notices.append(TOO_FAST)

    def _audio(self, timestamp: int, payload: bytes, now: float) -> None:
        stream = self.stream
        for result in self._demuxer.audio(timestamp, payload, now):
            match result:
                case AudioFrame():
                    stream.audio(result)
                case AudioConfig():
                    stream.audio_config(result)
                case AudioLeftOut(reason):
                    stream.audio_left_out(reason)
                    self.notices.append(f"{reason} is left out: {WHICH_AUDIO}")
                case Dropped(_, reason, _):
                    stream.left_out(reason)

    def _data(self, timestamp: int, payload: bytes, now: float) -> None:
        match self._demuxer.data(timestamp, payload, now):
            case DataUnit() as unit:
                self.stream.data(unit)
            case Dropped(_, reason, _):
                self.stream.left_out(reason)


def _unsupported(name: str) -> Refusal:
    return Refusal(
        RefusalReason.UNSUPPORTED,
        f"{name} video is not supported: publish H.264",
        is_lasting=True,
    )
