"""What a publisher's RTMP messages hold, as units, configurations and events of `ingest.streams`.

The only place of ingest that knows FLV bodies. A unit's data is a view of the message it came in,
as the publisher sent it, unless `ingest.streams.h264_input` has to put it right.

Pure, one Demuxer a publisher, over the stream's Timeline: only pictures, audio frames and data
messages get a time, since publishers send headers with any timestamp, often 0. What cannot be read
comes out as `Dropped`; nothing raises.
"""

from collections.abc import Iterator, Sequence

from common.codecs.h264_access_units import MessageFacts
from common.errors import FlvError
from common.flv import amf0
from common.flv.extended import FurtherTrack
from common.flv.on_metadata import NAME, declared_size, metadata_members
from common.flv.video import (
    FrameType,
    VideoBody,
    VideoPacket,
    further_video_tracks,
    parse_video,
)
from common.media.rates import declared_rate
from common.media.units import AudioConfig, DataUnit, MediaKind, VideoCodec
from common.rtmp.events import AudioReceived, DataReceived, Event, MetadataReceived, VideoReceived
from ingest.rtmp.audio_input import AudioInput, AudioResult
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.h264_input import H264Input, H264Result
from ingest.streams.media_events import (
    Dropped,
    MediaEvent,
    Metadata,
    TrackOmitted,
    UnsupportedVideo,
)

VideoResult = H264Result | UnsupportedVideo | TrackOmitted


class Demuxer:
    """One publisher's messages, in the order of arrival; each call gives what the message held."""

    def __init__(
        self, timeline: Timeline, now: float = 0.0, audio_before: AudioConfig | None = None
    ) -> None:
        """`now` is when its publisher begins; `audio_before` what the one before it sent."""
        self.last_media_s = now  # when the last audio or video message came
        self._times = SourceTimes(timeline)
        self._h264 = H264Input(self._times)
        self._audio = AudioInput(self._times, audio_before)
        self._unsupported: VideoCodec | None = None

    def take(self, events: Sequence[Event], now: float) -> Iterator[MediaEvent]:
        """What the events of one read hold, each read when it is asked for."""
        for event in events:
            # not by `match`: this runs for every message of every publisher
            if isinstance(event, VideoReceived):
                yield from self.video(event.timestamp, event.payload, now)
            elif isinstance(event, AudioReceived):
                yield from self.audio(event.timestamp, event.payload, now)
            elif isinstance(event, MetadataReceived):
                yield self.metadata(event.payload)
                yield from self._audio.make_anew()
            elif isinstance(event, DataReceived):
                yield self.data(event.timestamp, event.payload, now)
            if self._times.has_notices:
                yield from self._times.take_notices()

    def flush(self, before_s: float) -> Sequence[MediaEvent]:
        """What waits for more of its picture, if the last of it came before then."""
        return [*self._h264.flush(before_s), *self._times.take_notices()]

    def video(self, timestamp: int, payload: bytes, now: float) -> Sequence[VideoResult]:
        """Take a video message."""
        self.last_media_s = now
        try:
            body = parse_video(memoryview(payload))
            further = further_video_tracks(payload) if payload[0] & 0x80 else ()
        except FlvError as error:
            return [_dropped_video("unreadable video tag", error)]
        if further:
            return [*_omitted(further, now), *self._track_zero(timestamp, body, now)]
        return self._track_zero(timestamp, body, now)

    def _track_zero(
        self, timestamp: int, body: VideoBody[memoryview], now: float
    ) -> Sequence[VideoResult]:
        if body.track_id != 0 or body.codec is None:
            return []
        if body.codec is not VideoCodec.H264:
            if body.codec is self._unsupported:
                return []
            self._unsupported = body.codec
            return [UnsupportedVideo(body.codec)]
        match body.packet:
            case VideoPacket.SEQUENCE_HEADER:
                return self._h264.record(bytes(body.data))
            case VideoPacket.NALUS:
                is_flagged = body.frame_type is FrameType.KEY
                facts = MessageFacts(timestamp, body.composition_ms, is_flagged, now)
                return self._h264.message(body.data, facts)
            case _:
                return []  # an end of sequence is no end of the stream; commands, colour info

    def audio(self, timestamp: int, payload: bytes, now: float) -> Sequence[AudioResult]:
        """Take an audio message."""
        self.last_media_s = now
        return self._audio.message(timestamp, payload, now)

    def metadata(self, payload: bytes) -> Metadata:
        """Take an onMetaData message."""
        members = metadata_members(payload)
        fps = declared_rate(members.get("framerate"))
        self._h264.declare_rate(fps)
        self._audio.declare(members)
        return Metadata(payload, fps, declared_size(members))

    def data(self, timestamp: int, payload: bytes, now: float) -> DataUnit | Dropped:
        """Take a data message; onMetaData comes here only when nobody can read it."""
        name = amf0.leading_string(payload)
        if name is not None and name[0] == NAME:
            # Passed on as data it would be every rendition's metadata: each has its own.
            return Dropped(MediaKind.DATA, "unreadable metadata")
        return DataUnit(self._times.data(timestamp, now).dts_ms, payload, now)


def _omitted(tracks: Sequence[FurtherTrack], now: float) -> list[TrackOmitted]:
    return [
        TrackOmitted(MediaKind.VIDEO, track.track_id, track.codec, track.size, now)
        for track in tracks
    ]


def _dropped_video(reason: str, error: Exception | None = None) -> Dropped:
    return Dropped(MediaKind.VIDEO, reason, str(error) if error else "")
