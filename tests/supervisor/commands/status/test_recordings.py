"""supervisor/commands/status/recordings.py: what people are told of a recording."""

from common.ipc.identity import StreamId
from common.ipc.record_messages import RecordState, RecordStatus
from supervisor.commands.status.recordings import recording_row, recording_words

A = StreamId("live/a")


def test_one_that_is_written_says_how_much_and_where() -> None:
    one = RecordStatus(A, "720p", RecordState.RECORDING, "/r/x.mp4", "old", 7.0, 2_000_000, 1)
    words = recording_words(recording_row(one))
    assert words == "720p: recording for 7 s, 2.0 MB, 1 files finished, /r/x.mp4"


def test_one_that_failed_says_why() -> None:
    one = RecordStatus(A, "720p", RecordState.FAILED, "", "no space left on device", 2.0)
    words = recording_words(recording_row(one))
    assert words.startswith("720p: failed for 2 s (no space left on device), 0.0 MB")
