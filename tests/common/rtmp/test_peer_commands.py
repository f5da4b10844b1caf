"""What commands do to a connection, whoever sends them."""

import pytest

from common.flv import amf0
from common.rtmp.chunks import encode_message
from common.rtmp.events import (
    ConnectRequested,
    PublishRequested,
)
from tests.kit.rtmp import (
    Wire,
    command,
    handshake,
)


def test_deleting_another_stream_ends_nothing(publishing):
    wire = Wire(publishing(chunk_size=128))
    wire.send(command("deleteStream", 0, None, 5))
    assert wire.events == []
    assert wire.session.is_publishing


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


@pytest.mark.parametrize("name", ["releaseStream", "_checkbw", "whatever", "seek"])
def test_a_command_of_which_nothing_is_wanted_is_answered_whatever_it_holds(connected, name):
    wire = Wire(connected(chunk_size=4096))
    wire.replies()
    body = amf0.encode(name, 7.0) + b"\x05" * 3_000 + b"\xff"
    wire.send(encode_message(3, 20, 0, 0, body, 4096))
    replies = wire.replies()
    assert [reply[1] for reply in replies if reply[0] == "_result"] == (
        [] if name == "seek" else [7.0]
    )
