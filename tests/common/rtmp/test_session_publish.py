"""The server session facing publishers: the known clients' bytes, commands, media, refusals."""

import pytest

from common.errors import Amf0Error, ChunkError, HandshakeError, ProtocolError, UsageError
from common.rtmp import amf0
from common.rtmp.chunks import ChunkReader, encode_delta, encode_message
from common.rtmp.events import (
    AudioReceived,
    ConnectRequested,
    DataReceived,
    MetadataReceived,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.handshake import CLIENT_KEY, digest_position, make_digest
from common.rtmp.messages import (
    MessageType,
    encode_command,
    set_chunk_size,
    window_ack_size,
)
from common.rtmp.session import ServerSession, SessionConfig

META = amf0.encode("onMetaData", amf0.EcmaArray(width=640.0))


class Wire:
    """A client's end: shell of a session that accepts everything, and reader of its replies."""

    def __init__(self, session=None):
        self.session = session or ServerSession()
        self.reader = ChunkReader()
        if session is not None:
            self.reader.chunk_size = session.out_chunk_size
        self.events = []
        self.messages = []

    def send(self, data, now=0.0, accept=True):
        self.session.receive_data(data, now)
        for event in self.session.events_received():
            self.events.append(event)
            if accept and isinstance(event, ConnectRequested | PublishRequested):
                self.session.accept(event.request_id)
        self.read(self.session.data_to_send())

    def read(self, data):
        self.reader.feed(data)
        while (message := self.reader.next_message()) is not None:
            self.messages.append(message)

    def replies(self):
        """What came since the last call: command values, or (type, payload)."""
        messages, self.messages = self.messages, []
        return [
            amf0.decode_all(m.payload) if m.type_id in (18, 20) else (m.type_id, m.payload.hex())
            for m in messages
        ]

    def codes(self):
        return [r[3]["code"] for r in self.replies() if r[0] == "onStatus"]


def handshake(wire):
    wire.session.receive_data(bytes((3,)) + bytes(1536), 0.0)
    reply = wire.session.data_to_send()
    assert len(reply) == 3073
    wire.send(reply[1:1537])


def command(*values, csid=3, stream=0, size=128):
    return encode_command(csid, stream, size, *values)


def type1_command(*values):
    """OBS: after connect, commands on chunk stream 3 have type 1 headers."""
    return encode_delta(3, 20, 0, amf0.encode(*values), 4096)


CONNECT = {
    "app": "live",
    "type": "nonprivate",
    "flashVer": "FMLE/3.0 (compatible; FMSc/1.0)",
    "swfUrl": "rtmp://host/live",
    "tcUrl": "rtmp://host/live",
}

CONNECTED_TYPES = [(5, "002625a0"), (6, "002625a002")]


def assert_connected(wire):
    window, bandwidth, result = wire.replies()
    assert [window, bandwidth] == CONNECTED_TYPES
    assert result[:2] == ["_result", 1.0]
    assert wire.reader.chunk_size == 60_000


def assert_publishing(wire):
    begin, status = wire.replies()
    assert begin == (4, "000000000001")
    assert status[:3] == ["onStatus", 0.0, None]
    assert status[3]["code"] == "NetStream.Publish.Start"


def test_obs_publishes():
    wire = Wire()
    handshake(wire)
    wire.send(set_chunk_size(4096) + command("connect", 1, CONNECT, size=4096))
    assert_connected(wire)
    wire.send(
        type1_command("releaseStream", 2, None, "key")
        + type1_command("FCPublish", 3, None, "key")
        + type1_command("createStream", 4, None)
    )
    release, on_fc, fc, create = wire.replies()
    assert release == ["_result", 2.0, None, None]
    assert on_fc[:2] == ["onFCPublish", 3.0]
    assert fc == ["_result", 3.0, None, None]
    assert create == ["_result", 4.0, None, 1.0]
    wire.send(command("publish", 5, None, "key", "live", csid=4, stream=1, size=4096))
    assert_publishing(wire)
    assert wire.session.is_publishing
    assert wire.session.publishing_stream_id == 1
    media = [
        encode_message(4, 18, 0, 1, amf0.encode("@setDataFrame") + META, 4096),
        encode_message(4, 8, 0, 1, b"\xaf\x00\x12\x10", 4096),
        encode_message(4, 9, 0, 1, b"\x17\x00\x00\x00\x00", 4096),
        encode_delta(4, 8, 23, b"\xaf\x01" + bytes(200), 4096),
        encode_delta(4, 9, 10, b"\x17\x01" + bytes(9000), 4096),
        encode_delta(4, 8, -3, b"\xaf\x01", 4096),
    ]
    for part in media:
        wire.send(part)
    assert wire.events[2:] == [
        MetadataReceived(0, META),
        AudioReceived(0, b"\xaf\x00\x12\x10"),
        VideoReceived(0, b"\x17\x00\x00\x00\x00"),
        AudioReceived(23, b"\xaf\x01" + bytes(200)),
        VideoReceived(33, b"\x17\x01" + bytes(9000)),
        AudioReceived(30, b"\xaf\x01"),
    ]
    wire.send(type1_command("FCUnpublish", 6, None, "key"))
    wire.send(type1_command("deleteStream", 7, None, 1))
    assert wire.events[-1] == PublishEnded(1, "FCUnpublish")
    assert len(wire.events) == 9  # deleteStream ended nothing a second time
    assert not wire.session.is_publishing


def test_the_obs_stream_reads_the_same_at_every_split(splits):
    def run(pieces):
        wire = Wire()
        handshake(wire)
        for piece in pieces:
            wire.send(piece)
        return wire.events

    raw = (
        set_chunk_size(4096)
        + command("connect", 1, CONNECT, size=4096)
        + type1_command("createStream", 4, None)
    )
    wanted = run([raw])
    assert len(wanted) == 1
    for pieces in splits(raw):
        assert run(pieces) == wanted


def test_ffmpeg_publishes_on_chunk_streams_of_its_own():
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1, CONNECT))  # in chunks of 128 until told otherwise
    assert_connected(wire)
    wire.send(
        set_chunk_size(60_000)  # copied from the server
        + command("releaseStream", 2, None, "key", size=60_000)
        + command("FCPublish", 3, None, "key", size=60_000)
        + command("createStream", 4, None, size=60_000)
    )
    assert wire.replies()[-1] == ["_result", 4.0, None, 1.0]
    wire.send(command("publish", 5, None, "key", "live", csid=8, stream=1, size=60_000))
    assert_publishing(wire)
    wire.send(encode_message(4, 18, 0, 1, amf0.encode("@setDataFrame") + META, 60_000))
    wire.send(encode_message(6, 9, 0, 1, bytes(50_000), 60_000))
    wire.send(encode_message(4, 8, 0, 1, b"\xaf\x01", 60_000))
    wire.send(encode_delta(6, 9, 40, b"\x27", 60_000))
    assert [type(e).__name__ for e in wire.events[2:]] == [
        "MetadataReceived",
        "VideoReceived",
        "AudioReceived",
        "VideoReceived",
    ]


