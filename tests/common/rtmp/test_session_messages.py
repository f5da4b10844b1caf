"""The server session's messages that are no commands: data, control, acknowledgements."""

import pytest

from common.flv import amf0
from common.rtmp.chunks import encode_delta, encode_message
from common.rtmp.events import (
    AudioReceived,
    DataReceived,
    MetadataReceived,
    VideoReceived,
)
from common.rtmp.messages import (
    MessageType,
    window_ack_size,
)
from common.rtmp.session import ServerSession, SessionConfig
from tests.kit.rtmp import (
    CONNECT,
    Wire,
    command,
    handshake,
)

META = amf0.encode("onMetaData", amf0.EcmaArray(width=640.0))


@pytest.mark.parametrize(
    ("payload", "wanted"),
    [
        (META, MetadataReceived(7, META)),
        (amf0.encode("@setDataFrame") + META, MetadataReceived(7, META)),
        # FFmpeg's timecode message: no AMF at all (ossrs/srs#3803).
        (bytes.fromhex("00010203"), DataReceived(7, bytes.fromhex("00010203"))),
        (b"", DataReceived(7, b"")),
        (META[:-4], DataReceived(7, META[:-4])),
        (
            amf0.encode("@setDataFrame", "onCuePoint", {}),
            DataReceived(7, amf0.encode("onCuePoint", {})),
        ),
        (amf0.encode("onTextData", {}), DataReceived(7, amf0.encode("onTextData", {}))),
        (amf0.encode("@clearDataFrame"), DataReceived(7, amf0.encode("@clearDataFrame"))),
    ],
)
def test_data_messages_are_passed_on_whatever_they_hold(publishing, payload, wanted):
    wire = Wire(publishing())
    wire.send(encode_message(4, 18, 7, 1, payload, 4096))
    wire.send(encode_message(4, 15, 7, 1, b"\x00" + payload, 4096))
    assert wire.events == [wanted, wanted]


def test_an_aggregate_becomes_its_parts(publishing):
    def tag(type_id, time, body):
        head = bytes((type_id,)) + len(body).to_bytes(3, "big") + time.to_bytes(3, "big")
        return head + bytes(4) + body + bytes(4)

    body = tag(8, 100, b"\xaf\x01") + tag(9, 120, b"\x27") + tag(18, 100, META) + tag(3, 0, b"")
    wire = Wire(publishing())
    wire.send(encode_message(4, 22, 5000, 1, body, 4096))
    assert wire.events == [
        AudioReceived(5000, b"\xaf\x01"),
        VideoReceived(5020, b"\x27"),
        MetadataReceived(5000, META),
    ]


def test_empty_audio_is_passed_on(publishing):
    wire = Wire(publishing())
    wire.send(encode_message(4, 8, 5, 1, b"", 4096))
    assert wire.events == [AudioReceived(5, b"")]


def test_control_messages_are_taken_on_any_chunk_stream(connected):
    wire = Wire(connected())
    wire.send(encode_message(5, 4, 0, 1, bytes.fromhex("0006 000001f4"), 4096))
    assert wire.replies() == [(4, "0007000001f4")]


@pytest.mark.parametrize(
    ("type_id", "payload"),
    [
        (3, "00000001"),
        (3, ""),
        (4, "0007 00000001"),
        (4, "0003 00000001 00000bb8"),
        (4, "00"),
        (4, ""),
        (4, "0020 00000001"),
        (5, "00"),
        (5, "00000000"),
        (6, "002625a0 02"),  # DJI
        (6, ""),
        (16, "00"),
        (19, ""),
        (99, "00"),
    ],
)
def test_what_asks_for_nothing_is_ignored(connected, type_id, payload):
    wire = Wire(connected())
    wire.send(encode_message(2, type_id, 0, 0, bytes.fromhex(payload), 4096))
    assert wire.replies() == []


def test_acknowledgements_come_without_a_window_from_the_peer(publishing):
    wire = Wire(publishing(SessionConfig(ack_every=20_000)))
    start = wire.session.bytes_received
    wire.send(encode_message(6, 9, 0, 1, bytes(9_000), 4096))
    assert [r[0] for r in wire.replies()] == []
    wire.send(encode_delta(6, 9, 1, bytes(9_000), 4096))
    ((kind, payload),) = wire.replies()
    assert kind == MessageType.ACKNOWLEDGEMENT
    assert int(payload, 16) == wire.session.bytes_received > start


def test_a_small_window_of_the_peer_brings_them_earlier(publishing):
    wire = Wire(publishing())
    wire.send(window_ack_size(4_000))
    wire.send(encode_message(6, 9, 0, 1, bytes(2_500), 4096))
    assert wire.replies()[-1] == (3, f"{wire.session.bytes_received:08x}")


def test_a_sign_of_life_acknowledges_what_came_else_it_is_a_ping(publishing):
    wire = Wire(publishing())
    received = wire.session.bytes_received
    for _ in range(2):
        wire.session.show_life(12.5)
    wire.read(wire.session.data_to_send())
    assert wire.replies() == [(3, f"{received:08x}"), (4, "0006000030d4")]  # the server's time
    wire.send(encode_message(2, 4, 0, 0, bytes.fromhex("0007 000030d4"), 4096))
    assert wire.replies() == []
    wire.session.show_life(27.5)
    wire.read(wire.session.data_to_send())
    assert wire.replies() == [(3, f"{received + 18:08x}")]


def test_a_ping_carries_32_bits_of_the_time(publishing):
    session = publishing()
    session.show_life(0.0)
    session.data_to_send()
    session.show_life(5_000_000.0)
    assert session.data_to_send()[-4:] == (5_000_000_000 & 0xFFFFFFFF).to_bytes(4, "big")


def test_there_is_no_sign_of_life_before_connect_is_granted():
    wire = Wire()
    wire.session.show_life(1.0)
    handshake(wire)
    wire.session.show_life(2.0)
    wire.send(command("connect", 1, CONNECT), accept=False)
    wire.session.show_life(3.0)
    assert wire.session.data_to_send() == b""
    wire.session.reject(1, "NetConnection.Connect.InvalidApp", "no")
    wire.session.data_to_send()
    wire.session.show_life(4.0)
    assert wire.session.data_to_send() == b""


def test_replies_keep_to_the_chunk_size_that_was_announced():
    wire = Wire(ServerSession(SessionConfig(chunk_size=128)))
    handshake(wire)
    wire.send(command("connect", 1, CONNECT))
    assert wire.session.out_chunk_size == 128
    wire.send(command("createStream", 2, None) + command("publish", 3, None, "k", stream=1))
    assert wire.codes() == ["NetStream.Publish.Start"]
