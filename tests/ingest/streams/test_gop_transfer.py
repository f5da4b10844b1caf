"""ingest/streams/gop_transfer.py: a GOP cache as a message, and a cache again."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.codecs.aac import parse_config
from common.config.ladder import SourceFormat
from common.errors import EnvelopeError
from common.ipc.control_messages import GopTransfer
from common.ipc.envelope import decode_frames, encode
from common.ipc.gop_items import TransferItem, TransferKind
from common.ipc.identity import Generation
from common.media.gop_buffer import MAX_GOP_BYTES, MAX_GOP_ENTRIES
from common.media.units import AudioCodec, AudioConfig, DataUnit
from ingest.streams.gop_transfer import pack, unpack
from ingest.streams.media_events import Metadata
from ingest.streams.source_gop import ReplayItem, SourceGop
from tests.kit.ingest_ports import ASC, STREAM, audio_unit, config, video_unit

SOURCE = SourceFormat(1920, 1080, fps=Fraction(25))
AAC = parse_config(ASC)
MP3 = AudioConfig(AudioCodec.MP3)


def full() -> SourceGop:
    gop = SourceGop()
    gop.set_metadata(Metadata(b"metadata"))
    gop.add(config())
    gop.add(AAC)
    gop.add(video_unit(1000, key=True, composition_ms=80, data=memoryview(b"key"), received_s=5.0))
    gop.add(audio_unit(1001, b"sound", 5.01))
    gop.add(DataUnit(1002, b"text", 5.02))
    gop.add(MP3)
    gop.add(video_unit(1040, composition_ms=-40, data=b"rest", received_s=5.04))
    gop.add(audio_unit(61_000, b"\x2flater", 5.05, codec=AudioCodec.MP3, discontinuity=True))
    gop.add(video_unit(61_040, data=b"later", received_s=5.06, discontinuity=True))
    return gop


def crossed(gop: SourceGop) -> SourceGop:
    """As it comes out of the bus."""
    message, payloads = pack(STREAM, Generation(3), SOURCE, gop)
    message, taken = decode_frames([encode(message), *payloads])
    assert (message.stream_id, message.generation, message.format) == (STREAM, 3, SOURCE)
    return unpack(message, taken)


def test_everything_that_a_stream_starts_from_crosses() -> None:
    gop, other = full(), crossed(full())
    assert other.replay() == gop.replay()
    assert other.audio_config == MP3
    assert other.size_bytes == gop.size_bytes


def test_headers_cross_without_a_gop() -> None:
    gop = SourceGop()
    gop.add(config())
    gop.add(AAC)
    assert crossed(gop).replay() == [config(), AAC]


def test_the_keyframe_of_a_gop_that_was_too_long_crosses_as_a_gop() -> None:
    gop = SourceGop(max_ms=100)
    gop.add(config())
    for at_ms in range(0, 300, 40):
        gop.add(video_unit(at_ms, key=at_ms == 0))
    assert gop.still is not None
    assert crossed(gop).replay() == [config(), gop.still]


def test_a_gop_as_long_as_may_be_crosses() -> None:
    gop = full()
    for i in range(MAX_GOP_ENTRIES - len(gop.replay()) + 3):
        gop.add(audio_unit(1040 + i, b"sound", 5.0))
    replayed: list[ReplayItem] = gop.replay()
    assert len(replayed) == MAX_GOP_ENTRIES + 3
    assert crossed(gop).replay() == replayed


def transfer(*items: TransferItem) -> GopTransfer:
    return GopTransfer(STREAM, Generation(1), None, items)


@pytest.mark.parametrize(
    ("kind", "codec", "payload"),
    [
        (TransferKind.VIDEO_CONFIG, "h264", b"no record"),
        (TransferKind.VIDEO_CONFIG, "h264", bytes.fromhex("0142001effe000")),
        (TransferKind.VIDEO_CONFIG, "h264", bytes(20_000)),
        (TransferKind.VIDEO_CONFIG, "av1", b"\x81"),
        (TransferKind.VIDEO_CONFIG, "mpeg2", b"\x81"),
        (TransferKind.AUDIO_CONFIG, "aac", b""),
        (TransferKind.AUDIO_CONFIG, "aac", bytes(20_000)),
        (TransferKind.AUDIO_CONFIG, "opus", b"OpusHead"),
        (TransferKind.AUDIO_CONFIG, "", b""),
        (TransferKind.VIDEO, "h264", b""),
        (TransferKind.VIDEO, "aac", b"\x01"),
        (TransferKind.AUDIO, "h264", b"\x01"),
    ],
)
def test_what_could_not_have_been_packed_is_an_error(
    kind: TransferKind, codec: str, payload: bytes
) -> None:
    with pytest.raises(EnvelopeError):
        unpack(transfer(TransferItem(kind, codec)), [payload])


def test_payloads_are_counted_and_weighed_before_they_are_transfer() -> None:
    message, payloads = pack(STREAM, Generation(3), SOURCE, full())
    with pytest.raises(EnvelopeError, match="payloads for"):
        unpack(message, payloads[:-1])
    item = TransferItem(TransferKind.AUDIO, "aac")
    with pytest.raises(EnvelopeError, match="payloads for"):
        unpack(transfer(*[item] * 5_000), [b""] * 5_000)
    with pytest.raises(EnvelopeError, match="exceed"):
        unpack(transfer(item, item), [bytes(MAX_GOP_BYTES)] * 2)
    with pytest.raises(EnvelopeError):
        unpack(replace(message, items=(TransferItem(TransferKind.VIDEO, "h264"),)), [])
