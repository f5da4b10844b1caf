"""A real farm's recordings in a bucket: after failures, and after a restart of its process."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.ffmpeg_commands import ffmpeg_publishes
from tests.kit.hook_server import HookServer
from tests.kit.object_store import BUCKET, KEY_ID, SECRET, ObjectStore
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=2.0)
TABLES = """
[templates.live.record]
directory = "{folder}/recordings"
[templates.live.record.upload]
bucket = "{bucket}"
endpoint = "{endpoint}"
credentials = "{folder}/credentials"
prefix = "farm1/"
[templates.live.hooks]
url = "{hook}"
secret = "a-secret-of-some-length"
events = ["uploaded"]
"""


def test_recordings_come_to_the_bucket_after_failures_and_over_a_restart(
    clip: MakeClip, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    )
    with HookServer() as hook, ObjectStore() as store:
        tables = TABLES.format(folder=tmp_path, bucket=BUCKET, endpoint=store.url, hook=hook.url)
        store.failing = 503, "SlowDown"
        with Farm(DEFAULT_CONFIG + tables) as farm:
            with ffmpeg_publishes(clip(SPEC), farm.url("cam1")):

                def is_recorded() -> bool:
                    rows = farm.streams().get("cam1", {}).get("recordings", ())
                    return any(row["bytes"] for row in rows)

                until(is_recorded, what="it is recorded")

            def upload() -> dict[str, object]:
                found: dict[str, object] = farm.status()["uploads"][0]
                return found

            until(lambda: upload()["state"] == "retrying", what="the bucket is out of order")
            assert "it wants fewer requests (SlowDown)" in str(upload()["reason"])
            assert upload()["waiting_files"] == 1
            before = farm.child("upload")["pid"]
            os.kill(before, signal.SIGKILL)
            store.failing = None
            until(lambda: len(hook.requests) == 1, what="the hook was told")
            until(lambda: upload()["state"] == "idle", what="all are in the bucket")
            assert farm.child("upload")["pid"] != before
        (file,) = tmp_path.rglob("*.mp4")
        assert Path(f"{file}.uploaded").exists()
        name = f"farm1/live/cam1/source/{file.name}"
        assert store.objects == {name: file.read_bytes()}
        told = hook.requests[0].document
        assert (told["event"], told["object"]) == ("uploaded", f"s3://{BUCKET}/{name}")
        assert told["bytes"] == file.stat().st_size
        assert Path(told["file"]) == file
