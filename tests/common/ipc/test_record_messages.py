"""common/ipc/record_messages.py: a report crosses as it is, and shows no key."""

from common.ipc.envelope import decode, encode
from common.ipc.identity import StreamId
from common.ipc.record_messages import RecordReport, RecordState, RecordStatus


def test_a_report_crosses() -> None:
    one = RecordStatus(StreamId("live/a"), "720p", RecordState.RECORDING, "/r/live/secret/x.mp4")
    report = RecordReport((one,), 7)
    assert decode(encode(report)) == report
    assert "secret" not in repr(report)
