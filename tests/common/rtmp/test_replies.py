"""Replies: what common clients read in them, read back with our own chunk reader."""

import pytest

from common.flv import amf0
from common.rtmp import replies
from common.rtmp.chunks import ChunkReader
from common.rtmp.messages import MessageType


def read(raw: bytes, chunk_size: int = 60_000):
    reader = ChunkReader()
    reader.chunk_size = chunk_size
    reader.feed(raw)
    messages = []
    while (message := reader.next_message()) is not None:
        messages.append(message)
    assert reader.unread_bytes == 0
    return messages


def values(message):
    return amf0.decode_all(message.payload)


def test_the_connect_reply_has_the_order_that_all_servers_use():
    raw = replies.connect_accepted(1.0, 2_500_000, 2_500_000, 60_000)
    messages = read(raw, 128)  # as a client reads: it obeys the Set Chunk Size in between
    assert [m.type_id for m in messages] == [
        MessageType.WINDOW_ACK_SIZE,
        MessageType.SET_PEER_BANDWIDTH,
        MessageType.COMMAND,
    ]
    result = messages[2]
    assert (result.chunk_stream_id, result.message_stream_id) == (3, 0)
    name, transaction, properties, information = values(result)
    assert (name, transaction) == ("_result", 1.0)
    # GStreamer wants the code in the second object; FFmpeg reads plain objects only.
    assert type(properties) is dict
    assert type(information) is dict
    assert information["code"] == "NetConnection.Connect.Success"
    assert information["objectEncoding"] == 0.0


def test_an_error_has_a_null_object_and_a_description():
    (message,) = read(replies.error(128, 1.0, "NetConnection.Connect.Rejected", ""), 128)
    name, transaction, command_object, info = values(message)
    assert (name, transaction, command_object) == ("_error", 1.0, None)
    assert info == {
        "level": "error",
        "code": "NetConnection.Connect.Rejected",
        "description": "NetConnection.Connect.Rejected",
    }


def test_a_status_goes_on_its_message_stream_with_transaction_0():
    (message,) = read(replies.status(60_000, 7, "status", "NetStream.Publish.Start", "on"))
    assert (message.chunk_stream_id, message.message_stream_id) == (5, 7)
    assert values(message)[:3] == ["onStatus", 0.0, None]


@pytest.mark.parametrize("reset", [True, False])
def test_playing_starts_with_a_status_that_gstreamer_takes(reset):
    begin, *statuses, access = read(replies.play_started(60_000, 1, reset))
    assert begin.payload == bytes.fromhex("0000 00000001")
    wanted = ["NetStream.Play.Reset"] * reset + ["NetStream.Play.Start"]
    assert [values(m)[3]["code"] for m in statuses] == wanted
    assert (access.type_id, access.message_stream_id) == (MessageType.DATA, 1)
    assert access.payload == bytes.fromhex("020011 7c52746d7053616d706c65416363657373 0101 0101")


def test_an_end_of_playing_is_understood_by_every_kind_of_client():
    notify, end, stop = read(replies.play_ended(60_000, 1, "over"))
    assert values(notify)[3]["code"] == "NetStream.Play.UnpublishNotify"
    assert end.payload == bytes.fromhex("0001 00000001")
    assert values(stop)[3]["code"] == "NetStream.Play.Stop"


def test_fc_publish_is_answered_both_ways_with_the_transaction():
    called_back, result = read(replies.fc_publish(60_000, 3.0))
    assert values(called_back)[:3] == ["onFCPublish", 3.0, None]
    assert values(result) == ["_result", 3.0, None, None]


def test_fc_unpublish_has_a_result_only_if_asked():
    assert len(read(replies.fc_unpublish(60_000, 6.0))) == 2
    assert len(read(replies.fc_unpublish(60_000, 0.0))) == 1


def test_replies_are_cut_into_chunks_of_the_size_given():
    for raw in (replies.publish_started(16, 1), replies.play_started(16, 1, True)):
        assert read(raw, 16)
