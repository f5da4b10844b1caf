"""One publishing connection: its media given to its stream, and what it is closed for.

Pure: the events of `ingest.streams.media_events` and the time in, a `Refusal` out when the
connection has to end.
"""

import math
from collections.abc import Sequence
from typing import Protocol

from common.access.refusal import Cause, Refusal, RefusalReason
from common.codecs.aac import frame_ms
from common.config.ladder import Takeover
from common.config.limits import beyond_header
from common.config.settings import IngestSettings
from common.media.rates import Throughput
from common.media.units import (
    AudioCodec,
    AudioConfig,
    AudioUnit,
    DataUnit,
    MediaKind,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from ingest.streams.backup_rules import PublisherRole
from ingest.streams.clock.timeline import Timeline
from ingest.streams.limit_watch import LimitWatch
from ingest.streams.media_events import (
    AudioHeaderMade,
    AudioOmitted,
    ClockDecision,
    Dropped,
    MediaEvent,
    Metadata,
    TrackOmitted,
    TrackVideo,
    UnsupportedVideo,
)
from ingest.streams.reading_pace import ReadingPace, ReadingState
from ingest.streams.stream import Stream

WHICH_AUDIO = "one track of AAC, MP3 or another legacy FLV format is passed on"
WHICH_TRACKS = "of video and of audio the first track is served"
PAUSED_S = 0.5  # no more of a picture came for so long: what is there of it is handed on
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

    @property
    def received_bytes(self) -> int:
        """Everything that was read from it so far."""
        ...

    def accept_publish(
        self, request_id: int, timeline: Timeline, now: float, before: AudioConfig | None
    ) -> None:
        """Let it publish; its media gets its times by `timeline`.

        `before` is what the publisher before it sent as its sound's configuration.
        """
        ...

    def refuse_publish(self, request_id: int, refusal: Refusal, after_s: float = 0.0) -> None:
        """Say no, so many seconds later, and close once that has gone out."""
        ...

    def hold_back(self, seconds: float) -> None:
        """Read nothing for so long, or for less."""
        ...

    def unread_bytes(self) -> int | None:
        """How much has come and is not read; None where that is not known."""
        ...

    def flush(self, before_s: float) -> Sequence[MediaEvent]:
        """What waits for more of its picture, if the last of it came before then."""
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


class Aside(Protocol):
    """What is told of the keyframes of one that stands by."""

    def key(self, publisher: "Publisher", unit: VideoUnit, now: float, /) -> VideoUnit:
        """Take note of a picture that decoding can begin at; as it goes on."""
        ...


class Publisher:
    """Feeds a stream from one connection, from Publish.Start to the connection's end."""

    def __init__(
        self,
        stream: Stream,
        connection: PublishingConnection,
        settings: IngestSettings,
        now: float,
        is_odd: bool = False,
        role: PublisherRole = PublisherRole.MAIN,
    ) -> None:
        """`is_odd`: of the ticks, which ones are its turn if it is read at every other one."""
        self.stream = stream
        self.role = role
        self._standby: Aside | None = None  # while it stands by for the stream
        self.is_odd = is_odd
        self.has_video = False  # a picture has come
        self.reading = ReadingPace()
        self._notices: list[str] = []  # for the log
        self._media = stream.media
        self._connection = connection
        self._settings = settings
        self._started_s = now
        self._is_header_made = False  # that of the sound
        self._watch = LimitWatch(stream.template.limits, connection.received_bytes, now)
        self._received = Throughput()
        self._received_before = connection.received_bytes
        self._rate_bps = 0.0  # for `batch_s`, as it was …
        self._rate_of = -1  # … in this second of the clock
        self._unsupported: VideoCodec | None = None  # that came since the last picture …
        self._unsupported_s = 0.0  # … and when it did
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
            if self._standby is not None and event.is_random_access:
                event = self._standby.key(self, event, now)
            self._media.video(event)
            self.reading.see(
                event.dts_ms, event.received_s, len(event.data), is_set_anew=event.discontinuity
            )
        elif isinstance(event, AudioUnit):
            self._media.audio_unit(event)
            self.reading.hear()
        elif isinstance(event, TrackVideo):
            self._media.track(event, now)
        else:
            return self._take_other(event, now)
        return None

    def feed(self, stream: Stream, standby: "Aside | None") -> None:
        """Give another stream what comes; `standby`: one that nobody gets."""
        self.stream, self._media, self._standby = stream, stream.media, standby

    @property
    def stands_by(self) -> bool:
        """Whether nobody gets what it sends."""
        return self._standby is not None

    def end_read(self, now: float) -> None:
        """Send what one read has brought, and read no more for a while from one that is fast."""
        self._media.end_read(now)
        reading = self.reading
        if reading.is_fast:
            reading.read(now, self._connection.unread_bytes())
            self._media.held_s = reading.waits_s
            if reading.waits_s:
                self._connection.hold_back(reading.waits_s)

    def look(self, now: float) -> None:
        """See what has come from one that is fast, or paused; several times a second."""
        if self._media.omitted:
            self.stream.doctor.note_omitted_tracks(self._media.omitted.words(now), now)
        self._media.is_fast = self.reading.state is ReadingState.FILE
        if self.reading.is_fast:  # the rest of a picture may be unread
            self.reading.look(now, self._connection.unread_bytes())
        else:
            self.flush(now - PAUSED_S)

    def flush(self, before_s: float = math.inf) -> None:
        """Send what waits since before then for more of its picture: that does not come."""
        events = self._connection.flush(before_s)
        now = self.last_media_s
        for event in events:
            self.take(event, now)
        if events:
            self._media.end_read(now)

    @property
    def notices(self) -> list[str]:
        """What is for the log; `notices_taken` when it is there."""
        passed = self._media.passed
        tracks = passed.notices if passed is not None else ()
        return [*self._notices, *tracks, *self.reading.notices]

    def notices_taken(self) -> None:
        self._notices.clear()
        if self._media.passed is not None:
            self._media.passed.notices.clear()
        self.reading.notices.clear()

    @property
    def waits_s(self) -> float:
        """How long to read nothing from it."""
        return self.reading.waits_s

    def batch_s(self, now: float) -> float:
        """How long what it sends may lie unread: 0, half of BATCH_S, or BATCH_S.

        To be asked several times a second.
        """
        received = self._connection.received_bytes - self._received_before
        self._received.count(0, received - self._received.bytes, now)
        if (
            now - self._started_s <= IMMEDIATE_S
            or not self.has_video
            or self.reading.is_fast
            or self.stream.has_players
        ):
            return 0.0
        if int(now) != self._rate_of:  # both are rates of whole seconds
            self._rate_of = int(now)
            # What waits unread is everything, further tracks too, and not what is served alone.
            received_bps = self._received.bits_per_second(now)
            self._rate_bps = max(self.stream.bits_per_second(now), received_bps)
        rate_bps = self._rate_bps
        if rate_bps * BATCH_S <= BATCHED_BITS:
            return BATCH_S
        return BATCH_S / 2 if rate_bps * BATCH_S / 2 <= BATCHED_BITS else 0.0

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
        idle_s = self.stream.template.idle_timeout_s
        if idle_s is None:
            idle_s = settings.idle_timeout_s
        if now - self.last_media_s >= idle_s:
            words = f"no media for {idle_s:g} s (idle_timeout)"
            return Refusal(RefusalReason.IDLE, words)
        beyond = self._watch.look(self._connection.received_bytes, self._media.measured_fps, now)
        return _beyond_limits(beyond) if beyond else None

    def _take_other(
        self,
        event: DataUnit
        | VideoConfig
        | AudioConfig
        | Metadata
        | AudioOmitted
        | TrackOmitted
        | AudioHeaderMade
        | UnsupportedVideo
        | Dropped
        | ClockDecision,
        now: float,
    ) -> Refusal | None:
        match event:
            case DataUnit():
                self._media.data(event)
            case VideoConfig():
                return self._configure(event, now)
            case AudioConfig():
                self.reading.sound_frame_s = _frame_s(event)
                self._media.audio_configure(event)
                if not self._is_header_made:
                    self.stream.audio_before = event
            case Metadata():
                self._media.metadata(event)
            case AudioOmitted(reason):
                self._media.audio_omitted(reason)
                self.stream.doctor.note_omitted_audio(reason, now)
                self._notices.append(f"{reason} is omitted: {WHICH_AUDIO}")
            case TrackOmitted():
                self._carry(event)
            case AudioHeaderMade(what):
                self._is_header_made = bool(what)
                if not what:  # one that says the same follows nothing
                    self.stream.audio_before = self._media.audio_config
                self._notices.append(self.stream.doctor.note_made_header(what, now))
            case UnsupportedVideo(codec):
                if not self.has_video:
                    return _unsupported(codec)
                # Among pictures that were H.264 it may be one broken tag.
                self._unsupported, self._unsupported_s = codec, now
                self._media.drop("video of another codec")
            case Dropped():
                self._drop(event)
            case ClockDecision(notice, words, faults, parted):
                self._notices.append(notice)
                self._media.source_clock = words
                self.stream.doctor.note_clock(faults, parted, now)
        return None

    def _carry(self, part: TrackOmitted) -> None:
        """Count a part of a further track, unless it stands in for a rendition."""
        self.reading.carry(part.size)
        if part.kind is MediaKind.VIDEO and self._media.may_pass(part.track_id):
            return
        if self._media.omitted.count(part):
            self._notices.append(f"{part.name} is omitted: {WHICH_TRACKS}")

    def _configure(self, config: VideoConfig, now: float) -> Refusal | None:
        beyond = beyond_header(
            self.stream.template.limits, config.width, config.height, config.reference_frames
        )
        if beyond:
            return _beyond_limits(beyond)
        self.reading.picture_s = float(1 / config.fps) if config.fps else None
        self.stream.configure(config, now)
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


def _unsupported(codec: VideoCodec) -> Refusal:
    return Refusal(
        RefusalReason.UNSUPPORTED,
        f"{codec.label} video is not supported: publish H.264, HEVC or AV1",
        is_lasting=True,
    )


def _beyond_limits(words: str) -> Refusal:
    return Refusal(RefusalReason.DENIED, words, is_lasting=True, cause=Cause.SOURCE_LIMIT)


def _frame_s(config: AudioConfig) -> float | None:
    """The length of a frame of sound; None where the configuration does not tell."""
    length_ms = frame_ms(config.record) if config.codec is AudioCodec.AAC else None
    return length_ms / 1000 if length_ms is not None else None
