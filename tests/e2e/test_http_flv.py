"""HTTP-FLV of a real farm, watched by FFmpeg: let in, refused, counted as RTMP's players are."""

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.clients import Player, Publisher, play_on
from tests.kit.clips import ClipSpec
from tests.kit.farm import SMALL_LADDER, WEB_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

CLOSED = """
[templates.closed]
play_keys = ["s3cret"]
wait = "0s"
"""
CONFIG = WEB_CONFIG + CLOSED + SMALL_LADDER.replace("live", "closed")

MakeClip = Callable[[ClipSpec], Path]


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running


def address(farm: Farm) -> str:
    (found,) = farm.status()["listen"]["web"]
    return str(found)


def ask(farm: Farm, target: str) -> tuple[int, str, http.client.HTTPResponse]:
    client = http.client.HTTPConnection(address(farm), timeout=10)
    client.request("GET", target, headers={"Origin": "https://site.example"})
    response = client.getresponse()
    body = "" if response.status == 200 else response.read().decode()
    client.close()
    return response.status, body, response


def players_by(farm: Farm, key: str) -> dict[str, int]:
    renditions = farm.streams()[key]["renditions"]
    found: dict[str, int] = {}
    for rendition in renditions:
        for protocol, count in rendition["players_by_protocol"].items():
            found[protocol] = found.get(protocol, 0) + count
    return found


def test_it_is_watched_beside_rtmp_and_ends_with_its_stream(farm: Farm, clip: MakeClip) -> None:
    base = f"http://{address(farm)}/live"
    spec = ClipSpec(seconds=8.0)
    with Publisher(farm.url("cam"), clip(spec), loop=True):
        farm.wait_stream("cam")
        with (
            Player(f"{base}/cam/240p.flv") as viewer,
            Player(f"{base}/cam.flv?start=live") as of_source,
            Player(farm.url("cam", "240p")) as player,
        ):
            play_on(viewer, of_source, player, ms=2000)
            until(
                lambda: players_by(farm, "cam") == {"http-flv": 2, "rtmp": 1},
                10,
                "status counts them by protocol",
            )
            status, _, response = ask(farm, "/live/cam/240p.flv")
            assert status == 200
            assert response.headers["Content-Type"] == "video/x-flv"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["Cache-Control"] == "no-store"
            both = [viewer.recording, of_source.recording]
            until(lambda: min(len(each.audio) for each in both) > 20, 10, "they are heard")
    for watched in (viewer, of_source):
        recording = watched.recording
        times = [unit.dts_ms for unit in recording.video]
        assert times == sorted(times)
        assert recording.video[0].is_key
    farm.wait_gone("cam")


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/closed/nobody/240p.flv?key=s3cret", 404, "nobody publishes this stream"),
        ("/live/cam/1080p.flv", 404, "there is no rendition 1080p"),
        ("/other/cam/240p.flv", 404, "there is no app other"),
        ("/closed/cam/240p.flv", 403, ""),
        ("/closed/cam/240p.flv?key=wrong", 403, ""),
        ("/closed/cam/240p.flv?key=s3cret", 404, "nobody publishes this stream"),
        ("/live/c%20m/240p.flv", 404, "the stream key may hold only"),
        ("/live/..%2f..%2fetc/240p.flv", 404, "the stream key may hold only"),
    ],
)
def test_a_refusal_is_a_status_with_its_words(
    farm: Farm, target: str, status: int, words: str
) -> None:
    found, body, response = ask(farm, target)
    assert found == status, body
    assert words in body
    assert "s3cret" not in body
    assert response.headers["Access-Control-Allow-Origin"] == "*"
