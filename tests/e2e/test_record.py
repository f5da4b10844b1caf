"""A real farm records: files that ffmpeg plays strictly, over a reconnection and a rotation."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, held
from tests.kit.hook_server import HookServer
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=3.0)
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
            for _ in range(2):
                with Publisher(farm.url("cam1"), clip(SPEC), pace=2.0) as publisher:
                    publisher.join(20)

            def recorded() -> dict[str, str]:
                rows = farm.streams()["cam1"]["recordings"]
                return {row["rendition"]: row["state"] for row in rows if row["bytes"]}

            until(
                lambda: recorded() == {"source": "recording", "240p": "recording"},
                what="both are recorded",
            )
            (part,) = (tmp_path / "recordings/live/cam1/source").iterdir()
            assert part.name.endswith(".part.mp4")
            assert pictures(part) > 0  # before it is finished, too
        files = sorted((tmp_path / "recordings/live/cam1").rglob("*"))
        made = {path.parent.name: pictures(path) for path in files if path.is_file()}
        assert set(made) == {"source", "240p"}
        assert made["source"] == 2 * SPEC.frames
        told = {one.document["rendition"]: one.document for one in hook.requests}
        assert set(told) == {"source", "240p"}
        assert Path(told["source"]["file"]) in files
        assert told["source"]["bytes"] == Path(told["source"]["file"]).stat().st_size