def test_gstreamer_numbers_only_some_commands_and_deletes_by_name():
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1, CONNECT))
    assert_connected(wire)
    wire.send(
        command("releaseStream", 0, None, "key")
        + command("FCPublish", 0, None, "key")
        + command("createStream", 2, None)
    )
    assert wire.replies() == [["_result", 2.0, None, 1.0]]  # transaction 0 wants no reply
    wire.send(command("publish", 0, None, "key", "live", stream=1))
    assert_publishing(wire)
    wire.send(command("FCUnpublish", 0, None, "key") + command("deleteStream", 0, None, "key"))
    assert wire.events[2:] == [PublishEnded(1, "FCUnpublish")]


@pytest.mark.parametrize(
    ("goodbye", "how"),
    [
        (command("deleteStream", 0, None, "key"), "deleteStream"),
        (command("deleteStream", 0, None, 1), "deleteStream"),
        (command("deleteStream", 7, None), "deleteStream"),
        (command("closeStream", 0, None, stream=1), "closeStream"),
        (command("FCUnpublish", 6, None, "key"), "FCUnpublish"),
        (command("publish", 0, None, False, stream=1), "publish"),
    ],
)
def test_every_goodbye_ends_a_publish_once_and_leaves_room_for_another(publishing, goodbye, how):
    wire = Wire(publishing(chunk_size=128))
    wire.send(goodbye)
    wire.send(command("closeStream", 0, None, stream=1) + command("deleteStream", 0, None, 1))
    assert wire.events == [PublishEnded(1, how)]
    wire.replies()
    wire.send(command("createStream", 8, None))
    wire.send(command("publish", 9, None, "key", "live", stream=1))
    assert wire.session.is_publishing


def test_deleting_another_stream_ends_nothing(publishing):
    wire = Wire(publishing(chunk_size=128))
    wire.send(command("deleteStream", 0, None, 5))
    assert wire.events == []
    assert wire.session.is_publishing


