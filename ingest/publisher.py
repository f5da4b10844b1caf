"""One publishing connection: its messages demuxed into its stream, and what it is closed for.

Pure: events of `common.rtmp` and the time in, a `Refusal` out when the connection has to end.
"""

from common.rtmp.events import (
    AudioReceived,
    DataReceived,
    Event,
    MetadataReceived,
    VideoReceived,
)
from common.settings import IngestSettings
from ingest.admission import Refusal
from ingest.demux import (
    AudioConfig,
    AudioFrame,
    AudioLeftOut,
    Demuxer,
    Dropped,
    Unsupported,
    VideoConfig,
    VideoUnit,
)
from ingest.stream import Stream

# A tag that held a picture which cannot be used: the pictures after it refer to it.
_LOST_PICTURES = frozenset({"NAL units beyond their tag"})

WHICH_AUDIO = "one track of AAC, MP3 or another legacy FLV format is passed on"
TOO_FAST = (
    "it sends faster than real time: pictures will be left out of transcoded renditions "
    "(from a file: ffmpeg -re -i ...)"
)
MAX_LEAD_S = 5.0  # more than a relay's last GOP brings at once
LEAD_WINDOW_S = 10.0  # from the first picture; later ones may have been held up on their way


class _Lead:
    """How far a publisher's first pictures run ahead of the clock."""

    def __init__(self) -> None:
        self._first: VideoUnit | None = None
        self._is_over = False

    def is_told_by(self, unit: VideoUnit) -> bool:
        """Whether it is too far with this picture; once."""
        if self._is_over:
            return False
        first = self._first
        if first is None or unit.discontinuity:
            self._first = unit
            return False
        passed_s = unit.received_s - first.received_s
        is_ahead = (unit.dts_ms - first.dts_ms) / 1000 - passed_s > MAX_LEAD_S
        self._is_over = is_ahead or passed_s > LEAD_WINDOW_S
        if self._is_over:
            self._first = None
        return is_ahead


class Publisher:
    """Feeds a stream from one connection, from Publish.Start to the connection's end."""

    def __init__(self, stream: Stream, settings: IngestSettings, now: float) -> None:
        self.stream = stream
        self.has_video = False  # a picture has come
        self.last_media_s = now
        self._settings = settings
        self._started_s = now
        self._demuxer = Demuxer(stream.timeline)
        self._unsupported = ""  # the codec that came since the last picture …
        self._unsupported_s = 0.0  # … and when it did
        self.notices: list[str] = []  # for the log; who reads them empties it
        self._lead = _Lead()
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
            self.stream.data(self._demuxer.data(event.timestamp, event.payload, now))
        return None

    def overdue(self, now: float) -> Refusal | None:
        """What this publisher has to be closed for, by the clock."""
        settings = self._settings
        if not self.has_video and now - self._started_s >= settings.first_video_timeout_s:
            what = f"no video within {settings.first_video_timeout_s:g} s of the start"
            if self._last_trouble:
                what = f"{what}: {self._last_trouble}"
            return Refusal("NetStream.Publish.Failed", what)
        if self._unsupported and now - self._unsupported_s >= settings.first_video_timeout_s:
            return _unsupported(self._unsupported)
        if now - self.last_media_s >= settings.idle_timeout_s:
            return Refusal("NetStream.Publish.Idle", f"no media for {settings.idle_timeout_s:g} s")
        return None

    def _video(self, timestamp: int, payload: bytes, now: float) -> Refusal | None:
        stream = self.stream
        for result in self._demuxer.video(timestamp, payload, now):
            match result:
                case VideoUnit():
                    self.has_video = True
                    self._unsupported = ""
                    stream.video(result)
                    if self._lead.is_told_by(result):
                        self.notices.append(TOO_FAST)
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


def _unsupported(name: str) -> Refusal:
    return Refusal(
        "NetStream.Publish.Rejected",
        f"{name} video is not supported: publish H.264",
        lasting=True,
    )
