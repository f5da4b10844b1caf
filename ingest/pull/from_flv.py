"""What a played RTMP stream holds, as units for an ingest. Pure, one `FlvUnits` a connection.

Bodies are taken apart, and nothing in them is believed that can be seen: parameter sets, keyframes
and times are the ingest's to find. What cannot be read is a loss, which the ingest counts.
"""

from collections.abc import Sequence
from typing import Final

from common.codecs.table import AUDIO_CODECS, codec_of_record
from common.errors import FlvError
from common.flv import amf0
from common.flv.audio import AudioPacket, mp3_frame, parse_audio
from common.flv.video import FrameType, VideoPacket, parse_video
from common.ipc.unit_messages import (
    AUDIO,
    AUDIO_CONFIG,
    DATA,
    KEY,
    LOST,
    METADATA,
    VIDEO,
    VIDEO_CONFIG,
    UnitItem,
)
from common.media.units import FLV_ONLY, AudioCodec
from common.rtmp.client import ClientEvent
from common.rtmp.events import AudioReceived, DataReceived, MetadataReceived, VideoReceived
from ingest.pull.source import Batch

# What servers say to players by data messages; no publisher's data.
OF_SERVERS: Final = frozenset(("|RtmpSampleAccess", "onStatus"))
_KEYS: Final = (FrameType.KEY, FrameType.GENERATED_KEY)


class FlvUnits:
    """The messages of one connection, in the order of arrival."""

    def __init__(self) -> None:
        self._sound: AudioCodec | None = None  # that was announced and has no record

    def take(self, events: Sequence[ClientEvent], received_s: float) -> Batch:
        """What they hold; `received_s` is when they came."""
        batch = Batch()
        for event in events:
            if isinstance(event, VideoReceived):
                self._video(batch, event, received_s)
            elif isinstance(event, AudioReceived):
                self._audio(batch, event, received_s)
            elif isinstance(event, MetadataReceived):
                batch.put(UnitItem(METADATA), event.payload)
            elif isinstance(event, DataReceived):
                name = amf0.leading_string(event.payload)
                if name is None or name[0] not in OF_SERVERS:
                    batch.put(UnitItem(DATA, "", event.timestamp, 0, 0, received_s), event.payload)
        return batch

    def _video(self, batch: Batch, event: VideoReceived, received_s: float) -> None:
        try:
            body = parse_video(memoryview(event.payload))
        except FlvError as error:
            batch.put(UnitItem(LOST), _ascii(error))
            return
        if body.track_id or body.codec is None:
            return
        if body.packet is VideoPacket.SEQUENCE_HEADER:
            record = bytes(body.data)
            batch.put(UnitItem(VIDEO_CONFIG, codec_of_record(body.codec, record)), record)
        elif body.packet is VideoPacket.NALUS:
            flags = KEY * (body.frame_type in _KEYS)
            stamp, composition_ms = event.timestamp, body.composition_ms
            item = UnitItem(VIDEO, body.codec, stamp, composition_ms, flags, received_s)
            batch.put(item, body.data)

    def _audio(self, batch: Batch, event: AudioReceived, received_s: float) -> None:
        if not event.payload:  # a sign of silence, no frame
            return
        try:
            body = parse_audio(memoryview(event.payload))
        except FlvError:
            return  # a codec without a name; the ingest says that there is no sound
        if body.track_id or not body.data:
            return
        codec, data = body.codec, body.data
        if body.packet is AudioPacket.SEQUENCE_HEADER:
            if codec in AUDIO_CODECS:
                batch.put(UnitItem(AUDIO_CONFIG, codec), bytes(data))
            return
        if body.packet not in (AudioPacket.FRAME, None):
            return
        if codec in FLV_ONLY:
            if codec is not self._sound:
                self._sound = codec
                batch.put(UnitItem(AUDIO_CONFIG, codec), b"")
            data = memoryview(mp3_frame(data) if body.extended else event.payload)
        batch.put(UnitItem(AUDIO, codec, event.timestamp, 0, 0, received_s), data)


def _ascii(error: FlvError) -> bytes:
    return str(error).encode("ascii", "replace")
