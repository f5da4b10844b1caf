"""supervisor/commands/status/pushes.py: what people are told of a push."""

from common.ipc.identity import StreamId
from common.ipc.push_messages import PushState, PushStatus
from supervisor.commands.status.pushes import push_row, push_words

A = StreamId("live/a")


def test_one_that_sends_is_a_short_line() -> None:
    push = PushStatus(A, "720p", "srt://h:9", PushState.SENDING, "it was away", 7.0, 2)
    assert push_words(push_row(push)) == "720p to srt://h:9: sending for 7 s"


def test_one_that_is_tried_again_says_why() -> None:
    push = PushStatus(A, "720p", "srt://h:9", PushState.RETRYING, "nobody answers", 2.0, 3)
    words = push_words(push_row(push))
    assert words == "720p to srt://h:9: retrying for 2 s (nobody answers), 3 calls"
