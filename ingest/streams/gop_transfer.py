"""What a stream can be started from, on its way from the ingest that had it to the one that has it.

A GOP cache becomes a `GopTransfer` and its payloads, and a cache again. Until the new publisher's
first keyframe the stream's new owner can so do all that the old one could: start it at another
worker, let the last picture stand, give it to an egress that comes. Pure.
"""

from collections.abc import Sequence
from enum import IntEnum

from common.codecs.aac import AudioSpecificConfig
from common.codecs.h264 import AvcConfig, parse_sps
from common.config.ladder import SourceFormat
from common.errors import AvcError, EnvelopeError, FlvError
from common.flv.audio import parse_audio
from common.ipc.control_messages import GopTransfer
from common.ipc.identity import Generation, StreamId
from common.media.gop_buffer import MAX_GOP_BYTES, MAX_GOP_ENTRIES
from common.media.units import AudioCodec
from ingest.rtmp.to_units import (
    MAX_AAC_CONFIG_BYTES,
    MAX_RECORD_BYTES,
    AudioConfig,
    AudioFrame,
    DataUnit,
    VideoConfig,
    VideoUnit,
)
from ingest.streams.source_gop import Metadata, ReplayItem, SourceGop

_KEY = 1
_IDR = 2
_DISCONTINUITY = 4
_HEADS = 3  # metadata, and the headers of video and audio
_MAX_BYTES = MAX_GOP_BYTES + 1024 * 1024  # the heads are not counted by the cache
_MAX_NAME_BYTES = 40
_TAG_HEADER_BYTES = 5  # of a video tag's body

Item = tuple[int, int, int, int, float]  # as in `GopTransfer.items`


class Kind(IntEnum):
    """What an item is, and what its payload holds."""

    METADATA = 0  # the body of onMetaData
    VIDEO_CONFIG = 1  # the AVCDecoderConfigurationRecord
    AAC_CONFIG = 2  # the sequence header's tag body
    AUDIO_FORMAT = 3  # the name of a format that has no sequence header
    VIDEO = 4  # the tag body
    AUDIO = 5
    DATA = 6


def pack(
    stream_id: StreamId, generation: Generation, source: SourceFormat | None, gop: SourceGop
) -> tuple[GopTransfer, list[bytes]]:
    """The message, and a payload for each of its items."""
    items: list[Item] = []
    payloads: list[bytes] = []
    for entry in gop.replay():
        item, payload = _packed(entry)
        items.append(item)
        payloads.append(payload)
    return GopTransfer(stream_id, generation, source, tuple(items)), payloads


def unpack(message: GopTransfer, payloads: Sequence[bytes]) -> SourceGop:
    """The cache that was packed.

    Raises:
        EnvelopeError: what came is too much, or nothing that could have been packed.
    """
    if len(payloads) != len(message.items) or len(payloads) > MAX_GOP_ENTRIES + _HEADS:
        raise EnvelopeError(f"{len(payloads)} payloads for {len(message.items)} kept items")
    size = sum(map(len, payloads))
    if size > _MAX_BYTES:
        raise EnvelopeError(f"kept items of {size} bytes exceed {_MAX_BYTES}")
    gop = SourceGop()
    try:
        for item, payload in zip(message.items, payloads, strict=True):
            entry = _unpacked(item, payload)
            if isinstance(entry, Metadata):
                gop.set_metadata(entry.payload)
            else:
                gop.add(entry)
    except (AvcError, FlvError, ValueError) as error:
        raise EnvelopeError(f"unreadable kept item: {error}") from error
    return gop


def _packed(entry: ReplayItem) -> tuple[Item, bytes]:
    match entry:
        case Metadata(payload):
            return (Kind.METADATA, 0, 0, 0, 0.0), payload
        case VideoConfig():
            return (Kind.VIDEO_CONFIG, 0, 0, 0, 0.0), entry.record
        case AudioConfig(payload, asc, name):
            if asc is None:
                return (Kind.AUDIO_FORMAT, 0, 0, 0, 0.0), name.encode()
            return (Kind.AAC_CONFIG, 0, 0, 0, 0.0), payload
        case VideoUnit():
            flags = _KEY * entry.is_key | _IDR * entry.is_idr
            flags |= _DISCONTINUITY * entry.discontinuity
            item = (Kind.VIDEO, entry.dts_ms, entry.composition_ms, flags, entry.received_s)
            return item, entry.payload
        case AudioFrame():
            flags = _DISCONTINUITY * entry.discontinuity
            return (Kind.AUDIO, entry.dts_ms, 0, flags, entry.received_s), entry.payload
        case DataUnit():
            return (Kind.DATA, entry.dts_ms, 0, 0, entry.received_s), entry.payload


def _unpacked(item: Item, payload: bytes) -> ReplayItem:
    kind, dts_ms, composition_ms, flags, received_s = item
    is_set_anew = bool(flags & _DISCONTINUITY)
    match Kind(kind):
        case Kind.METADATA:
            return Metadata(payload)
        case Kind.VIDEO_CONFIG:
            if len(payload) > MAX_RECORD_BYTES:
                raise AvcError(f"AVC configuration of {len(payload)} bytes")
            config = AvcConfig.parse(payload)
            if not config.sps:
                raise AvcError("AVC configuration without parameter sets")
            return VideoConfig(payload, config, parse_sps(config.sps[0]), changed=False)
        case Kind.AAC_CONFIG:
            if len(payload) > MAX_AAC_CONFIG_BYTES + _TAG_HEADER_BYTES:
                raise FlvError(f"AAC configuration of {len(payload)} bytes")
            asc = AudioSpecificConfig.parse(parse_audio(payload).data)
            return AudioConfig(payload, asc, AudioCodec.AAC.label)
        case Kind.AUDIO_FORMAT:
            return AudioConfig(b"", None, payload[:_MAX_NAME_BYTES].decode())
        case Kind.VIDEO:
            if len(payload) < _TAG_HEADER_BYTES:
                raise FlvError("video tag without a picture")
            is_key, is_idr = bool(flags & _KEY), bool(flags & _IDR)
            return VideoUnit(
                dts_ms, composition_ms, is_key, is_idr, payload, received_s, is_set_anew
            )
        case Kind.AUDIO:
            return AudioFrame(dts_ms, payload, received_s, is_set_anew)
        case Kind.DATA:
            return DataUnit(dts_ms, payload, received_s)
