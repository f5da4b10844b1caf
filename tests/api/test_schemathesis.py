"""The running API does what its OpenAPI document says, asked by schemathesis."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from common.access.keys import digest_of
from common.config.settings import ApiSettings, Settings
from common.ipc.api_messages import (
    PlayerList,
    PlayerStatus,
    PlayersWanted,
    Snapshot,
    SnapshotWanted,
)
from common.ipc.command_messages import Answer, Command
from common.ipc.identity import ChildId, StreamId
from tests.kit.api_process import ApiProcess
from tests.kit.status_pages import farm_document, stream_row
from tests.kit.viewer_egress import ViewerEgress

TOKEN = "a-token-of-some-length"
SETTINGS = Settings(api=ApiSettings(tokens=(digest_of(TOKEN),)))
PLAYER = PlayerStatus("p1", StreamId("live/cam0"), "720p", "rtmp", "203.0.113.7:50200", 1.5, 0)
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def everything_can_be_done(command: Command) -> Answer:
    document = ""
    if command.name == "drain":
        of_device = "device" in command.arguments
        document = '{"streams": [], "sessions": 0}' if of_device else '{"streams": 0}'
    return Answer(command.request_id, True, "done", document)


def of_a_child(message: Any) -> tuple[Snapshot | PlayerList, bytes] | None:
    """What a worker and an egress answer."""
    match message:
        case SnapshotWanted():
            picture = Snapshot(message.request_id, message.asker, message.stream_id)
            return picture, b"\xff\xd8 a JPEG"
        case PlayersWanted(request_id, asker):
            players = (PLAYER,) if message.ends in ("", PLAYER.id) else ()
            egress = ChildId("egress")
            return PlayerList(request_id, asker, egress, players, len(players)), b""
        case _:
            return None


def an_api(rows: list[dict[str, Any]], egress: ViewerEgress) -> ApiProcess:
    api = ApiProcess(SETTINGS, farm_document(rows))
    api.endpoints = (egress.endpoint,)
    return api


def test_it_does_what_its_description_says(tmp_path: Path) -> None:
    rows = [stream_row("live", f"cam{number}", number) for number in range(3)]
    with ViewerEgress() as egress, an_api(rows, egress) as api:
        api.answer, api.on_message = everything_can_be_done, of_a_child
        root = f"http://127.0.0.1:{api.port}"
        found = subprocess.run(
            [
                *(SCHEMATHESIS, "run", f"{root}/api/v1/openapi.json"),
                *("--header", f"Authorization: Bearer {TOKEN}"),
                *("--max-examples", "15", "--seed", "1", "--no-color"),
            ],
            cwd=tmp_path,  # it keeps what it found beside itself
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]
