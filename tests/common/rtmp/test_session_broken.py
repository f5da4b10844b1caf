"""The server session facing peers that break the protocol or flood it."""

import pytest

from common.errors import Amf0Error, ChunkError, HandshakeError, ProtocolError, UsageError
from common.flv import amf0
from common.rtmp.chunks import encode_message
from common.rtmp.events import (
    VideoReceived,
)
from common.rtmp.session import SessionConfig
from tests.kit.rtmp import (
    CONNECT,
    Wire,
    command,
    handshake,
)

BEFORE_CONNECT = {
    "garbage": (HandshakeError, b"GET / HTTP/1.1\r\n\r\n"),
    "a command before connect": (ProtocolError, command("createStream", 1, None)),
    "connect without its object": (Amf0Error, command("connect", 1, None)),
    "a command that is no AMF": (Amf0Error, encode_message(3, 20, 0, 0, b"\xff\xff", 128)),
    "AMF nested a thousand deep": (
        Amf0Error,
        encode_message(3, 20, 0, 0, amf0.encode("connect", 1) + b"\x0a\0\0\0\1" * 1000, 128),
    ),
    "a message of 200 MB, as far as 24 bits go": (
        ChunkError,
        bytes.fromhex("03 000000 ffffff 14 00000000"),
    ),
    "a message over 64 KiB": (ChunkError, bytes.fromhex("03 000000 010001 09 00000000")),
    "ten thousand chunk streams": (
        ChunkError,
        b"".join(encode_message(64 + i, 3, 0, 0, bytes(4), 128) for i in range(10_000)),
    ),
}


@pytest.mark.parametrize(("kind", "raw"), BEFORE_CONNECT.values(), ids=BEFORE_CONNECT.keys())
def test_a_broken_peer_kills_its_session_only_once(kind, raw):
    wire = Wire()
    if kind is not HandshakeError:
        handshake(wire)
    with pytest.raises(kind):
        wire.send(raw)
    with pytest.raises(UsageError):
        wire.session.receive_data(b"", 0.0)


def test_events_before_an_error_stay_readable(publishing):
    session = publishing()
    with pytest.raises(ChunkError):
        session.receive_data(encode_message(6, 9, 1, 1, b"\x17", 4096) + b"\xff", 0.0)
    assert session.events_received() == [VideoReceived(1, b"\x17")]


def test_answers_to_a_dead_session_do_nothing(connected):
    session = connected()
    session.receive_data(command("publish", 5, None, "key", stream=1, size=4096), 0.0)
    (request,) = session.events_received()
    with pytest.raises(ChunkError):
        session.receive_data(b"\xff", 0.0)
    session.accept(request.request_id)
    assert not session.is_publishing
    assert session.data_to_send() == b""


def test_connect_twice_is_an_error(connected):
    with pytest.raises(ProtocolError, match="twice"):
        connected().receive_data(command("connect", 1, CONNECT, size=4096), 0.0)


def test_what_comes_behind_connect_is_bounded():
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1, CONNECT), accept=False)
    with pytest.raises(ChunkError, match="behind a request"):
        wire.send(command("createStream", 2, None) * 10_000, accept=False)


def test_big_messages_are_taken_only_while_publishing(connected, publishing):
    big = encode_message(6, 9, 0, 1, bytes(70_000), 4096)
    with pytest.raises(ChunkError):
        connected().receive_data(big, 0.0)
    session = publishing()
    session.receive_data(big, 0.0)
    assert len(session.events_received()) == 1
    with pytest.raises(ChunkError):
        session.receive_data(bytes.fromhex("06 000000 a00001 09 01000000"), 0.0)


def test_floods_of_commands_and_pings_are_bounded_by_the_minute(connected):
    config = SessionConfig(max_calls_per_minute=20)
    call = command("_checkbw", 9, None)
    ping = encode_message(2, 4, 0, 0, bytes.fromhex("0006 00000000"), 128)
    session = connected(config, chunk_size=128)
    for minute in range(1, 4):
        session.receive_data((call + ping) * 10, minute * 60.0)
    with pytest.raises(ProtocolError, match="20 commands"):
        session.receive_data(call, 200.0)


def test_floods_of_small_messages_are_bounded_by_the_minute(publishing):
    session = publishing(SessionConfig(max_small_messages_per_minute=100))
    session.receive_data(encode_message(4, 8, 0, 1, bytes(16), 4096) * 1000, 0.0)
    for minute in range(1, 4):
        session.receive_data(encode_message(4, 8, 0, 1, b"", 4096) + b"\xc4" * 99, minute * 60.0)
        assert len(session.events_received()) == (1100 if minute == 1 else 100)
    with pytest.raises(ProtocolError, match="100 messages of less than 16 bytes"):
        session.receive_data(b"\xc4", 239.0)


def test_a_chunk_size_that_peers_refuse_cannot_be_configured():
    for size in (0, 127, 1 << 24):
        with pytest.raises(ValueError, match="chunk size"):
            SessionConfig(chunk_size=size)
