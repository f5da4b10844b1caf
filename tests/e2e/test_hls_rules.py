"""HLS of a real farm: its first viewer waits for no segment, and a strict one finds nothing."""

import http.client
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from common.config.ladder import SOURCE
from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import WEB_CONFIG, Farm
from tests.kit.hls_client import StrictClient
from tests.kit.hls_playlist import Segment, read_media
from tests.kit.hls_viewer import watch_by_http
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

SPEC = ClipSpec(seconds=8.0)
NAME = "144p"
GOP_S = 1
INDEX = "/live/cam/index.m3u8"
SEGMENTS = 2  # of each track, whole, with their parts
START_S = 40.0
TIMEOUT_S = 60.0
# What comes late on a busy machine is no fault of the server: virtual time looks at that.
SLACK_S = 60.0

MakeClip = Callable[[ClipSpec], Path]


@pytest.fixture(scope="module")
def address(clip: MakeClip) -> Iterator[str]:
    """A farm's viewers' address; `live/cam` is published there, and cut whole."""
    with Farm(WEB_CONFIG) as farm, Publisher(farm.url("cam"), clip(SPEC), loop=True):
        farm.wait_stream("cam")
        (found,) = farm.status()["listen"]["web"]
        until(lambda: has_run(farm), START_S, "the stream is older than two GOPs")
        asked_s = time.time()
        first = first_segment(found)
        assert first.date is not None
        ended = first.date + timedelta(seconds=first.duration)
        assert ended.timestamp() < asked_s, "the first viewer of all gets a segment of before"
        until(lambda: is_whole(found), START_S, "both renditions and the sound are listed")
        yield found


def has_run(farm: Farm) -> bool:
    """Whether pictures of more than two GOPs have been made."""
    made = [r for r in farm.streams()["cam"]["renditions"] if r["name"] != SOURCE]
    return all(one["frames"] > 2 * SPEC.fps * GOP_S for one in made)


def first_segment(address: str) -> Segment:
    """The first segment of a rendition that nobody watched before."""
    client = http.client.HTTPConnection(address, timeout=20)
    try:
        client.request("GET", f"/live/cam/{NAME}/index.m3u8")
        return read_media(client.getresponse().read()).complete[0]
    finally:
        client.close()


def is_whole(address: str) -> bool:
    """Whether the first playlist has all tracks: on a busy machine it goes out before."""
    client = http.client.HTTPConnection(address, timeout=20)
    try:
        client.request("GET", INDEX)
        text = client.getresponse().read()
    finally:
        client.close()
    return text.count(b"#EXT-X-STREAM-INF") == 2 and b"#EXT-X-MEDIA" in text


def has_seen_enough(client: StrictClient) -> bool:
    return len(client.renditions) == 3 and all(
        sum(found.whole is not None and len(found.parts) > 1 for found in one.found.values())
        >= SEGMENTS
        for one in client.renditions.values()
    )


def test_a_strict_viewer_finds_nothing(address: str) -> None:
    client = StrictClient(INDEX, slack_s=SLACK_S)
    watch_by_http(client, f"http://{address}", has_seen_enough, TIMEOUT_S)
    assert {url.split("/")[3] for url in client.renditions} == {"240p", "144p", "sound"}
