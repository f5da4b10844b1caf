"""supervisor/commands/status/remote_rows.py."""

from common.ipc.identity import StreamId
from common.ipc.remote_status import RemoteState, RemoteStatus
from supervisor.commands.status.remote_rows import remote_lines, remote_rows
from supervisor.commands.terminal.layout import plain
from tests.kit.children import INGEST0
from tests.kit.farm_rig import Rig

DOOR = RemoteStatus(
    StreamId("live/door"),
    "rtsp://camera/stream1",
    RemoteState.WAITING,
    1_990.0,
    reason="Connection refused",
    attempts=3,
    connected=1,
    retry_unix=2_004.0,
)
STUDIO = RemoteStatus(
    StreamId("live/cam"), "rtmp://h/app/…", RemoteState.RUNNING, 1_000.0, "", 1, 1, 99
)


def test_what_is_fetched_stands_by_stream(rig: Rig) -> None:
    rig.beat(INGEST0, remotes=(DOOR, STUDIO))
    first, second = remote_rows(rig.farm)
    assert (first["key"], first["state"]) == ("cam", "running")
    assert (second["key"], second["state"]) == ("door", "waiting")
    assert second["reason"] == "Connection refused"
    lines = [plain(line) for line in remote_lines([first, second], 2_000.0, 120)]
    assert lines[:2] == ["", "Pulled"]
    assert "live/cam" in lines[3]
    assert "Connection refused" in lines[4]
    assert "1 of 3" in lines[4]


def test_a_farm_without_any_shows_nothing(rig: Rig) -> None:
    assert remote_rows(rig.farm) == []
    assert remote_lines([], 0.0, 80) == []
