"""The server session facing publishers: the known clients' bytes, what they send, refusals."""

import pytest

from common.errors import ChunkError, UsageError
from common.flv import amf0
from common.rtmp.chunks import encode_delta, encode_message
from common.rtmp.events import (
    AudioReceived,
    MetadataReceived,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from common.rtmp.handshake import CLIENT_KEY, digest_position, make_digest
from common.rtmp.messages import (
    set_chunk_size,
)
from common.rtmp.session import SessionConfig
from tests.kit.rtmp import (
    CONNECT,
    Wire,
    assert_connected,
    command,
    handshake,
    type1_command,
)

META = amf0.encode("onMetaData", amf0.EcmaArray(width=640.0))


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


def test_a_publish_may_come_on_stream_0_and_media_on_any(connected):
    wire = Wire(connected(chunk_size=128))
    wire.send(command("publish", 5, None, "key", "live", stream=0))
    assert wire.session.publishing_stream_id == 0
    wire.send(encode_message(6, 9, 5, 1, b"\x17", 128))
    assert wire.events[-1] == VideoReceived(5, b"\x17")


HEADERS = (
    encode_message(5, 18, 0, 1, META, 128)
    + encode_message(6, 9, 0, 1, b"\x17\x00\x00\x00\x00", 128)
    + encode_message(7, 8, 0, 1, b"\xaf\x00\x12\x10", 128)
)
HEADER_EVENTS = [
    MetadataReceived(0, META),
    VideoReceived(0, b"\x17\x00\x00\x00\x00"),
    AudioReceived(0, b"\xaf\x00\x12\x10"),
]


def test_media_before_a_publish_request_goes_nowhere(connected):
    wire = Wire(connected(chunk_size=128))
    wire.send(HEADERS)
    wire.send(command("publish", 5, None, "key", "live", stream=1))
    assert len(wire.events) == 1


def test_headers_sent_with_the_publish_request_wait_for_its_answer(connected, splits):
    # joy4 and what came of it write metadata and headers at once and never again.
    raw = (
        command("FCPublish", 4, None, "key")
        + command("publish", 5, None, "key", "live", stream=1)
        + HEADERS
    )
    for pieces in splits(raw):
        wire = Wire(connected(chunk_size=128))
        for piece in pieces:
            wire.send(piece, accept=False)
        (request,) = wire.events
        assert wire.session.holds_media
        wire.session.accept(request.request_id)
        wire.send(b"")
        assert not wire.session.holds_media
        assert wire.events[1:] == HEADER_EVENTS
        wire.send(encode_message(6, 9, 40, 1, b"\x17\x01" + bytes(100_000), 128))
        assert len(wire.events) == 5


def test_media_sent_with_a_publish_request_that_is_refused_goes_nowhere(connected):
    wire = Wire(connected(chunk_size=128))
    wire.send(command("publish", 5, None, "key", stream=1) + HEADERS, accept=False)
    wire.session.reject(wire.events[-1].request_id, "NetStream.Publish.Denied", "not today")
    wire.send(HEADERS)
    assert not wire.session.holds_media
    wire.send(command("publish", 6, None, "other", stream=1))
    assert [type(event) for event in wire.events] == [PublishRequested, PublishRequested]


def test_what_follows_media_behind_a_publish_request_comes_after_its_answer(connected):
    wire = Wire(connected(chunk_size=128))
    wire.send(
        command("publish", 5, None, "key", stream=1) + HEADERS + command("deleteStream", 6, None, 1)
    )
    wire.send(b"")
    assert wire.events[1:] == [*HEADER_EVENTS, PublishEnded(1, "deleteStream")]


def test_what_waits_behind_a_publish_request_is_bounded(connected):
    session = connected(SessionConfig(max_unread_bytes=1000), chunk_size=128)
    session.receive_data(command("publish", 5, None, "key", stream=1) + HEADERS + bytes(900), 0.0)
    with pytest.raises(ChunkError, match="1000 bytes"):
        session.receive_data(bytes(100), 0.0)


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
