"""The page in Debian's Chromium, where that is installed: it shows what the farm does."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.process.log import stream_label
from tests.e2e.test_api import CONFIG, port_of
from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.needs import needs_program

pytestmark = [
    pytest.mark.e2e,
    needs_program("chromium"),
]

MakeClip = Callable[[ClipSpec], Path]
SHOWN_MS = 6000  # of the page's own time, in which it asks three times


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running


def shown(url: str, folder: Path, *options: str) -> tuple[str, str]:
    """What the page's document has become, and what went wrong in it."""
    found = subprocess.run(
        [
            *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu"),
            *(f"--user-data-dir={folder}", f"--virtual-time-budget={SHOWN_MS}"),
            *("--enable-logging=stderr", "--dump-dom", *options, url),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    faults = [line for line in found.stderr.splitlines() if "CONSOLE" in line]
    return found.stdout, "\n".join(faults)


def test_it_shows_streams_devices_pictures_and_events(
    farm: Farm, clip: MakeClip, tmp_path: Path
) -> None:
    with Publisher(farm.url("cam"), clip(ClipSpec(seconds=8.0)), loop=True):
        farm.wait_stream("cam")
        document, faults = shown(f"http://127.0.0.1:{port_of(farm)}/", tmp_path)
    label = stream_label("live/cam")
    assert faults == ""
    assert re.search(rf"<h3>{label}</h3>", document)
    assert re.search(rf'<img alt="last keyframe of {label}" src="blob:', document)
    assert re.search(r"<h3>cpu:0</h3>", document)
    assert re.search(r'id="state"[^>]*>ready<', document)
    assert re.search(r"placed on worker:cpu:0", document)
    assert "live/cam<" not in document, "its key lets publish"


def test_where_a_token_is_needed_it_asks_for_one(farm: Farm, tmp_path: Path) -> None:
    """As a name that is none of the loopback's is."""
    mapped = f"--host-resolver-rules=MAP farm.example 127.0.0.1:{port_of(farm)}"
    document, _ = shown("http://farm.example/", tmp_path, mapped)
    assert re.search(r'<dialog id="token"[^>]* open', document)
    assert "A token is needed here." in document
