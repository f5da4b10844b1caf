"""What a publisher's RTMP messages hold, as units, configurations and events of `ingest.streams`.

The only place of ingest that knows FLV bodies. A unit's data is a view of the message it came in,
as the publisher sent it, unless its codec's input (`ingest.streams.video_input`) has to put it
right.

The codec is what the messages say, but for H.264: encoders have written H.265 under its number
(OBS before 29.1). A record tells which of the two it is; where none came, parameter sets in band
do. A codec is changed to by a message that has, or makes, a configuration of it.

Pure, one Demuxer a publisher, over the stream's Timeline: only pictures, audio frames and data
messages get a time, since publishers send headers with any timestamp, often 0. What cannot be read
comes out as `Dropped`; nothing raises.
"""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from common.codecs.h264_access_units import MessageFacts
from common.codecs.table import codec_of_record
from common.errors import FlvError
from common.flv import ad_cue, amf0
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
from common.media.units import AudioConfig, Data, DataUnit, MediaKind, VideoCodec, VideoConfig
from common.rtmp.events import AudioReceived, DataReceived, Event, MetadataReceived, VideoReceived
from ingest.rtmp.audio_input import AudioInput, AudioResult
from ingest.rtmp.further_video import FurtherVideo
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import (
    Dropped,
    MediaEvent,
    Metadata,
    TrackOmitted,
    TrackVideo,
    UnsupportedVideo,
    dropped_video,
)
from ingest.streams.video_input import VIDEO_INPUTS, VideoInput, VideoInputResult

VideoResult = VideoInputResult | UnsupportedVideo | TrackOmitted | TrackVideo
_MISTAKABLE = (VideoCodec.H264, VideoCodec.H265)


class Demuxer:
    """One publisher's messages, in the order of arrival; each call gives what the message held."""

    def __init__(
        self, timeline: Timeline, now: float = 0.0, audio_before: AudioConfig | None = None
    ) -> None:
        """`now` is when its publisher begins; `audio_before` what the one before it sent."""
        self.last_media_s = now  # when the last audio or video message came
        self._times = SourceTimes(timeline)
        self._video: VideoInput = VIDEO_INPUTS[VideoCodec.H264](self._times)
        self._label = VideoCodec.H264  # that messages for it bear
        self._codec = VideoCodec.H264  # which it is
        self._is_configured = False
        self._declared_fps: Fraction | None = None
        self._audio = AudioInput(self._times, audio_before)
        self._unsupported: VideoCodec | None = None
        self._further = FurtherVideo(self._times)

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
        return [*self._video.flush(before_s), *self._times.take_notices()]

    def video(self, timestamp: int, payload: bytes, now: float) -> Sequence[VideoResult]:
        """Take a video message."""
        self.last_media_s = now
        try:
            body = parse_video(memoryview(payload))
            further = further_video_tracks(payload) if payload[0] & 0x80 else ()
        except FlvError as error:
            return [dropped_video("unreadable video tag", error)]
        if further:
            return [
                *self._track_zero(timestamp, body, now),
                *self._further.message(timestamp, payload, now),
                *_omitted(further, now),
            ]
        results = self._track_zero(timestamp, body, now)
        if self._further.is_waiting:
            return [*results, *self._further.take_waiting()]
        return results

    def _track_zero(
        self, timestamp: int, body: VideoBody[memoryview], now: float
    ) -> Sequence[VideoResult]:
        if body.track_id != 0 or body.codec is None:
            return []
        packet = body.packet
        if packet is VideoPacket.NALUS:
            is_flagged = body.frame_type is FrameType.KEY
            facts = MessageFacts(timestamp, body.composition_ms, is_flagged, now)
            if body.codec is self._label and self._is_configured:
                return self._video.message(body.data, facts)
            return self._unconfigured(body.codec, body.data, facts)
        if body.codec not in VIDEO_INPUTS:
            return self._refused(body.codec)
        if packet is VideoPacket.SEQUENCE_HEADER:
            return self._record(body.codec, bytes(body.data))
        return []  # an end of sequence is no end of the stream; commands, colour info

    def _refused(self, codec: VideoCodec) -> Sequence[VideoResult]:
        if codec is self._unsupported:
            return []
        self._unsupported = codec
        return [UnsupportedVideo(codec)]

    def _record(self, label: VideoCodec, record: bytes) -> Sequence[VideoResult]:
        """Take a sequence header, and what follows in its codec."""
        codec = codec_of_record(label, record)
        if codec is self._codec:
            self._label = label
            return self._noted(self._video.record(record))
        video = self._input(codec)
        results = video.record(record)
        if any(isinstance(result, VideoConfig) for result in results) or not self._is_configured:
            return [*self._changed(label, codec, video), *self._noted(results)]
        return results

    def _unconfigured(
        self, label: VideoCodec, data: Data, facts: MessageFacts
    ) -> Sequence[VideoResult]:
        """Take pictures whose codec no sequence header has told."""
        if label not in VIDEO_INPUTS:
            return self._refused(label)
        results: Sequence[VideoResult] = ()
        if label is self._label:
            results = self._noted(self._video.message(data, facts))
            if self._is_configured:
                return results
        others = _MISTAKABLE if label in _MISTAKABLE else (label,)
        for codec in others:
            if codec is self._codec:
                continue
            video = self._input(codec)
            found = video.message(data, facts)
            if any(isinstance(result, VideoConfig) for result in found):
                return [*self._changed(label, codec, video), *self._noted(found)]
        return results or [dropped_video("video of another codec")]

    def _input(self, codec: VideoCodec) -> VideoInput:
        video = VIDEO_INPUTS[codec](self._times)
        video.declare_rate(self._declared_fps)
        return video

    def _changed(
        self, label: VideoCodec, codec: VideoCodec, video: VideoInput
    ) -> Sequence[VideoResult]:
        """Go over to another codec; what the one before still had."""
        rest = self._video.flush(math.inf)
        self._video, self._label, self._codec = video, label, codec
        self._is_configured = False
        return rest

    def _noted(self, results: Sequence[VideoInputResult]) -> Sequence[VideoResult]:
        self._is_configured = self._is_configured or any(
            isinstance(result, VideoConfig) for result in results
        )
        return results

    def audio(self, timestamp: int, payload: bytes, now: float) -> Sequence[AudioResult]:
        """Take an audio message."""
        self.last_media_s = now
        return self._audio.message(timestamp, payload, now)

    def metadata(self, payload: bytes) -> Metadata:
        """Take an onMetaData message."""
        members = metadata_members(payload)
        fps = declared_rate(members.get("framerate"))
        self._declared_fps = fps
        self._video.declare_rate(fps)
        self._audio.declare(members)
        return Metadata(payload, fps, declared_size(members))

    def data(self, timestamp: int, payload: bytes, now: float) -> DataUnit | Dropped:
        """Take a data message; onMetaData comes here only when nobody can read it."""
        name = amf0.leading_string(payload)
        if name is not None and name[0] == NAME:
            # Passed on as data it would be every rendition's metadata: each has its own.
            return Dropped(MediaKind.DATA, "unreadable metadata")
        dts_ms = self._times.data(timestamp, now).dts_ms
        return DataUnit(dts_ms, ad_cue.moved(payload, timestamp, dts_ms), now)


def _omitted(tracks: Sequence[FurtherTrack], now: float) -> list[TrackOmitted]:
    return [
        TrackOmitted(MediaKind.VIDEO, track.track_id, track.codec, track.size, now)
        for track in tracks
    ]
