"""HLS of a real farm: its first viewer waits for no segment, and a strict one finds nothing.

Two processes serve it: what one viewer asks comes to either of them.
"""

import http.client
import os
import re
import signal
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
def farm(clip: MakeClip) -> Iterator[Farm]:
    """A farm; `live/cam` is published there, and cut whole."""
    config = WEB_CONFIG + "processes = 2\n"
    with Farm(config) as farm, Publisher(farm.url("cam"), clip(SPEC), loop=True):
        farm.wait_stream("cam")
        (found,) = farm.status()["listen"]["web"]
        until(lambda: has_run(farm), START_S, "the stream is older than two GOPs")
        for name in (NAME, SOURCE):
            asked_s = time.time()
            first = first_segment(found, name)
            assert first.date is not None
            ended = first.date + timedelta(seconds=first.duration)
            assert ended.timestamp() < asked_s, f"the first viewer of {name} gets one of before"
        until(lambda: is_whole(found), START_S, "both renditions and the sound are listed")
        yield farm


@pytest.fixture
def address(farm: Farm) -> str:
    """Where viewers connect."""
    (found,) = farm.status()["listen"]["web"]
    return str(found)


def has_run(farm: Farm) -> bool:
    """Whether pictures of more than two GOPs have been made."""
    made = [r for r in farm.streams()["cam"]["renditions"] if r["name"] != SOURCE]
    return all(one["frames"] > 2 * SPEC.fps * GOP_S for one in made)


def first_segment(address: str, name: str) -> Segment:
    """The first segment of a rendition that nobody watched before."""
    client = http.client.HTTPConnection(address, timeout=20)
    try:
        client.request("GET", f"/live/cam/{name}/index.m3u8")
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


def webs(farm: Farm, counter: str) -> list[int]:
    """What each of the two processes counts."""
    children = [one for one in farm.status()["children"] if one["kind"] == "web"]
    return [child["counters"].get(counter, 0) for child in children]


def ask_anew(address: str, target: str) -> bytes:
    """What is answered on a connection of its own, by whichever process is there."""
    found: list[bytes] = []

    def is_answered() -> bool:
        client = http.client.HTTPConnection(address, timeout=20)
        try:
            client.request("GET", target)
            response = client.getresponse()
            body = response.read()
        except (ConnectionError, http.client.HTTPException):
            return False  # whom it had come to was killed just then
        finally:
            client.close()
        assert response.status == 200, (target, body)
        found.append(body)
        return True

    until(is_answered, 20, f"{target} is answered", every=0.05)
    return found[0]


def test_a_viewer_is_one_whichever_process_his_requests_come_to_and_whichever_ends(
    farm: Farm, address: str
) -> None:
    index = ask_anew(address, INDEX).decode()
    (query,) = set(re.findall(r"index\.m3u8(\?session=[^\s\"]+)", index))
    playlist = f"/live/cam/{NAME}/index.m3u8{query}"
    before: list[int] = []  # requests at each, while he alone watches

    def came_to_both() -> bool:
        for _ in range(4):
            media = read_media(ask_anew(address, playlist))
            assert ask_anew(address, f"/live/cam/{NAME}/{media.complete[-1].uri}")
        if sum(webs(farm, "hls viewers")) != 1:
            before.clear()  # those of the test before have not left yet
            return False
        before[:] = before or webs(farm, "requests")
        return min(n - b for n, b in zip(webs(farm, "requests"), before, strict=True)) > 8

    until(came_to_both, 20, "he is one, and his requests come to both", every=0.3)
    assert farm.players("cam", NAME) == {"hls": 1}
    served = webs(farm, "hls viewers").index(1)
    media = read_media(ask_anew(address, playlist))
    children = [one for one in farm.status()["children"] if one["kind"] == "web"]
    os.kill(children[served]["pid"], signal.SIGKILL)
    last = media.complete[-1]
    for uri in (last.uri, media.complete[-2].uri):
        assert ask_anew(address, f"/live/cam/{NAME}/{uri}"), "named by who is dead now"
    after = read_media(ask_anew(address, f"{playlist}&_HLS_msn={last.number + 1}"))
    assert after.complete[-1].number > last.number
    assert after.complete[0].number >= media.complete[0].number
