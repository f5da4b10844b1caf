"""ingest/streams/gop_transfer.py: a GOP cache as a message, and a cache again."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.codecs.aac import AudioSpecificConfig
from common.config.ladder import SourceFormat
from common.errors import EnvelopeError
from common.flv.audio import aac_sequence_header
from common.ipc.control_messages import GopTransfer
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import Generation
from common.media.gop_buffer import MAX_GOP_BYTES, MAX_GOP_ENTRIES
from ingest.rtmp.to_units import AudioConfig, AudioFrame, DataUnit, VideoUnit
from ingest.streams.gop_transfer import Kind, pack, unpack
from ingest.streams.source_gop import ReplayItem, SourceGop
from tests.kit.stream import ASC, STREAM, config

SOURCE = SourceFormat(1920, 1080, fps=Fraction(25))
AAC = AudioConfig(aac_sequence_header(ASC), AudioSpecificConfig(2, 48000, 2, 2), "AAC")
MP3 = AudioConfig(b"", None, "MP3")


def full() -> SourceGop:
    gop = SourceGop()
    gop.set_metadata(b"metadata")
    gop.add(config())
    gop.add(AAC)
    gop.add(VideoUnit(1000, 80, True, True, b"\x17\x01\0\0\x50key", 5.0))
    gop.add(AudioFrame(1001, b"\xaf\x01sound", 5.01))
    gop.add(DataUnit(1002, b"text", 5.02))
    gop.add(MP3)
    gop.add(VideoUnit(1040, -40, False, False, b"\x27\x01\xff\xff\xd8rest", 5.04))
    gop.add(AudioFrame(61_000, b"\xaf\x01later", 5.05, discontinuity=True))
    gop.add(VideoUnit(61_040, 0, False, False, b"\x27\x01\0\0\0later", 5.06, discontinuity=True))
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


def test_a_gop_as_long_as_may_be_crosses() -> None:
    gop = full()
    for i in range(MAX_GOP_ENTRIES - len(gop.replay()) + 3):
        gop.add(AudioFrame(1040 + i, b"sound", 5.0))
    replayed: list[ReplayItem] = gop.replay()
    assert len(replayed) == MAX_GOP_ENTRIES + 3
    assert crossed(gop).replay() == replayed


def kept(*items: tuple[int, int, int, int, float]) -> GopTransfer:
    return GopTransfer(STREAM, Generation(1), None, items)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.VIDEO_CONFIG, b"no record"),
        (Kind.VIDEO_CONFIG, bytes.fromhex("0142001effe000")),
        (Kind.VIDEO_CONFIG, bytes(20_000)),
        (Kind.AAC_CONFIG, b""),
        (Kind.AAC_CONFIG, b"\xaf"),
        (Kind.AAC_CONFIG, b"\xaf\x00" + bytes(2_000)),
        (Kind.AUDIO_FORMAT, b"\xff\xfe"),
        (Kind.VIDEO, b"\x17\x01"),
        (9, b""),
    ],
)
def test_what_could_not_have_been_packed_is_an_error(kind: int, payload: bytes) -> None:
    with pytest.raises(EnvelopeError):
        unpack(kept((kind, 0, 0, 0, 0.0)), [payload])


def test_payloads_are_counted_and_weighed_before_they_are_kept() -> None:
    message, payloads = pack(STREAM, Generation(3), SOURCE, full())
    with pytest.raises(EnvelopeError, match="payloads for"):
        unpack(message, payloads[:-1])
    item = (int(Kind.AUDIO), 0, 0, 0, 0.0)
    with pytest.raises(EnvelopeError, match="payloads for"):
        unpack(kept(*[item] * 5_000), [b""] * 5_000)
    with pytest.raises(EnvelopeError, match="exceed"):
        unpack(kept(item, item), [bytes(MAX_GOP_BYTES)] * 2)
    with pytest.raises(EnvelopeError):
        unpack(replace(message, items=((Kind.VIDEO, 0, 0, 0, 0.0),)), [])
