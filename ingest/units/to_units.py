"""What a publisher's units hold that another process took out of its protocol.

Pure, one `UnitReader` a publisher, over the stream's Timeline. Nothing is believed that can be
seen: pictures go the way of RTMP's through `ingest.streams.video_input`, which finds parameter
sets, keyframes and borders. What cannot be read comes out as `Dropped`; nothing raises.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from common.codecs.aac import frame_ms
from common.codecs.h264_access_units import MessageFacts
from common.codecs.table import AUDIO_CODECS
from common.errors import FlvError, ProtocolError, SpliceError
from common.flv import ad_cue
from common.flv.on_metadata import declared_size, metadata_members
from common.ipc.unit_messages import (
    AUDIO,
    AUDIO_CONFIG,
    DATA,
    KEY,
    METADATA,
    SCTE35,
    VIDEO,
    VIDEO_CONFIG,
    PublishTimed,
    UnitItem,
)
from common.media.rates import declared_rate
from common.media.units import (
    FLV_ONLY,
    AudioCodec,
    AudioConfig,
    AudioUnit,
    DataUnit,
    MediaKind,
    VideoCodec,
    VideoUnit,
)
from common.scte35 import section as scte35
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import (
    AudioOmitted,
    Dropped,
    MediaEvent,
    Metadata,
    UnsupportedVideo,
)
from ingest.streams.video_input import VIDEO_INPUTS, VideoInput

MAX_RECORD_BYTES = 16 * 1024  # kept, and sent to every player; real ones have 30 to 200
MAX_REASON = 200  # bytes
SERVED_AUDIO = FLV_ONLY | AUDIO_CODECS.keys()
_STAMP_MASK = 0xFFFFFFFF  # of the 32 bits that RTMP's times have, and `Timeline` unwraps


class UnitReader:
    """One publisher's units, in the order of arrival."""

    def __init__(self, number: int, timeline: Timeline, now: float) -> None:
        """`now` is when its publisher begins."""
        self.last_media_s = now  # when the last picture or sound came
        self.received_bytes = 0
        self.timed: PublishTimed | None = None  # to be told; who tells it empties this
        self._number = number
        self._is_timed = False
        self._last_s = 0.0  # arrivals go up
        self._times = SourceTimes(timeline)
        self._codec: str = VideoCodec.H264  # of the pictures
        self._pictures: VideoInput = VIDEO_INPUTS[VideoCodec.H264](self._times)
        self._fps: Fraction | None = None  # that its metadata declares
        self._audio: AudioConfig | None = None
        self._frame_ms: float | None = None
        self._reported: set[str] = set()  # codecs that nobody can be given

    def take(
        self, items: Sequence[UnitItem], payloads: Sequence[bytes], now: float
    ) -> Iterator[MediaEvent]:
        """What they hold, each read when it is asked for."""
        for item, payload in zip(items, payloads, strict=True):
            self.received_bytes += len(payload)
            # never ahead of the clock, nor back in time
            self._last_s = received_s = max(self._last_s, min(item.received_s, now))
            # not by `match`: this runs for every unit of every publisher
            if item.kind == VIDEO:
                self.last_media_s = now
                events = self._video(item, payload, received_s)
            elif item.kind == AUDIO:
                self.last_media_s = now
                events = self._sound(item, payload, received_s)
            else:
                events = self._other(item, payload, received_s)
            for event in events:
                if isinstance(event, VideoUnit | AudioUnit):
                    self._note_time(item.stamp_ms, event)
                yield event
            if self._times.has_notices:
                yield from self._times.take_notices()

    def flush(self, before_s: float) -> Sequence[MediaEvent]:
        """What waits for more of its picture, if the last of it came before then."""
        return [*self._pictures.flush(before_s), *self._times.take_notices()]

    # ---- inside -------------------------------------------------------------------------------

    def _note_time(self, stamp_ms: int, unit: VideoUnit | AudioUnit) -> None:
        if not self._is_timed or unit.discontinuity:
            self._is_timed = True
            self.timed = PublishTimed(self._number, stamp_ms, unit.dts_ms)

    def _video(self, item: UnitItem, payload: bytes, received_s: float) -> Sequence[MediaEvent]:
        if item.codec != self._codec and not self._changes_to(item.codec):
            return self._unsupported(item)
        is_key = bool(item.flags & KEY)
        stamp = item.stamp_ms & _STAMP_MASK
        return self._pictures.message(
            payload, MessageFacts(stamp, item.composition_ms, is_key, received_s)
        )

    def _changes_to(self, name: str) -> bool:
        """Take pictures of another codec from now on; False: it is none that is taken."""
        if name not in VIDEO_INPUTS:
            return False
        codec = VideoCodec(name)
        self._codec, self._pictures = codec, VIDEO_INPUTS[codec](self._times)
        self._pictures.declare_rate(self._fps)
        return True

    def _sound(self, item: UnitItem, payload: bytes, received_s: float) -> Sequence[MediaEvent]:
        config = self._audio
        if config is None or item.codec != config.codec:
            if item.codec in SERVED_AUDIO:
                return [_dropped(MediaKind.AUDIO, "sound before its configuration")]
            return self._omitted(item)
        if not payload:
            return [_dropped(MediaKind.AUDIO, "sound without a frame")]
        stamp = self._times.audio(item.stamp_ms & _STAMP_MASK, received_s, self._frame_ms)
        data = memoryview(payload)
        return [AudioUnit(config.codec, 0, stamp.dts_ms, data, received_s, stamp.discontinuity)]

    def _other(self, item: UnitItem, payload: bytes, received_s: float) -> Sequence[MediaEvent]:
        if item.kind == VIDEO_CONFIG:
            if item.codec != self._codec and not self._changes_to(item.codec):
                return self._unsupported(item)
            return self._pictures.record(payload)
        if item.kind == AUDIO_CONFIG:
            return self._configured(item, payload)
        if item.kind == METADATA:
            return self._metadata(payload)
        if item.kind == DATA:
            return [self._data(item, payload, received_s)]
        reason = payload[:MAX_REASON].decode("ascii", "replace")
        return [Dropped(MediaKind.VIDEO, "lost on the way", reason, breaks_references=True)]

    def _data(self, item: UnitItem, payload: bytes, received_s: float) -> DataUnit | Dropped:
        """A data message; SCTE-35 becomes one, whose time is the stream's."""
        dts_ms = self._times.data(item.stamp_ms & _STAMP_MASK, received_s).dts_ms
        if item.codec != SCTE35:
            return DataUnit(dts_ms, ad_cue.moved(payload, item.stamp_ms, dts_ms), received_s)
        try:
            splice = scte35.parse(payload)
        except SpliceError as error:
            return _dropped(MediaKind.DATA, "unreadable SCTE-35", str(error))
        if splice.is_encrypted:
            return _dropped(MediaKind.DATA, "encrypted SCTE-35")
        body = ad_cue.encode(payload, splice, dts_ms, item.composition_ms)
        return DataUnit(dts_ms, body, received_s)

    def _configured(self, item: UnitItem, record: bytes) -> Sequence[MediaEvent]:
        if item.codec not in SERVED_AUDIO:
            return self._omitted(item)
        codec = AudioCodec(item.codec)
        if codec in FLV_ONLY:
            config = AudioConfig(codec)
        else:
            try:
                if len(record) > MAX_RECORD_BYTES:
                    raise FlvError(f"{len(record)} bytes exceed {MAX_RECORD_BYTES}")
                config = AUDIO_CODECS[codec].parse_config(record)
            except ProtocolError as error:
                return [_dropped(MediaKind.AUDIO, "unreadable sound configuration", str(error))]
        if config == self._audio:
            return []
        self._audio = config
        self._frame_ms = frame_ms(record) if codec is AudioCodec.AAC else None
        return [config]

    def _metadata(self, payload: bytes) -> Sequence[MediaEvent]:
        members = metadata_members(payload)
        fps = declared_rate(members.get("framerate"))
        self._fps = fps
        self._pictures.declare_rate(fps)
        return [Metadata(payload, fps, declared_size(members))]

    def _unsupported(self, item: UnitItem) -> Sequence[MediaEvent]:
        if not self._is_new(item.codec):
            return []
        try:
            return [UnsupportedVideo(VideoCodec(item.codec))]
        except ValueError:
            return [_dropped(MediaKind.VIDEO, "video of a codec without a name")]

    def _omitted(self, item: UnitItem) -> Sequence[MediaEvent]:
        if not self._is_new(item.codec):
            return []
        try:
            return [AudioOmitted(f"{AudioCodec(item.codec).label} audio")]
        except ValueError:
            is_name = item.codec.isascii() and item.codec.isprintable()
            return [AudioOmitted(item.codec[:40] if is_name else "audio of another codec")]

    def _is_new(self, codec: str) -> bool:
        is_new = codec not in self._reported and len(self._reported) < len(VideoCodec) * 2
        self._reported.add(codec)
        return is_new


def _dropped(kind: MediaKind, reason: str, detail: str = "") -> Dropped:
    return Dropped(kind, reason, detail)
