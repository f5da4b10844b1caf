"""common/ipc/relay_messages.py"""

import pytest

from common.ipc.envelope import decode, encode
from common.ipc.identity import Generation, StreamId
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd

STREAM = StreamId("live/cam")


@pytest.mark.parametrize(
    "message",
    [
        RemotePlay(STREAM, Generation(12), ("720p", "source")),
        RemotePlayEnd(STREAM, "nobody plays it here any more"),
        RemotePlayEnd(STREAM, "it is published here", 5_000),
    ],
)
def test_a_message_comes_back_as_it_went(message: object) -> None:
    assert decode(encode(message)) == message
