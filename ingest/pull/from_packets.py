"""What a demuxer of libavformat's gives, as units for an ingest. Pure, one `PacketUnits` a source.

Pictures come with start codes, or with lengths where the track has a configuration record. Sound
of AAC has ADTS headers where it has none. Times are turned into milliseconds that go up.
"""

from dataclasses import dataclass
from typing import Final

from common.codecs.aac import adts_header_bytes, config_of_adts, split_adts
from common.codecs.h264 import join_avcc, looks_like_annexb, split_annexb
from common.errors import AvcError, ProtocolError
from common.ipc.unit_messages import (
    AUDIO,
    AUDIO_CONFIG,
    KEY,
    LOST,
    VIDEO,
    VIDEO_CONFIG,
    UnitItem,
)
from common.media.units import AudioCodec, VideoCodec
from ingest.pull.source import Batch

VIDEO_NAMES: Final = {
    "h264": VideoCodec.H264,
    "hevc": VideoCodec.H265,
    "av1": VideoCodec.AV1,
    "vp8": VideoCodec.VP8,
    "vp9": VideoCodec.VP9,
}
AUDIO_NAMES: Final = {
    "aac": AudioCodec.AAC,
    "opus": AudioCodec.OPUS,
    "ac3": AudioCodec.AC3,
    "eac3": AudioCodec.EAC3,
    "mp3": AudioCodec.MP3,
    "pcm_alaw": AudioCodec.G711_A_LAW,
    "pcm_mulaw": AudioCodec.G711_MU_LAW,
}
# Of these a packet is no FLV tag, as what serves them would need: they are omitted.
_UNSERVED: Final = frozenset((AudioCodec.MP3, AudioCodec.G711_A_LAW, AudioCodec.G711_MU_LAW))
_WITH_NALS: Final = (VideoCodec.H264, VideoCodec.H265)
_AAC_SAMPLES: Final = 1024


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """What a demuxer says of one track."""

    codec: str  # libavcodec's name
    is_video: bool
    extradata: bytes = b""


@dataclass(frozen=True, slots=True)
class PacketFacts:
    """A packet, its times in seconds by the source's clock; None: the source tells none."""

    data: bytes
    dts_s: float | None
    pts_s: float | None
    is_key: bool
    received_s: float


class PacketUnits:
    """The packets of one picture track and one of sound."""

    def __init__(self, video: TrackFacts | None, audio: TrackFacts | None) -> None:
        self._video, self._audio = video, audio
        self._codec = VIDEO_NAMES.get(video.codec) if video is not None else None
        self._has_record = video is not None and video.extradata[:1] == b"\x01"
        self._sets = b"" if video is None or self._has_record else video.extradata
        self._sound = AUDIO_NAMES.get(audio.codec) if audio is not None else None
        self._record = b""  # of the sound, as it was reported
        self._last_ms: float = 0.0
        self._has_begun = False  # with pictures

    def begin(self, batch: Batch) -> None:
        """Say what the tracks say of themselves; once, before all packets."""
        if self._video is not None and self._has_record:
            name = self._codec or self._video.codec
            batch.put(UnitItem(VIDEO_CONFIG, name), self._video.extradata)
        if self._audio is not None and self._audio.extradata and self._sound not in _UNSERVED:
            self._record = self._audio.extradata
            batch.put(UnitItem(AUDIO_CONFIG, self._sound or self._audio.codec), self._record)

    def video(self, batch: Batch, packet: PacketFacts) -> None:
        """Take a packet of the picture track."""
        assert self._video is not None
        stamp_ms, composition_ms = self._times(packet)
        flags = KEY * packet.is_key
        name = self._codec or self._video.codec
        item = UnitItem(VIDEO, name, stamp_ms, composition_ms, flags, packet.received_s)
        data = packet.data
        if self._codec in _WITH_NALS and (not self._has_record or looks_like_annexb(data)):
            sets = self._sets if packet.is_key or not self._has_begun else b""
            self._has_begun = True
            try:
                data = join_avcc(split_annexb(sets + data))
            except AvcError as error:
                batch.put(UnitItem(LOST), str(error).encode("ascii", "replace"))
                return
        if data:
            batch.put(item, data)

    def audio(self, batch: Batch, packet: PacketFacts) -> None:
        """Take a packet of the sound track."""
        assert self._audio is not None
        stamp_ms, _ = self._times(packet)
        codec = self._sound or self._audio.codec
        if self._sound in _UNSERVED:
            codec = f"{self._sound.label} audio"
        frames = split_adts(packet.data) if self._sound is AudioCodec.AAC else []
        if not frames:
            batch.put(UnitItem(AUDIO, codec, stamp_ms, 0, 0, packet.received_s), packet.data)
            return
        at_ms = float(stamp_ms)
        for frame in frames:
            try:
                config = config_of_adts(frame)
                record = config.encode() if config is not None else b""
            except ProtocolError:
                continue
            if config is None:
                continue
            if record != self._record:
                self._record = record
                batch.put(UnitItem(AUDIO_CONFIG, codec), record)
            item = UnitItem(AUDIO, codec, round(at_ms), 0, 0, packet.received_s)
            batch.put(item, frame[adts_header_bytes(frame) :])
            at_ms += _AAC_SAMPLES * 1000 / config.sample_rate

    def lost(self, batch: Batch, reason: str) -> None:
        """Something of the pictures is missing here."""
        batch.put(UnitItem(LOST), reason.encode("ascii", "replace"))

    def _times(self, packet: PacketFacts) -> tuple[int, int]:
        """DTS and composition time in ms; where the source tells none, those of the last packet."""
        dts_s = packet.dts_s if packet.dts_s is not None else packet.pts_s
        if dts_s is None:
            return round(self._last_ms), 0
        self._last_ms = dts_s * 1000
        pts_s = packet.pts_s if packet.pts_s is not None else dts_s
        return round(dts_s * 1000), round(pts_s * 1000) - round(dts_s * 1000)
