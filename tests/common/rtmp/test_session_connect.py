"""Commands that come with `connect`, before it is answered."""

import pytest

from common.rtmp.events import ConnectRequested, PlayRequested, PublishRequested
from tests.kit.rtmp import CONNECT, Wire, command, handshake


@pytest.mark.parametrize("verb", ["play", "publish"])
def test_commands_behind_connect_wait_for_its_answer(verb, splits):
    raw = (
        command("connect", 1.0, CONNECT)
        + command("createStream", 2.0, None)
        + command(verb, 3.0, None, "cam", stream=1)
    )
    for pieces in splits(raw):
        wire = Wire()
        handshake(wire)
        for piece in pieces:
            wire.send(piece, accept=False)
        (connect,) = wire.events
        wire.session.accept(connect.request_id)
        wire.send(b"", accept=False)
        assert [type(event) for event in wire.events] == [
            ConnectRequested,
            PlayRequested if verb == "play" else PublishRequested,
        ]
        assert wire.events[1].message_stream_id == 1
        assert [reply[:2] for reply in wire.replies()[2:]] == [["_result", 1.0], ["_result", 2.0]]


def test_commands_behind_a_connect_that_is_refused_are_left():
    wire = Wire()
    handshake(wire)
    wire.send(
        command("connect", 1.0, CONNECT) + command("play", 3.0, None, "cam", stream=1), accept=False
    )
    wire.session.reject(wire.events[0].request_id, "NetConnection.Connect.InvalidApp", "no")
    wire.send(b"", accept=False)
    assert len(wire.events) == 1
    assert [reply[0] for reply in wire.replies()] == ["_error"]


def test_a_play_needs_no_created_stream():
    wire = Wire()
    handshake(wire)
    wire.send(command("connect", 1.0, CONNECT) + command("play", 3.0, None, "cam", stream=1))
    wire.session.accept(wire.events[1].request_id)
    wire.send(command("createStream", 4.0, None))
    assert wire.replies()[-1] == ["_result", 4.0, None, 2.0]
