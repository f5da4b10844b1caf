"""HLS and DASH of a real farm: a strict viewer finds nothing, and players play every variant."""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.hls_client import StrictClient
from tests.kit.hls_viewer import watch_by_http
from tests.kit.needs import needs_program

pytestmark = pytest.mark.e2e

CONFIG = (
    DEFAULT_CONFIG.replace('"127.0.0.1:0"\n', '"127.0.0.1:0"\nhttp = "127.0.0.1:0"\n', 1)
    + "\n[web]\nenabled = true\n"
)
SPEC = ClipSpec(seconds=8.0)
SEGMENTS = 2  # of each track, whole, with their parts
TIMEOUT_S = 60.0
# What comes late on a busy machine is no fault of the server: virtual time looks at that.
SLACK_S = 60.0

MakeClip = Callable[[ClipSpec], Path]


@pytest.fixture(scope="module")
def origin(clip: MakeClip) -> Iterator[str]:
    """A farm's address, where `live/cam` is published."""
    with Farm(CONFIG) as farm, Publisher(farm.url("cam"), clip(SPEC), loop=True):
        farm.wait_stream("cam")
        (address,) = farm.status()["listen"]["web"]
        yield f"http://{address}"


def has_seen_enough(client: StrictClient) -> bool:
    return len(client.renditions) == 3 and all(
        sum(found.whole is not None and len(found.parts) > 1 for found in one.found.values())
        >= SEGMENTS
        for one in client.renditions.values()
    )


def ffmpeg(address: str) -> "subprocess.Popen[str]":
    """It takes all variants, and ends at the first thing that it cannot decode."""
    command = [
        *("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", address),
        *("-map", "0", "-t", "1", "-f", "framecrc", "-"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@needs_program("ffmpeg")
def test_a_strict_viewer_finds_nothing_and_ffmpeg_plays_every_variant(origin: str) -> None:
    players = [ffmpeg(f"{origin}/live/cam/{name}") for name in ("index.m3u8", "index.mpd")]
    client = StrictClient("/live/cam/index.m3u8", slack_s=SLACK_S)
    watch_by_http(client, origin, has_seen_enough, TIMEOUT_S)
    tracks = {url.split("/")[3] for url in client.renditions}
    assert tracks == {"240p", "144p", "sound"}
    for player in players:
        frames, words = player.communicate(timeout=TIMEOUT_S)
        assert player.returncode == 0, words
        lines = [line for line in frames.splitlines() if line and not line.startswith("#")]
        counts = Counter(line.partition(",")[0] for line in lines)
        assert len(counts) >= 3, "two renditions and their sound"
        assert min(counts.values()) > 5, counts
