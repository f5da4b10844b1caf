"""Publishers by WHIP on a real farm, over a line that loses packets; and who is refused."""

import itertools
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from tests.kit.clients import record
from tests.kit.clips import ClipSpec
from tests.kit.farm import WEB_CONFIG, Farm
from tests.kit.lossy_udp import Line
from tests.kit.waiting import until
from tests.kit.whep_client import WhepClient
from tests.kit.whip_client import SENDING, WhipPublisher

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=4.0, fps=Fraction(25), gop_frames=25, b_frames=0)
KEY = "sesame"
CONFIG = WEB_CONFIG.replace("[listen]\n", '[listen]\nwhip = "127.0.0.1:0"\n', 1).replace(
    "[templates.live]\n", f'[templates.live]\npublish_keys = ["{KEY}"]\n', 1
)
CONFIG += '[webrtc]\nlisten = "127.0.0.1:0"\n'
WAIT_S = 20.0
OFFER = SENDING.format(
    ufrag="abcd", password="p" * 24, fingerprint="sha-256 " + ":".join(["AB"] * 32)
).replace("\n", "\r\n")


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        running.wait_log("peers=publishers")
        running.wait_log("peers=viewers")
        yield running


def url_of(farm: Farm, path: str) -> str:
    found = re.search(r"HTTP listens key=listen.http address=(\S+)", farm.log())
    assert found is not None
    return f"http://{found[1]}{path}"


def refusal(farm: Farm, path: str, body: str) -> tuple[int, str]:
    headers = {"Content-Type": "application/sdp"}
    request = urllib.request.Request(url_of(farm, path), body.encode(), headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as found:
        urllib.request.urlopen(request, timeout=20)
    with found.value as answer:
        return answer.code, answer.read().decode()


def test_what_is_published_over_a_lossy_line_is_played_whole(farm: Farm, clip: MakeClip) -> None:
    url = url_of(farm, "/live/cam/whip")
    with WhipPublisher(url, clip(SPEC), Line(0.03, 0.02, 0.01), KEY) as publisher:
        farm.wait_stream("cam")
        with WhepClient(url_of(farm, "/live/cam/240p/whep")) as viewer:
            until(lambda: len(viewer.numbers) > 25 and viewer.sound_frames > 20, WAIT_S, "it plays")
            numbers = viewer.numbers
        assert {b - a for a, b in itertools.pairwise(numbers)} <= {1, 1 - SPEC.frames}
        # a player that names no Opus hears AAC
        heard = record(farm.url("cam/240p"), enough=lambda got: len(got.audio) > 50, seconds=WAIT_S)
        steps = [b.dts_ms - a.dts_ms for a, b in itertools.pairwise(heard.audio)]
        assert min(steps) in (21, 22)  # frames of 1,024 samples; what the line lost is a gap
        (stream,) = farm.status()["streams"]
        assert (stream["audio"], stream["decode_errors"]) == ("Opus 48 kHz 2ch", 0)
        assert publisher.sender is not None
        assert publisher.sender.repeated > 0
        assert publisher.sender.keyframes_wanted > 0
        status, words = refusal(farm, f"/live/cam/whip?key={KEY}", OFFER)
        assert (status, bool(words.strip())) == (409, True)
    farm.wait_gone("cam")
    assert "reason=its publisher stopped" in farm.log()


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/live/x/whip", OFFER, 403, "key"),
        ("/nobody/x/whip", OFFER, 404, "nobody"),
        (f"/live/x/whip?key={KEY}", OFFER.replace("H264", "VP8"), 406, "VP8"),
        (f"/live/x/whip?key={KEY}", "hello", 400, "v=0"),
    ],
)
def test_who_may_not_publish_is_told_why(
    farm: Farm, path: str, body: str, status: int, words: str
) -> None:
    found = refusal(farm, path, body)
    assert found[0] == status, found
    assert words in found[1]