def test_flash_publishes_by_connect_createstream_publish_in_amf3():
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1, CONNECT | {"objectEncoding": 3.0}))
    assert wire.replies()[2][3]["objectEncoding"] == 0.0

    def amf3(*values, stream=0):
        return encode_message(3, 17, 0, stream, b"\x00" + amf0.encode(*values), 128)

    wire.send(amf3("createStream", 2, None))
    assert wire.replies() == [["_result", 2.0, None, 1.0]]
    wire.send(amf3("publish", 0, None, "key", stream=1))
    assert_publishing(wire)
    assert wire.events[1].publish_type == "live"
    wire.send(encode_message(4, 15, 9, 1, b"\x00" + META, 128))
    assert wire.events[2] == MetadataReceived(9, META)


def test_connect_carries_app_url_and_version_as_sent():
    wire = Wire()
    handshake(wire)
    members = amf0.EcmaArray(app="live?token=x", tcurl="'rtmp://h/live?token=x'", flashVer="v")
    wire.send(command("connect", 1, members))
    assert wire.events == [ConnectRequested(1, "live?token=x", "rtmp://h/live?token=x", "v")]


def test_connect_without_an_app_has_an_empty_one():
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1, {"app": 5.0}))
    assert wire.events == [ConnectRequested(1, "", "", "")]


def test_a_publish_request_says_all_that_was_sent(connected):
    wire = Wire(connected(chunk_size=128))
    wire.send(command("publish", 5, None, "key?token=y", "record", stream=1), accept=False)
    assert wire.events == [
        PublishRequested(2, 1, "live", "rtmp://host/live", "key?token=y", "record")
    ]
    assert "key" not in repr(wire.events[0])  # keys are credentials


def test_a_digest_handshake_leads_to_a_session():
    c1 = bytearray(bytes(4) + bytes.fromhex("80000702") + bytes(range(256)) * 6)[:1536]
    position = digest_position(c1, 772)
    c1[position : position + 32] = make_digest(c1, position, CLIENT_KEY)
    wire = Wire()
    wire.session.receive_data(b"\x03" + bytes(c1), 0.0)
    assert len(wire.session.data_to_send()) == 3073
    wire.send(bytes(1536) + command("connect", 1, CONNECT))
    assert_connected(wire)


CLIENT_TRAPS = [
    "NetStream.Publish.BadName",
    "NetStream.Publish.Denied",
    "NetStream.Publish.Rejected",
    "NetStream.Failed",
]


@pytest.mark.parametrize("code", CLIENT_TRAPS)
def test_a_refused_publish_is_told_on_its_stream_and_may_be_tried_again(connected, code):
    wire = Wire(connected(chunk_size=128))
    wire.send(command("publish", 5, None, "key", stream=1), accept=False)
    wire.session.reject(wire.events[-1].request_id, code, "not today")
    wire.send(b"")
    (message,) = wire.messages
    assert (message.message_stream_id, message.chunk_stream_id) == (1, 5)
    assert wire.replies() == [
        [
            "onStatus",
            0.0,
            None,
            {"level": "error", "code": code, "description": "not today"},
        ]
    ]
    wire.send(command("publish", 6, None, "other", stream=1))
    assert wire.session.is_publishing


def test_a_refused_connect_is_an_error_with_a_description_and_final():
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1, CONNECT), accept=False)
    wire.session.reject(1, "NetConnection.Connect.InvalidApp", "no such app")
    wire.send(command("createStream", 2, None))
    (reply,) = wire.replies()
    assert reply == [
        "_error",
        1.0,
        None,
        {
            "level": "error",
            "code": "NetConnection.Connect.InvalidApp",
            "description": "no such app",
        },
    ]


def test_a_second_publish_on_the_connection_is_badname(publishing):
    wire = Wire(publishing(chunk_size=128))
    wire.send(command("publish", 6, None, "key2", "live", stream=1))
    assert wire.codes() == ["NetStream.Publish.BadName"]
    wire.send(command("createStream", 7, None))
    wire.send(command("publish", 8, None, "key2", "live", stream=2))
    assert wire.codes() == ["NetStream.Publish.BadName"]
    assert wire.events == []
    assert wire.session.publishing_stream_id == 1


def test_a_play_while_publishing_is_refused(publishing):
    wire = Wire(publishing(chunk_size=128))
    wire.send(command("createStream", 7, None) + command("play", 8, None, "x", stream=2))
    assert wire.codes() == ["NetStream.Play.Failed"]
    assert wire.events == []


