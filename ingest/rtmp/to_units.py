"""What a publisher's RTMP messages hold, as units, configurations and events of `ingest.streams`.

The only place of ingest that knows FLV bodies. A unit's data is a view of the message it came in,
as the publisher sent it, unless `ingest.streams.h264_input` has to put it right.

Pure, one Demuxer a publisher, over the stream's Timeline: only pictures, audio frames and data
messages get a time, since publishers send headers with any timestamp, often 0. What cannot be read
comes out as `Dropped`; nothing raises.
"""

from collections.abc import Iterator, Sequence

from common.codecs import aac
from common.codecs.aac import adts_header_bytes, config_of_adts
from common.codecs.h264 import (
    NalType,
)
from common.codecs.h264_access_units import MessageFacts
from common.errors import FlvError
from common.flv import amf0
from common.flv.audio import AudioBody, AudioFormat, AudioPacket, mp3_frame, parse_audio
from common.flv.on_metadata import NAME, declared_size, metadata_members
from common.flv.video import FrameType, VideoPacket, parse_video
from common.media.rates import declared_rate
from common.media.units import (
    AudioCodec,
    AudioConfig,
    AudioUnit,
    Data,
    DataUnit,
    MediaKind,
    VideoCodec,
)
from common.rtmp.events import AudioReceived, DataReceived, Event, MetadataReceived, VideoReceived
from ingest.streams.h264_input import H264Input, H264Result
from ingest.streams.media_events import (
    AudioOmitted,
    Dropped,
    MediaEvent,
    Metadata,
    UnsupportedVideo,
)
from ingest.streams.source_times import SourceTimes
from ingest.streams.timeline import Timeline

# Beyond it a composition time is garbage (read unsigned, -1 is 4.6 hours): taken as 0.
MAX_COMPOSITION_MS = 10_000
# What a picture may refer to (H.264 7.4.2.1.1, 7.4.2.2): more at once are an attack.
MAX_SPS = 32
MAX_PPS = 256
MAX_RECORD_BYTES = 16 * 1024  # kept, and sent to every player; real ones have 30 to 200
MAX_AAC_CONFIG_BYTES = 1024  # likewise; a program config element and its comment have 300

_PICTURE_TYPES = frozenset({NalType.SLICE, NalType.PARTITION_A, NalType.IDR})

VideoResult = H264Result | UnsupportedVideo
AudioResult = AudioConfig | AudioUnit | AudioOmitted | Dropped


class Demuxer:
    """One publisher's messages, in the order of arrival; each call gives what the message held."""

    def __init__(self, timeline: Timeline, now: float = 0.0) -> None:
        """`now` is when its publisher begins."""
        self.last_media_s = now  # when the last audio or video message came
        self._times = SourceTimes(timeline)
        self._h264 = H264Input(self._times)
        self._frame_ms: float | None = None  # of a frame of sound
        self._unsupported: VideoCodec | None = None
        self._audio_config: AudioConfig | None = None
        self._omitted: set[str] = set()

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
        except FlvError as error:
            return [_dropped_video("unreadable video tag", error)]
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

    def audio(self, timestamp: int, payload: bytes, now: float) -> list[AudioResult]:
        """Take an audio message."""
        self.last_media_s = now
        if not payload:  # a sign of silence in E-RTMP, no frame
            return [_dropped_audio("empty audio tag")]
        try:
            body = parse_audio(memoryview(payload))
        except FlvError as error:
            return [_dropped_audio("unreadable audio tag", error)]
        if body.track_id != 0:
            return self._omit("audio tracks beyond the first")
        if not body.is_legacy:
            return self._omit(f"{body.codec.label} audio")
        match body.packet:
            case AudioPacket.SEQUENCE_HEADER if body.format is AudioFormat.AAC:
                return self._aac_config(bytes(body.data))
            case AudioPacket.FRAME | None:
                return self._audio_frame(timestamp, payload, body, now)
            case _:
                return []

    def metadata(self, payload: bytes) -> Metadata:
        """Take an onMetaData message."""
        members = metadata_members(payload)
        fps = declared_rate(members.get("framerate"))
        self._h264.declare_rate(fps)
        return Metadata(payload, fps, declared_size(members))

    def data(self, timestamp: int, payload: bytes, now: float) -> DataUnit | Dropped:
        """Take a data message; onMetaData comes here only when nobody can read it."""
        name = amf0.leading_string(payload)
        if name is not None and name[0] == NAME:
            # Passed on as data it would be every rendition's metadata: each has its own.
            return Dropped(MediaKind.DATA, "unreadable metadata")
        return DataUnit(self._times.data(timestamp, now).dts_ms, payload, now)

    # ---- audio

    def _omit(self, what: str) -> list[AudioResult]:
        if what in self._omitted:
            return []
        self._omitted.add(what)
        return [AudioOmitted(what)]

    def _aac_config(self, data: bytes) -> list[AudioResult]:
        if not data:
            return [_dropped_audio("empty AAC configuration")]
        try:
            if len(data) > MAX_AAC_CONFIG_BYTES:
                raise FlvError(f"{len(data)} bytes exceed {MAX_AAC_CONFIG_BYTES}")
            config = aac.parse_config(data)
        except FlvError as error:
            return [_dropped_audio("unreadable AAC configuration", error)]
        return self._audio_configured(config)

    def _audio_configured(self, config: AudioConfig) -> list[AudioResult]:
        if config == self._audio_config:
            return []
        self._audio_config = config
        self._frame_ms = aac.frame_ms(config.record) if config.codec is AudioCodec.AAC else None
        return [config]

    def _audio_frame(
        self, timestamp: int, payload: bytes, body: AudioBody[memoryview], now: float
    ) -> list[AudioResult]:
        data: Data = body.data
        if not data:
            return [_dropped_audio("audio tag without a frame")]
        results: list[AudioResult] = []
        codec = body.codec
        if codec is AudioCodec.AAC:
            header = adts_header_bytes(data)
            if not self._is_aac_known:
                asc = config_of_adts(data)
                if asc is None:
                    return [_dropped_audio("AAC before its sequence header")]
                results = self._audio_configured(aac.parse_config(asc.encode()))
            if header:
                data = data[header:]
        else:
            data = mp3_frame(data) if body.extended else payload
            results = self._audio_configured(AudioConfig(codec))
        stamp = self._times.audio(timestamp, now, self._frame_ms)
        results.append(AudioUnit(codec, 0, stamp.dts_ms, data, now, stamp.discontinuity))
        return results

    @property
    def _is_aac_known(self) -> bool:
        return self._audio_config is not None and self._audio_config.codec is AudioCodec.AAC


def _dropped_video(reason: str, error: Exception | None = None) -> Dropped:
    return Dropped(MediaKind.VIDEO, reason, str(error) if error else "")


def _dropped_audio(reason: str, error: Exception | None = None) -> Dropped:
    return Dropped(MediaKind.AUDIO, reason, str(error) if error else "")
