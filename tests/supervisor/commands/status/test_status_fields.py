"""docs/status-json.md names every field of the status document, and no other."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.access.bans import Ban
from common.access.refusal import RefusalReason
from common.access.refusals import Attempted, RefusalStatus
from common.config.pushes import PushRule
from common.config.recording import Recording, Upload
from common.config.settings import Settings
from common.ipc.identity import StreamId
from common.ipc.remote_status import RemoteState, RemoteStatus
from common.ipc.status_messages import Notice
from common.ipc.upload_messages import UploadState, UploadStatus
from supervisor.commands.status.free_rows import free_rows
from supervisor.commands.status.pushes import push_rule_rows
from supervisor.commands.status.uploads import upload_rows
from supervisor.farm.admission.free_streams import FreeStreamsByApp
from supervisor.farm.state import SessionLimit
from supervisor.hardware.gpu_watch import GpuUse
from tests.kit.children import INGEST0
from tests.kit.farm_rig import Rig
from tests.supervisor.commands.status.test_document import document, streaming

PAGE = Path(__file__).parents[4] / "docs" / "status-json.md"
# Their keys are data: names of apps, of counters, of stages.
BY_NAME = {
    "refused",
    "apps",
    "host",
    "free_streams",
    "free_streams.*.by_pipeline",
    "listen",
    "children[].counters",
    "devices[].engines",
    "streams[].dropped",
    "streams[].renditions[].players_by_protocol",
    "streams[].stages_ms",
}

USE = GpuUse(0.25, 0.5, 0.0, 1 << 30, 310.5, 2.25)._asdict()
LEVELS = {"peak_dbfs": -3.0, "rms_dbfs": -20.0}


def fields(found: Any, path: str = "") -> Iterator[str]:
    """The paths of all values, as the page writes them."""
    match found:
        case dict():
            for key, value in found.items():
                name = "*" if path in BY_NAME else key
                yield from fields(value, f"{path}.{name}" if path else name)
        case [dict(), *_]:
            for entry in found:
                yield from fields(entry, f"{path}[]")
        case _:
            yield path


def test_every_field_is_on_the_page_and_no_other(rig: Rig) -> None:
    rig.farm.state.session_limit = SessionLimit(3, rig.now + 9, "driver")
    streaming(rig)
    rig.farm.state.kicks.kick(StreamId("live/kicked"), 60.0, rig.now)
    rig.farm.state.bans.add(Ban("203.0.113.7/32"), 0.0)
    notice = Notice("long-gop", "keyframes are 8.3 s apart", 1_900.0)
    publisher = rig.publisher(
        notices=(notice,), dropped={"worker": 1}, stages_ms={"ingest": (1, 2)}
    )
    refused = RefusalStatus(
        Attempted.PUBLISH, RefusalReason.DENIED, "wrong key", "192.0.2.1:5", 1_900.0
    )
    remote = RemoteStatus(StreamId("live/door"), "rtsp://camera", RemoteState.RUNNING, 1_900.0)
    rig.beat(INGEST0, publishers=(publisher,), refusals=(refused,), remotes=(remote,))
    found = document(rig)
    rule = PushRule("rtmp://h/live/k", "source")
    templates = (replace(rig.farm.state.settings.templates[0], pushes=(rule,)),)
    found["push_rules"] = push_rule_rows(replace(rig.farm.state.settings, templates=templates))
    recording = Recording("/r", upload=Upload("b"))
    copied = replace(rig.farm.state.settings.templates[0], recording=recording)
    uploaded = replace(Settings(), templates=(copied,))
    found["uploads"] = upload_rows(uploaded, (UploadStatus("live", "b", UploadState.IDLE),))
    found["free_streams"] = free_rows(FreeStreamsByApp(rig.farm.state).look("", rig.now))
    found["devices"][0]["engines"] = {"decode": 0.1}
    found["devices"][0]["use"] = USE
    found["children"][0]["counters"] = {"players": 1}
    found["streams"][0]["levels"] = LEVELS
    found["streams"][0]["renditions"][0]["players_by_protocol"] = {"rtmp": 1}
    said = set(re.findall(r"`([a-z_.\[\]*]+)`", PAGE.read_text()))
    shown = {field for field in fields(found) if not field.startswith("supervisor.")}
    assert shown - said == set(), "are not on the page"
    paths = {field for field in said if "." in field}
    gone = {path for path in paths if not any(field.startswith(path) for field in shown)}
    assert gone == set(), "are only on the page"