def test_a_publish_may_come_on_stream_0_and_media_on_any(connected):
    wire = Wire(connected(chunk_size=128))
    wire.send(command("publish", 5, None, "key", "live", stream=0))
    assert wire.session.publishing_stream_id == 0
    wire.send(encode_message(6, 9, 5, 1, b"\x17", 128))
    assert wire.events[-1] == VideoReceived(5, b"\x17")


def test_media_before_the_publish_is_granted_goes_nowhere(connected):
    wire = Wire(connected(chunk_size=128))
    media = encode_message(6, 9, 5, 1, b"\x17", 128) + encode_message(4, 18, 0, 1, META, 128)
    wire.send(media)
    wire.send(command("publish", 5, None, "key", "live", stream=1) + media, accept=False)
    assert len(wire.events) == 1


def test_a_request_that_the_peer_withdrew_may_still_be_answered(connected):
    for answer in (
        lambda s, i: s.accept(i),
        lambda s, i: s.reject(i, "NetStream.Publish.Denied", "no"),
    ):
        wire = Wire(connected(chunk_size=128))
        wire.send(command("publish", 5, None, "key", "live", stream=1), accept=False)
        wire.send(command("deleteStream", 6, None, 1), accept=False)
        request, ended = wire.events
        assert ended == PublishEnded(1, "deleteStream")
        wire.replies()
        answer(wire.session, request.request_id)
        wire.send(b"")
        assert wire.replies() == []
        assert not wire.session.is_publishing
        with pytest.raises(UsageError):
            wire.session.accept(request.request_id)


def test_an_answer_to_nothing_is_a_usage_error(connected):
    session = connected()
    for request_id in (0, 1, 99):  # 1 was the connect, answered long ago
        with pytest.raises(UsageError):
            session.accept(request_id)
        with pytest.raises(UsageError):
            session.reject(request_id, "NetStream.Failed", "")


@pytest.mark.parametrize(
    "name", ["releaseStream", "_checkbw", "FCSubscribe", "FCUnpublish", "what"]
)
def test_unknown_commands_get_an_empty_result_if_they_want_one(connected, name):
    wire = Wire(connected(chunk_size=128))
    wire.send(command(name, 9, None, "key"))
    assert wire.replies() == [["_result", 9.0, None, None]]
    wire.send(command(name, 0, None, "key"))
    assert wire.replies() == []


def test_transactions_that_are_no_numbers_are_echoed_or_ignored(connected):
    wire = Wire(connected(chunk_size=128))
    nan = bytes.fromhex("00 7ff8dead beef0001")
    payload = amf0.encode("_checkbw") + nan + amf0.encode(None)
    wire.session.receive_data(encode_message(3, 20, 0, 0, payload, 128), 0.0)
    assert nan in wire.session.data_to_send()
    wire.send(command("_checkbw", "x", None))
    assert wire.replies() == []


def test_message_streams_are_limited(connected):
    wire = Wire(connected(chunk_size=128))
    wire.send(b"".join(command("createStream", 10 + i, None) for i in range(8)))
    replies = wire.replies()
    assert [r[3] for r in replies[:7]] == [float(i) for i in range(2, 9)]
    assert replies[7][0] == "_error"
    assert replies[7][3]["description"]
    wire.send(command("publish", 5, None, "key", "live", stream=77))
    assert wire.codes() == ["NetStream.Failed"]
    wire.send(command("deleteStream", 0, None, 3) + command("createStream", 30, None))
    assert wire.replies()[-1][3] == 3.0


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


def test_pings_carry_the_servers_time(publishing):
    wire = Wire(publishing())
    wire.session.ping(12.5)
    wire.send(encode_message(2, 4, 0, 0, bytes.fromhex("0007 000030d4"), 4096))
    assert wire.replies() == [(4, "0006000030d4")]


def test_replies_keep_to_the_chunk_size_that_was_announced():
    wire = Wire(ServerSession(SessionConfig(chunk_size=128)))
    handshake(wire)
    wire.send(command("connect", 1, CONNECT))
    assert wire.session.out_chunk_size == 128
    wire.send(command("createStream", 2, None) + command("publish", 3, None, "k", stream=1))
    assert wire.codes() == ["NetStream.Publish.Start"]


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


def test_publish_before_connect_was_answered_is_an_error():
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1, CONNECT), accept=False)
    with pytest.raises(ProtocolError):
        wire.send(command("publish", 2, None, "key", stream=1))


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
