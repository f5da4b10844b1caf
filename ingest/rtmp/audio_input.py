"""A publisher's audio messages, as units and configurations.

A frame's data is a view of the message it came in. AAC without its sequence header gets one made
(`missing_header.py`), until one comes; what comes before either is kept, and follows it with the
times that it came with. An ADTS header is taken off, and tells the configuration; a message of
several ADTS frames is several units.

Pure, one a publisher. What cannot be read comes out as `Dropped`; nothing raises.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from common.codecs import aac, opus
from common.codecs.aac import config_of_adts, split_adts
from common.codecs.table import describe_audio
from common.errors import FlvError, OpusError
from common.flv import amf0
from common.flv.audio import (
    MAX_CONFIG_BYTES,
    AudioBody,
    AudioFormat,
    AudioPacket,
    further_audio_tracks,
    legacy_frame_ms,
    mp3_frame,
    parse_audio,
)
from common.flv.extended import FurtherTrack
from common.media.units import AudioCodec, AudioConfig, AudioUnit, Data, MediaKind
from ingest.rtmp.missing_header import MissingHeader
from ingest.streams.clock.source_times import SourceTimes
from ingest.streams.media_events import AudioHeaderMade, AudioOmitted, Dropped, TrackOmitted

MAX_EARLY_FRAMES, MAX_EARLY_BYTES = 256, 256 * 1024  # kept for their header

AudioResult = AudioConfig | AudioUnit | AudioOmitted | Dropped | AudioHeaderMade | TrackOmitted


class AudioInput:
    """One publisher's audio messages, in the order of arrival."""

    def __init__(self, times: SourceTimes, before: AudioConfig | None = None) -> None:
        """`before` is the configuration that the publisher before this one sent."""
        self._times = times
        self._config: AudioConfig | None = None
        self._frame_ms: float | None = None
        self._is_made = False
        self._missing = MissingHeader(before)
        self._early: deque[AudioUnit] = deque()  # AAC that waits for its header
        self._early_bytes = 0
        self._omitted: set[str] = set()

    def declare(self, members: Mapping[str, amf0.Value]) -> None:
        """Take what onMetaData says."""
        self._missing.declare(members)

    def make_anew(self) -> Sequence[AudioResult]:
        """Make the configuration anew, if it was made and more is known since."""
        return self._make() if self._is_made else ()

    def message(self, timestamp: int, payload: bytes, now: float) -> Sequence[AudioResult]:
        """Take an audio message."""
        if not payload:  # a sign of silence in E-RTMP, no frame
            return [_dropped("empty audio tag")]
        further: Sequence[FurtherTrack] = ()
        try:
            further = further_audio_tracks(payload)
            body = parse_audio(memoryview(payload))
        except FlvError as error:
            return _omitted(further, now) or [_dropped("unreadable audio tag", error)]
        if not further:
            return self._track_zero(timestamp, payload, body, now)
        results = _omitted(further, now)
        if body.track_id == 0:
            results += self._track_zero(timestamp, payload, body, now)
        return results

    def _track_zero(
        self, timestamp: int, payload: bytes, body: AudioBody[memoryview], now: float
    ) -> Sequence[AudioResult]:
        if body.format is AudioFormat.OPUS:
            return self._opus(timestamp, body, now)
        if not body.is_legacy:
            return self._omit(f"{body.codec.label} audio")
        match body.packet:
            case AudioPacket.SEQUENCE_HEADER if body.format is AudioFormat.AAC:
                return self._header(bytes(body.data))
            case AudioPacket.FRAME | None if not body.data:
                return [_dropped("audio tag without a frame")]
            case AudioPacket.FRAME | None if body.codec is AudioCodec.AAC:
                return self._aac(timestamp, body.data, now)
            case AudioPacket.FRAME | None:
                data: Data = mp3_frame(body.data) if body.extended else payload
                results = self._configured(AudioConfig(body.codec))
                length_ms = legacy_frame_ms(body)
                return [*results, self._unit(body.codec, timestamp, data, now, length_ms)]
            case _:
                return []

    def _omit(self, what: str) -> Sequence[AudioResult]:
        if what in self._omitted:
            return []
        self._omitted.add(what)
        return [AudioOmitted(what)]

    def _opus(
        self, timestamp: int, body: AudioBody[memoryview], now: float
    ) -> Sequence[AudioResult]:
        if body.packet is AudioPacket.SEQUENCE_HEADER:
            return self._opus_header(bytes(body.data))
        if body.packet is not AudioPacket.FRAME:
            return []
        try:
            length_ms = opus.packet_samples(body.data) * 1000 / opus.RATE
        except OpusError as error:
            return [_dropped("unreadable Opus", error)]
        results: list[AudioResult] = []
        if self._config is None or self._config.codec is not AudioCodec.OPUS:
            results = self._configured(opus.parse_config(opus.STEREO_HEAD))
        return [*results, self._unit(AudioCodec.OPUS, timestamp, body.data, now, length_ms)]

    def _opus_header(self, data: bytes) -> Sequence[AudioResult]:
        try:
            if len(data) > MAX_CONFIG_BYTES:
                raise OpusError(f"{len(data)} bytes exceed {MAX_CONFIG_BYTES}")
            return self._configured(opus.parse_config(data))
        except OpusError as error:
            return [_dropped("unreadable Opus header", error)]

    def _header(self, data: bytes) -> Sequence[AudioResult]:
        if not data:
            return [_dropped("empty AAC configuration")]
        try:
            if len(data) > MAX_CONFIG_BYTES:
                raise FlvError(f"{len(data)} bytes exceed {MAX_CONFIG_BYTES}")
            config = aac.parse_config(data)
        except FlvError as error:
            return [_dropped("unreadable AAC configuration", error)]
        return self._has_come(config)

    def _has_come(self, config: AudioConfig) -> Sequence[AudioResult]:
        """The publisher itself says what its AAC is."""
        if not self._is_made:
            return self._configured(config)
        self._is_made = False
        return [AudioHeaderMade(""), *self._configured(config)]

    def _configured(self, config: AudioConfig) -> list[AudioResult]:
        if config == self._config:
            return []
        self._config = config
        is_aac = config.codec is AudioCodec.AAC
        self._frame_ms = aac.frame_ms(config.record) if is_aac else None
        early = list(self._early) if is_aac else []
        self._early.clear()
        self._early_bytes = 0
        return [config, *early]

    def _aac(self, timestamp: int, data: memoryview, now: float) -> Sequence[AudioResult]:
        results: list[AudioResult] = []
        frames = split_adts(data) if data[0] == aac.ADTS_SYNC else []
        is_known = self._config is not None and self._config.codec is AudioCodec.AAC
        if frames and (self._is_made or not is_known):
            asc = config_of_adts(frames[0])
            if asc is not None:
                results += self._has_come(aac.parse_config(asc.encode()))
                is_known = True
        if not is_known:
            if self._missing.wait(timestamp, frames[0] if frames else data, now):
                return self._keep_early(timestamp, _without_adts(frames) or [data], now)
            results += self._make()
        if not frames:
            return [*results, self._unit(AudioCodec.AAC, timestamp, data, now, self._frame_ms)]
        units = (
            self._unit(AudioCodec.AAC, timestamp, raw, now, self._frame_ms)
            for raw in _without_adts(frames)
        )
        return [*results, *units]

    def _keep_early(
        self, timestamp: int, raws: Sequence[memoryview], now: float
    ) -> Sequence[AudioResult]:
        """Let frames wait for a header; the oldest go if they are too many."""
        frame_ms = self._missing.likely_frame_ms
        for raw in raws:
            self._early.append(self._unit(AudioCodec.AAC, timestamp, raw, now, frame_ms))
            self._early_bytes += len(raw)
        dropped: list[AudioResult] = []
        while len(self._early) > MAX_EARLY_FRAMES or self._early_bytes > MAX_EARLY_BYTES:
            self._early_bytes -= len(self._early.popleft().data)
            dropped.append(_dropped("AAC before its sequence header"))
        return dropped

    def _make(self) -> Sequence[AudioResult]:
        """Go by a configuration that is made of what is known by now."""
        results = self._configured(aac.parse_config(self._missing.make()))
        if self._config is None or (self._is_made and not results):
            return results
        self._is_made = True
        return [AudioHeaderMade(describe_audio(self._config)), *results]

    def _unit(
        self, codec: AudioCodec, timestamp: int, data: Data, now: float, frame_ms: float | None
    ) -> AudioUnit:
        stamp = self._times.audio(timestamp, now, frame_ms)
        return AudioUnit(codec, 0, stamp.dts_ms, data, now, stamp.discontinuity)


def _without_adts(frames: Sequence[memoryview]) -> list[memoryview]:
    return [frame[aac.adts_header_bytes(frame) :] for frame in frames]


def _omitted(tracks: Sequence[FurtherTrack], now: float) -> list[AudioResult]:
    return [
        TrackOmitted(MediaKind.AUDIO, track.track_id, track.codec, track.size, now, track.form)
        for track in tracks
    ]


def _dropped(reason: str, error: Exception | None = None) -> Dropped:
    return Dropped(MediaKind.AUDIO, reason, str(error) if error else "")
