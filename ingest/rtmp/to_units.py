"""What a publisher's RTMP messages hold, as units, configurations and events of `ingest.streams`.

The only place of ingest that knows FLV bodies. A unit's data is a view of the message it came in,
as the publisher sent it; Annex B inside tags becomes lengths. NAL units are found by their lengths
but not split or copied. A sequence header that repeats the known one says nothing; parameter sets
in band that differ from it make a new one, ahead of the unit that they came in.

Pure, one Demuxer a publisher, over the stream's Timeline: only pictures, audio frames and data
messages get a time, since publishers send headers with any timestamp, often 0. What cannot be read
comes out as `Dropped`; nothing raises.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from common.codecs import aac
from common.codecs.aac import adts_header_bytes, config_of_adts
from common.codecs.bits import BitReader
from common.codecs.h264 import (
    AvcConfig,
    NalType,
    join_avcc,
    looks_like_annexb,
    nal_spans,
    parameter_sets_in,
    parse_sps,
    split_annexb,
    video_config,
)
from common.errors import AvcError, FlvError
from common.flv import amf0
from common.flv.audio import AudioBody, AudioFormat, AudioPacket, mp3_frame, parse_audio
from common.flv.on_metadata import NAME, metadata_members
from common.flv.video import FrameType, VideoBody, VideoPacket, parse_video
from common.media.rates import declared_rate
from common.media.units import (
    AudioCodec,
    AudioConfig,
    AudioUnit,
    Data,
    DataUnit,
    MediaKind,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from common.rtmp.events import AudioReceived, DataReceived, Event, MetadataReceived, VideoReceived
from ingest.streams.media_events import (
    AudioOmitted,
    Dropped,
    MediaEvent,
    Metadata,
    UnsupportedVideo,
)
from ingest.streams.timeline import Stamp, Timeline

# Beyond it a composition time is garbage (read unsigned, -1 is 4.6 hours): taken as 0.
MAX_COMPOSITION_MS = 10_000
# What a picture may refer to (H.264 7.4.2.1.1, 7.4.2.2): more at once are an attack.
MAX_SPS = 32
MAX_PPS = 256
MAX_RECORD_BYTES = 16 * 1024  # kept, and sent to every player; real ones have 30 to 200
MAX_AAC_CONFIG_BYTES = 1024  # likewise; a program config element and its comment have 300

_PICTURE_TYPES = frozenset({NalType.SLICE, NalType.PARTITION_A, NalType.IDR})

VideoResult = VideoConfig | VideoUnit | UnsupportedVideo | Dropped
AudioResult = AudioConfig | AudioUnit | AudioOmitted | Dropped


class Demuxer:
    """One publisher's messages, in the order of arrival; each call gives what the message held."""

    def __init__(self, timeline: Timeline, now: float = 0.0) -> None:
        """`now` is when its publisher begins."""
        self.last_media_s = now  # when the last audio or video message came
        self._timeline = timeline
        self._length_size: int | None = None  # None: no sequence header yet
        self._config: AvcConfig | None = None
        self._known_sets: frozenset[bytes] = frozenset()
        self._flagged_before = False  # the last picture had the keyframe flag
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

    def video(self, timestamp: int, payload: bytes, now: float) -> list[VideoResult]:
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
                return self._sequence_header(bytes(body.data))
            case VideoPacket.NALUS:
                return self._access_unit(timestamp, body, now)
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
        return Metadata(payload, declared_rate(metadata_members(payload).get("framerate")))

    def data(self, timestamp: int, payload: bytes, now: float) -> DataUnit | Dropped:
        """Take a data message; onMetaData comes here only when nobody can read it."""
        name = amf0.leading_string(payload)
        if name is not None and name[0] == NAME:
            # Passed on as data it would be every rendition's metadata: each has its own.
            return Dropped(MediaKind.DATA, "unreadable metadata")
        return DataUnit(self._timeline.data(timestamp, now).dts_ms, payload, now)

    # ---- video

    def _sequence_header(self, record: bytes) -> list[VideoResult]:
        if not record:
            return [_dropped_video("empty sequence header")]
        try:
            if looks_like_annexb(record):
                sps, pps = parameter_sets_in(split_annexb(record))
                config = AvcConfig.from_parameter_sets(sps, pps)
                record = config.encode()
            else:
                config = AvcConfig.parse(record)
            known = self._config
            if known is None:
                self._length_size = config.nal_length_size
            if config.sps and config.pps:
                return self._configured(config, record)
            if known is not None and known.nal_length_size != config.nal_length_size:
                # The units to come have its lengths, whose parameter sets stay the known ones.
                config = replace(known, nal_length_size=config.nal_length_size)
                return self._configured(config, config.encode())
            return [_dropped_video("sequence header without parameter sets")]
        except AvcError as error:
            return [_dropped_video("unreadable sequence header", error)]

    def _configured(self, config: AvcConfig, record: bytes) -> list[VideoResult]:
        """The config if it says anything new. Raises AvcError when its SPS cannot be read."""
        if len(record) > MAX_RECORD_BYTES:
            raise AvcError(f"AVC configuration of {len(record)} bytes exceeds {MAX_RECORD_BYTES}")
        before = self._config
        known = frozenset(_comparable(nal) for nal in (*config.sps, *config.pps))
        if (
            before is not None
            and known == self._known_sets
            and config.nal_length_size == before.nal_length_size
        ):
            return []
        sps = parse_sps(config.sps[0])
        self._config = config
        self._known_sets = known
        self._length_size = config.nal_length_size
        return [video_config(record, sps)]

    def _access_unit(
        self, timestamp: int, body: VideoBody[memoryview], now: float
    ) -> list[VideoResult]:
        length_size = self._length_size
        if length_size is None:
            return [_dropped_video("video before its sequence header")]
        data: Data = body.data
        try:
            if looks_like_annexb(data, length_size):
                data = join_avcc(split_annexb(data), length_size)
            spans = nal_spans(data, length_size)
        except AvcError as error:
            reason = "NAL units beyond their tag"
            return [Dropped(MediaKind.VIDEO, reason, str(error), breaks_references=True)]
        if spans and spans[-1][1] < len(data):
            data = data[: spans[-1][1]]  # nobody behind ingest is to wonder about stray bytes
        types = {data[begin] & 0x1F for begin, _ in spans}
        results: list[VideoResult] = []
        if NalType.SPS in types or NalType.PPS in types:
            results = self._in_band([bytes(data[begin:end]) for begin, end in spans])
        if not types & _PICTURE_TYPES:
            return [*results, _dropped_video("video tag without a picture")]
        if self._config is None:
            return [*results, _dropped_video("video before its parameter sets")]
        is_idr = NalType.IDR in types
        flagged = body.frame_type is FrameType.KEY
        composition_ms = body.composition_ms
        if abs(composition_ms) > MAX_COMPOSITION_MS:
            composition_ms = 0
        stamp = self._timeline.video(timestamp, now, composition_ms)
        if stamp.moved_ms:
            composition_ms = _composition_moved(composition_ms, stamp)
        results.append(
            VideoUnit(
                VideoCodec.H264,
                0,
                stamp.dts_ms,
                composition_ms,
                self._is_key(flagged, is_idr),
                data,
                now,
                is_idr,
                stamp.discontinuity,
            )
        )
        return results

    def _is_key(self, flagged: bool, is_idr: bool) -> bool:
        """The keyframe flag, put right: some encoders set it on no picture, some on all.

        A flagged picture that is no IDR is believed (intra refresh, open GOP) unless the one before
        it was flagged too.
        """
        believed = flagged and not self._flagged_before
        self._flagged_before = flagged
        return is_idr or believed

    def _in_band(self, nals: Sequence[bytes]) -> list[VideoResult]:
        """The parameter sets of an access unit merged into the config, if they are new."""
        sps, pps = parameter_sets_in(nals)
        if len(sps) > MAX_SPS or len(pps) > MAX_PPS:
            return [_dropped_video("too many parameter sets in band")]
        if all(_comparable(nal) in self._known_sets for nal in (*sps, *pps)):
            return []
        config = self._config
        try:
            merged_sps = _merged(config.sps if config else (), sps, _sps_id)
            merged_pps = _merged(config.pps if config else (), pps, _pps_id)
            if not merged_sps or not merged_pps:
                return []
            fresh = AvcConfig.from_parameter_sets(merged_sps, merged_pps, self._length_size or 4)
            if config and config.sps_ext and fresh.chroma_format is not None:
                fresh = replace(fresh, sps_ext=config.sps_ext)
            return self._configured(fresh, fresh.encode())
        except AvcError as error:
            return [_dropped_video("unreadable parameter sets in band", error)]

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
        stamp = self._timeline.audio(timestamp, now)
        results.append(AudioUnit(codec, 0, stamp.dts_ms, data, now, stamp.discontinuity))
        return results

    @property
    def _is_aac_known(self) -> bool:
        return self._audio_config is not None and self._audio_config.codec is AudioCodec.AAC


