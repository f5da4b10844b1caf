"""The API of a real farm."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.process.log import stream_label
from tests.kit.api_process import request
from tests.kit.clients import Player, Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

TOKEN = "a-token-of-some-length"
CONFIG = DEFAULT_CONFIG.replace(
    "[api]\nenabled = false\n", f'[api]\nlisten = "127.0.0.1:0"\ntokens = ["{TOKEN}"]\n'
)
BEARER = {"Authorization": f"Bearer {TOKEN}"}

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=8.0)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running


def port_of(farm: Farm) -> int:
    (address,) = farm.status()["listen"]["http"]
    return int(address.rpartition(":")[2])


def test_it_shows_what_the_farm_does_over_a_restart_of_its_supervisor(
    farm: Farm, clip: MakeClip
) -> None:
    with Publisher(farm.url("cam"), clip(SPEC), loop=True):
        farm.wait_stream("cam")
        port = port_of(farm)
        (stream,) = request(port, "GET", "/api/v1/streams", headers=BEARER).document["streams"]
        assert (stream["app"], stream["key"], stream["state"]) == ("live", "cam", "live")
        (stream,) = request(port, "GET", "/api/v1/streams").document["streams"]
        assert stream["key"] is None
        assert request(port, "GET", "/readyz").status == 200

        assert farm.process is not None
        farm.process.send_signal(signal.SIGKILL)
        farm.process.wait(10)

        def is_alone() -> bool:
            return not request(port, "GET", "/healthz").document["is_supervised"]

        until(is_alone, 10, "the API knows that it is alone")
        found = request(port, "GET", "/api/v1/streams").document
        assert (found["is_current"], len(found["streams"])) == (False, 1)
        assert request(port, "GET", "/readyz").status == 503

        farm.start()
        assert port_of(farm) == port

        def is_current() -> bool:
            return bool(request(port, "GET", "/api/v1/status").document["is_current"])

        until(is_current, 10, "the API has the new supervisor's word")
        until(lambda: request(port, "GET", "/readyz").status == 200, 10, "it takes streams again")


def test_its_death_costs_its_answers_alone(farm: Farm) -> None:
    before = farm.child("api")["pid"]
    os.kill(before, signal.SIGKILL)
    until(lambda: farm.child("api")["pid"] not in (0, before), 10, "another one is started")
    until(lambda: farm.status()["listen"]["http"], 10, "it listens")
    assert request(port_of(farm), "GET", "/healthz").status == 200
    assert [c["restarts"] for c in farm.status()["children"]].count(0) == 3


def test_a_picture_of_a_stream_and_its_players(farm: Farm, clip: MakeClip) -> None:
    with Publisher(farm.url("shown"), clip(SPEC), loop=True):
        farm.wait_stream("shown")
        port = port_of(farm)
        label = stream_label("live/shown")
        picture = request(port, "GET", f"/api/v1/streams/{label}/snapshot.jpg")
        assert picture.status == 200, picture.body
        assert picture.headers["Content-Type"] == "image/jpeg"
        assert picture.body.startswith(b"\xff\xd8")
        assert int(picture.headers["Age"]) <= 1
        with Player(farm.url("shown", "240p")) as player:
            assert player.opened.wait(10)
            (found,) = request(port, "GET", f"/api/v1/players?stream={label}").document["players"]
            assert (found["stream"], found["rendition"], found["protocol"]) == (
                label,
                "240p",
                "rtmp",
            )
            path = f"/api/v1/players/{found['id']}/kick"
            assert request(port, "POST", path).status == 401
            done = request(port, "POST", path, headers=BEARER)
            assert done.status == 200, done.body
            player.join(10)
        assert request(port, "POST", path, headers=BEARER).status == 404


def test_a_kick_by_http_is_the_operators(farm: Farm, clip: MakeClip) -> None:
    with Publisher(farm.url("kicked"), clip(SPEC), loop=True):
        farm.wait_stream("kicked")
        path = f"/api/v1/streams/{stream_label('live/kicked')}/kick"
        done = request(port_of(farm), "POST", path, headers=BEARER)
        assert done.status == 200, done.body
        assert "live/kicked is being ended" in done.document["message"]
        farm.wait_gone("kicked")
        farm.wait_log("by=api:0")
        farm.wait_log("operator asked request=kickStream address=127.0.0.1 done=yes")
