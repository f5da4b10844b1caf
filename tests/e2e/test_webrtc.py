"""Viewers by WebRTC: aiortc as the browser, in a whole farm."""

import itertools
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import WEB_CONFIG, Farm
from tests.kit.lossy_udp import Line
from tests.kit.sdp import SMALL
from tests.kit.waiting import until
from tests.kit.whep_client import WhepClient

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=20.0, fps=Fraction(25), gop_frames=25)
CONFIG = WEB_CONFIG + '[webrtc]\nlisten = "127.0.0.1:0"\n'
WAIT_S = 20.0


@pytest.fixture(scope="module")
def farm(clip: MakeClip) -> Iterator[Farm]:
    with Farm(CONFIG) as running, Publisher(running.url("cam"), clip(SPEC), loop=True):
        running.wait_stream("cam")
        running.wait_log("WebRTC listens")
        yield running


def url_of(farm: Farm, path: str) -> str:
    found = re.search(r"HTTP listens key=listen.http address=(\S+)", farm.log())
    assert found is not None
    return f"http://{found[1]}{path}"


def ask(farm: Farm, path: str, body: str, kind: str = "application/sdp") -> tuple[int, str]:
    request = urllib.request.Request(
        url_of(farm, path), body.encode(), {"Content-Type": kind}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_viewer_sees_and_hears_a_rendition_and_is_counted(farm: Farm) -> None:
    with WhepClient(url_of(farm, "/live/cam/240p/whep")) as viewer:
        assert viewer.status == 201, viewer.words
        until(lambda: len(viewer.numbers) > 30 and viewer.sound_frames > 20, WAIT_S, "it plays")
        numbers = viewer.numbers
        steps = {after - before for before, after in itertools.pairwise(numbers)}
        assert steps <= {1, 1 - SPEC.frames}, "a picture is missing"
        assert {height for _, _, height in viewer.pictures} == {240}
        until(lambda: farm.players("cam", "240p") == {"webrtc": 1}, WAIT_S, "it is counted")
    until(lambda: not farm.players("cam", "240p"), WAIT_S, "its end is seen")


def test_who_names_no_rendition_begins_low_and_goes_up(farm: Farm) -> None:
    with WhepClient(url_of(farm, "/live/cam/whep")) as viewer:
        assert viewer.status == 201, viewer.words
        until(lambda: any(p[2] == 240 for p in viewer.pictures), WAIT_S, "it is sent the best")


def test_what_a_line_loses_is_sent_again(farm: Farm) -> None:
    with WhepClient(url_of(farm, "/live/cam/240p/whep"), Line(0.05, 0.05, 0.01)) as viewer:
        until(lambda: len(viewer.numbers) > 50, WAIT_S, "it plays")
    repeated = re.compile(r"viewer closed .* repeated=[1-9]")
    until(lambda: repeated.search(farm.log()), WAIT_S, "packets were sent again")


@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "words"),
    [
        ("/live/cam/240p/whep", "hello", "application/sdp", 400, "begins with v=0"),
        ("/live/cam/240p/whep", SMALL, "text/plain", 415, "application/sdp"),
        ("/live/cam/240p/whep", SMALL.replace("H264", "VP8"), "application/sdp", 406, "VP8"),
        ("/live/cam/999p/whep", SMALL, "application/sdp", 404, "no rendition 999p"),
        ("/nobody/cam/whep", SMALL, "application/sdp", 404, "no app nobody"),
        ("/live/cam/240p/whep", "v=0" + "x" * 70_000, "application/sdp", 413, ""),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    farm: Farm, path: str, body: str, kind: str, status: int, words: str
) -> None:
    found = ask(farm, path, body, kind)
    assert found[0] == status, found
    assert words in found[1]
