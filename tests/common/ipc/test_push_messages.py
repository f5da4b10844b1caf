"""common/ipc/push_messages.py: a report crosses as it is."""

from common.ipc.envelope import decode, encode
from common.ipc.identity import StreamId
from common.ipc.push_messages import PushReport, PushState, PushStatus, known_as

A, B = StreamId("live/a"), StreamId("live/b")


def test_a_report_crosses() -> None:
    report = PushReport((PushStatus(A, "720p", "srt://h:9", PushState.SENDING),), 7)
    assert decode(encode(report)) == report


def test_a_list_is_told_from_others() -> None:
    assert len({known_as(()), known_as((A,)), known_as((A, B)), known_as((B, A))}) == 4
