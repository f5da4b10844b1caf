"""A real farm records: files that ffmpeg plays strictly, over a reconnection and a rotation."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, held
from tests.kit.ffmpeg_commands import ffmpeg_publishes
from tests.kit.hook_server import HookServer
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=2.0)
TABLES = """
[templates.live.record]
directory = "{directory}"
renditions = ["source", "240p"]
[templates.live.hooks]
url = "{hook}"
secret = "a-secret-of-some-length"
events = ["recorded"]
"""


def pictures(path: Path) -> int:
    """How many there are, where nothing is wrong with the file."""
    strict = ("-v", "error", "-xerror", "-err_detect", "explode")
    command = ("ffmpeg", "-nostdin", *strict, "-i", str(path), "-f", "framecrc", "-")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert not done.stderr
    return sum(line.startswith("0,") for line in done.stdout.splitlines())


def test_one_file_a_rendition_over_a_reconnection_and_the_hook_hears_of_it(
    clip: MakeClip, tmp_path: Path
) -> None:
    with HookServer() as hook:
        tables = TABLES.format(directory=tmp_path / "recordings", hook=hook.url)
        with Farm(held(DEFAULT_CONFIG, "10s") + tables) as farm:

            def recorded() -> dict[str, int]:
                rows = farm.streams().get("cam1", {}).get("recordings", ())
                return {row["rendition"]: row["bytes"] for row in rows if row["bytes"]}

            with ffmpeg_publishes(clip(SPEC), farm.url("cam1")) as lost:
                until(lambda: len(recorded()) == 2, what="both are recorded")
                lost.kill()
            (part,) = (tmp_path / "recordings/live/cam1/source").iterdir()
            assert part.name.endswith(".part.mp4")
            first = pictures(part)  # it plays before it is finished
            assert first > 0
            with Publisher(farm.url("cam1"), clip(SPEC), pace=4.0) as publisher:
                publisher.join(20)
            until(lambda: len(hook.requests) == 2, what="the hook was told")
        files = [path for path in tmp_path.rglob("*.mp4") if "cam1" in path.parts]
        made = {path.parent.name: pictures(path) for path in files}
        assert set(made) == {"source", "240p"}
        assert len(files) == 2, "one file each"
        assert made["source"] >= first + SPEC.frames
        told = {one.document["rendition"]: one.document for one in hook.requests}
        assert set(told) == {"source", "240p"}
        assert Path(told["source"]["file"]) in files
        assert told["source"]["bytes"] == Path(told["source"]["file"]).stat().st_size
