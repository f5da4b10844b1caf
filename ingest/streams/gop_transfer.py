"""What a stream can be started from, on its way from the ingest that had it to the one that has it.

A `SourceGop` becomes a `GopTransfer` and its payloads, and a `SourceGop` again. Until the new
publisher's first keyframe the stream's new owner can so do all that the old one could: start it at
another worker, let the last picture stand, give it to an egress that comes. Pure.
"""

from collections.abc import Sequence

from common.codecs.table import AUDIO_CODECS, VIDEO_CODECS
from common.config.ladder import SourceFormat
from common.errors import EnvelopeError, ProtocolError
from common.ipc.control_messages import GopTransfer
from common.ipc.gop_items import TransferItem, TransferKind
from common.ipc.identity import Generation, StreamId
from common.media.gop_buffer import MAX_GOP_BYTES, MAX_GOP_ENTRIES
from common.media.units import (
    FLV_ONLY,
    AudioCodec,
    AudioConfig,
    AudioUnit,
    DataUnit,
    VideoCodec,
    VideoConfig,
    VideoUnit,
)
from ingest.streams.media_events import Metadata
from ingest.streams.source_gop import ReplayItem, SourceGop

MAX_RECORD_BYTES = 16 * 1024  # kept, and sent to every player; real ones have 30 to 200
_KEY = 1
_RANDOM_ACCESS = 2
_DISCONTINUITY = 4
_HEADS = 3  # metadata, and the configurations of video and audio
_MAX_BYTES = MAX_GOP_BYTES + 1024 * 1024  # the heads are not counted by the GOP's limits


def pack(
    stream_id: StreamId, generation: Generation, source: SourceFormat | None, gop: SourceGop
) -> tuple[GopTransfer, list[bytes]]:
    """The message, and a payload for each of its items."""
    items: list[TransferItem] = []
    payloads: list[bytes] = []
    entries = gop.replay()
    if gop.still is not None:
        entries.append(gop.still)  # the GOP of a stream whose pictures have ended
    for entry in entries:
        item, payload = _packed(entry)
        items.append(item)
        payloads.append(payload)
    return GopTransfer(stream_id, generation, source, tuple(items)), payloads


def unpack(message: GopTransfer, payloads: Sequence[bytes]) -> SourceGop:
    """The GOP that was packed.

    Raises:
        EnvelopeError: what came is too much, or nothing that could have been packed.
    """
    if len(payloads) != len(message.items) or len(payloads) > MAX_GOP_ENTRIES + _HEADS:
        raise EnvelopeError(f"{len(payloads)} payloads for {len(message.items)} transferred items")
    size = sum(map(len, payloads))
    if size > _MAX_BYTES:
        raise EnvelopeError(f"transferred items of {size} bytes exceed {_MAX_BYTES}")
    gop = SourceGop()
    try:
        for item, payload in zip(message.items, payloads, strict=True):
            entry = _unpacked(item, payload)
            if isinstance(entry, Metadata):
                gop.set_metadata(entry)
            else:
                gop.add(entry)
    except (ProtocolError, ValueError, KeyError) as error:
        raise EnvelopeError(f"unreadable transferred item: {error}") from error
    return gop


def _packed(entry: ReplayItem) -> tuple[TransferItem, bytes]:
    match entry:
        case Metadata():
            return TransferItem(TransferKind.METADATA), entry.body
        case VideoConfig():
            return TransferItem(TransferKind.VIDEO_CONFIG, entry.codec), entry.record
        case AudioConfig():
            return TransferItem(TransferKind.AUDIO_CONFIG, entry.codec), entry.record
        case VideoUnit():
            flags = _KEY * entry.is_key | _RANDOM_ACCESS * entry.is_random_access
            flags |= _DISCONTINUITY * entry.discontinuity
            item = TransferItem(
                TransferKind.VIDEO,
                entry.codec,
                entry.dts_ms,
                entry.composition_ms,
                flags,
                entry.received_s,
            )
            return item, bytes(entry.data)
        case AudioUnit():
            flags = _DISCONTINUITY * entry.discontinuity
            item = TransferItem(
                TransferKind.AUDIO, entry.codec, entry.dts_ms, 0, flags, entry.received_s
            )
            return item, bytes(entry.data)
        case DataUnit():
            item = TransferItem(TransferKind.DATA, dts_ms=entry.dts_ms, received_s=entry.received_s)
            return item, entry.data


def _unpacked(item: TransferItem, payload: bytes) -> ReplayItem:
    is_set_anew = bool(item.flags & _DISCONTINUITY)
    match item.kind:
        case TransferKind.METADATA:
            return Metadata(payload)
        case TransferKind.VIDEO_CONFIG:
            if len(payload) > MAX_RECORD_BYTES:
                raise ValueError(f"video configuration of {len(payload)} bytes")
            return VIDEO_CODECS[VideoCodec(item.codec)].parse_config(payload)
        case TransferKind.AUDIO_CONFIG:
            if len(payload) > MAX_RECORD_BYTES:
                raise ValueError(f"audio configuration of {len(payload)} bytes")
            codec = AudioCodec(item.codec)
            if codec in FLV_ONLY:
                return AudioConfig(codec)
            return AUDIO_CODECS[codec].parse_config(payload)
        case TransferKind.VIDEO:
            if not payload:
                raise ValueError("video unit without a picture")
            return VideoUnit(
                VideoCodec(item.codec),
                0,
                item.dts_ms,
                item.composition_ms,
                bool(item.flags & _KEY),
                payload,
                item.received_s,
                bool(item.flags & _RANDOM_ACCESS),
                is_set_anew,
            )
        case TransferKind.AUDIO:
            return AudioUnit(
                AudioCodec(item.codec), 0, item.dts_ms, payload, item.received_s, is_set_anew
            )
        case TransferKind.DATA:
            return DataUnit(item.dts_ms, payload, item.received_s)