def _dropped_video(reason: str, error: Exception | None = None) -> Dropped:
    return Dropped(MediaKind.VIDEO, reason, str(error) if error else "")


def _dropped_audio(reason: str, error: Exception | None = None) -> Dropped:
    return Dropped(MediaKind.AUDIO, reason, str(error) if error else "")


def _composition_moved(composition_ms: int, stamp: Stamp) -> int:
    """Keep the PTS of a picture whose DTS was moved up, but for a PTS before its DTS."""
    return max(composition_ms - stamp.moved_ms, min(composition_ms, 0))


def _comparable(nal: bytes) -> bytes:
    """A parameter set without what may differ and mean the same: nal_ref_idc, trailing zeros."""
    return bytes((nal[0] & 0x1F,)) + nal[1:].rstrip(b"\x00")


def _sps_id(nal: bytes) -> int:
    return parse_sps(nal).sps_id


def _pps_id(nal: bytes) -> int:
    return BitReader(nal[1:8], AvcError).ue()


def _merged(
    known: Sequence[bytes], new: Sequence[bytes], id_of: Callable[[bytes], int]
) -> list[bytes]:
    """Parameter sets in the order of their ids, the new ones in place of known ones."""
    by_id = {id_of(nal): nal for nal in (*known, *new)}
    return [by_id[set_id] for set_id in sorted(by_id)]
