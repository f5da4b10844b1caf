"""Megabytes made to be as slow as possible: each takes a fraction of a second, or is refused.

Budgets are CPU time, some ten times what was measured, and far below what a quadratic reader takes.
The inputs that once were slow are tested again beside their parsers.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from common.codecs.h264 import looks_like_annexb, nal_spans, split_annexb
from common.errors import EnvelopeError, ProtocolError
from common.flv import amf0
from common.flv.audio import parse_audio
from common.flv.tag import FlvReader, encode_file_header
from common.flv.video import is_keyframe_payload, parse_video
from common.ipc import envelope
from common.rtmp.chunks import ChunkLimits, ChunkReader, Message, encode_message
from common.rtmp.client import ClientSession
from common.rtmp.messages import encode_command, set_chunk_size, split_aggregate
from common.rtmp.session import ServerSession
from common.rtmp.snapshot import SessionSnapshot
from ingest.rtmp.to_units import Demuxer
from ingest.streams.clock.timeline import Timeline

MB = 1024 * 1024


def chunks(data: bytes, piece: int) -> None:
    reader = ChunkReader(ChunkLimits(max_message_bytes=0xFFFFFF))
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
        while reader.next_message() is not None:
            pass


def publishing() -> ServerSession:
    session = ServerSession()
    session.receive_data(b"\x03" + bytes(3072), 0.0)
    connect: dict[str, amf0.Value] = {"app": "live"}
    session.receive_data(encode_command(3, 0, 128, "connect", 1.0, connect), 0.0)
    session.accept(1)
    session.receive_data(encode_command(3, 1, 128, "publish", 2.0, None, "key"), 0.0)
    session.accept(2)
    session.receive_data(set_chunk_size(0xFFFFFF), 0.0)
    assert session.is_publishing
    session.events_received()
    return session


def publish(data: bytes) -> None:
    """Everything that ingest does with media in its own process, in reads of 256 KiB."""
    session, demuxer = publishing(), Demuxer(Timeline())
    for at in range(0, len(data), 256 * 1024):
        session.receive_data(data[at : at + 256 * 1024], 0.0)
        for event in session.events_received():
            demuxer.video(0, getattr(event, "payload", b""), 0.0)


def play(data: bytes) -> None:
    session = ClientSession("rtmp://host/live/key", "play")
    session.start()
    session.receive_data(b"\x03" + bytes(3072) + data, 0.0)
    session.events_received()
    session.data_to_send()


def flv(data: bytes, piece: int) -> None:
    reader = FlvReader()
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
        while reader.next() is not None:
            pass


def demux(data: bytes) -> None:
    demuxer = Demuxer(Timeline())
    demuxer.video(0, b"\x17\x00\x00\x00\x00\x01\x64\x00\x1f\xfc\xe0\x00", 0.0)
    for head in (b"\x17\x01\x00\x00\x00", b"\x17\x00\x00\x00\x00"):
        demuxer.video(0, head + data, 0.0)


def aggregate(data: bytes) -> None:
    split_aggregate(Message(22, 0, 1, 4, data))


def body(type_id: int, payload: bytes) -> bytes:
    return encode_message(4, type_id, 0, 1, payload, 0xFFFFFF)


LONG = encode_message(6, 9, 0, 1, bytes(256 * 1024), 128)
REFERENCES = b"\x0a\x00\x00\x00\x01\x05" + b"".join(
    b"\x0a\x00\x00\x00\x02" + (b"\x07" + i.to_bytes(2, "big")) * 2 for i in range(1300)
)
NULLS = b"\x05" * 4000
METADATA = amf0.encode("onMetaData") + NULLS
CALL = amf0.encode("call", 9.0)
PING = b"\x00\x06\x00\x00\x00\x01"
TAG = b"\x09" + bytes(10) + bytes(4)
FLV = encode_file_header(True, True)
TRACK = b"\x01\x00\x00\x00"
MOD_EX = b"\x97" + b"\x00\x00\x07" * MB
CLAIM = b"\xdd\x00\x3f\xff\xff"

# A type 3 chunk header (c4) repeats the message before it.
HARD: dict[str, Callable[[], object]] = {
    "a message in one-byte reads": lambda: chunks(LONG, 1),
    "one-byte chunks": lambda: chunks(set_chunk_size(1) + LONG[:12] + b"\0\xc6" * 200_000, 4096),
    "empty messages, a byte each": lambda: publish(body(9, b"") + b"\xc4" * MB),
    "messages of 16 bytes": lambda: publish((body(9, TAG + b"x") + b"\xc4" + bytes(16)) * 30_000),
    "commands": lambda: publish(body(20, CALL) * 20_000),
    "commands of many values": lambda: publish(body(20, CALL + NULLS) * 60),
    "metadata of many values": lambda: publish(body(18, METADATA) * 60),
    "an aggregate of empty tags": lambda: aggregate(TAG * MB),
    "aggregates of empty tags": lambda: publish(body(22, TAG * 4000) * 16),
    "pings to a player": lambda: play(encode_message(2, 4, 0, 0, PING, 128) * 20_000),
    "an FLV file in one-byte reads": lambda: flv(FLV + b"\x09\x08" + bytes(256 * 1024), 1),
    "an FLV file of empty tags": lambda: flv(FLV + TAG * 30_000, 4096),
    "AMF0 nested": lambda: amf0.decode_all(b"\x03\x00\x01a" * MB),
    "AMF0 nulls": lambda: amf0.decode_all(b"\x05" * MB),
    "AMF0 members": lambda: amf0.decode_all(b"\x03" + b"\x00\x00\x05" * MB),
    "AMF0 references to references": lambda: amf0.encode(*amf0.decode_all(REFERENCES)),
    "Annex B zeros": lambda: split_annexb(bytes(10 * MB)),
    "Annex B start codes": lambda: split_annexb(b"\x00\x00\x01" * 3 * MB),
    "Annex B nearly": lambda: split_annexb(b"\x00\x00\x01" + b"\x00\x00\x02" * 3 * MB),
    "NAL units of no bytes": lambda: nal_spans(bytes(10 * MB)),
    "lengths like start codes": lambda: looks_like_annexb(b"\x00\x00\x01" * 3 * MB, 1),
    "a picture of NAL units of one byte": lambda: demux(b"\x00\x00\x00\x01\x67" * MB),
    "ModEx upon ModEx": lambda: parse_video(MOD_EX),
    "ModEx upon ModEx, at a glance": lambda: is_keyframe_payload(MOD_EX),
    "tracks of nothing": lambda: parse_audio(b"\x95\x11mp4a" + TRACK * MB),
    "an envelope of claims": lambda: envelope.decode(CLAIM * (MB // 2)),
    "an envelope of claims that fit": lambda: envelope.decode(b"\xdc\x3f\xff" * MB),
    "an envelope of nested arrays": lambda: envelope.decode(b"\x93\x01\xa4tags" + b"\x91" * MB),
    "an envelope of text": lambda: envelope.decode(b"\x91\xdb\x00\x30\x00\x00" + b"x" * 3 * MB),
    "a snapshot of claims": lambda: SessionSnapshot.from_bytes(b"\xdc\x04\x00" * (MB // 3)),
}


@pytest.mark.parametrize("read", HARD.values(), ids=HARD.keys())
def test_hard_input_costs_no_more_than_its_length(read: Callable[[], object]) -> None:
    began = time.thread_time()
    with suppress(ProtocolError, EnvelopeError):
        read()
    assert time.thread_time() - began < 2.0
