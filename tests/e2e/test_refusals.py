"""Who may not publish or play is told why, in the words that clients show to people."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.process.log import key_hash, stream_label
from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher, RtmpRefused
from common.rtmp.events import VideoReceived
from tests.kit.clients import Publisher, refusal
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, tfarm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SECRET = "open-sesame"
CONFIG = (
    DEFAULT_CONFIG
    + f"""
[templates.locked]
hold = "0s"
publish_keys = ["{SECRET}"]
play_keys_sha256 = ["{hashlib.sha256(b"ticket").hexdigest()}"]
renditions = []
"""
)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running
        log = running.log()
    for credential in (SECRET, "ticket", "cam-secret"):
        assert credential not in log, "a credential stands in the log"


def publish_refusal(url: str) -> RtmpRefused:
    with pytest.raises(RtmpRefused) as refused, RtmpPublisher(url, 30):
        pass
    return refused.value


def play_refusal(url: str) -> RtmpRefused:
    with pytest.raises(RtmpRefused) as refused, RtmpPlayer(url, 30):
        pass
    return refused.value


def test_an_unknown_app_is_refused_by_name(farm: Farm) -> None:
    told = publish_refusal(farm.url("cam-secret", app="nope"))
    assert told.code == "NetConnection.Connect.InvalidApp"
    assert "nope" in told.description


@pytest.mark.parametrize("mode", ["w", "r"])
def test_libavformat_shows_the_reason(farm: Farm, mode: str) -> None:
    assert "nope" in refusal(farm.url("cam-secret", app="nope"), mode)


def test_libavformat_shows_why_a_key_is_refused(farm: Farm) -> None:
    assert "key" in refusal(farm.url("cam-secret", app="locked"), "w")


def test_an_absurdly_long_stream_key_is_refused(farm: Farm) -> None:
    told = publish_refusal(farm.url("k" * 3000))
    assert told.code == "NetStream.Publish.BadName"
    assert "longer" in told.description


def test_an_empty_stream_key_is_refused(farm: Farm) -> None:
    told = publish_refusal(farm.url("") + "/")
    assert told.code == "NetStream.Publish.BadName"


def test_the_same_stream_key_twice_is_refused_while_the_first_goes_on(
    farm: Farm, clip: MakeClip
) -> None:
    with Publisher(farm.url("cam-secret"), clip(ClipSpec(seconds=4.0))) as first:
        farm.wait_stream("cam-secret")
        told = publish_refusal(farm.url("cam-secret"))
        assert told.code == "NetStream.Publish.BadName"
        sent = first.sent_frames
        assert "already" in refusal(farm.url("cam-secret"), "w") or told.description
        first.join(15)
        assert first.error is None
        assert first.sent_frames > sent


@pytest.mark.parametrize("query", ["", "key=", "key=wrong", "key=open-sesam"])
def test_a_wrong_publish_key_is_denied(farm: Farm, query: str) -> None:
    told = publish_refusal(farm.url("cam-secret", app="locked", query=query))
    assert told.code == "NetStream.Publish.Denied"


@pytest.mark.parametrize("query", ["", "key=wrong", "key=open-sesame"])
def test_a_wrong_play_key_fails(farm: Farm, query: str) -> None:
    told = play_refusal(farm.url("cam-secret", app="locked", query=query))
    assert told.code == "NetStream.Play.Failed"


def test_the_right_keys_open_both_sides(farm: Farm, clip: MakeClip) -> None:
    publish_url = farm.url("cam-secret", app="locked", query=f"key={SECRET}")
    with Publisher(publish_url, clip(ClipSpec(seconds=4.0))) as publisher:
        assert publisher.started.wait(10)
        with RtmpPlayer(farm.url("cam-secret", app="locked", query="key=ticket")) as player:
            assert any(isinstance(event, VideoReceived) for event in player)


def test_a_rendition_that_is_not_in_the_template_is_not_found(farm: Farm) -> None:
    told = play_refusal(farm.url("cam-secret", "999p"))
    assert told.code == "NetStream.Play.StreamNotFound"
    assert "999p" in told.description


def test_status_says_who_was_refused_why_and_how_often_and_the_log_has_the_label(
    clip: MakeClip,
) -> None:
    with Farm(CONFIG) as farm, Publisher(farm.url("busy"), clip(ClipSpec(seconds=8.0))):
        farm.wait_stream("busy")
        for query in ("key=wrong", "key=wrong", ""):
            publish_refusal(farm.url("cam7", app="locked", query=query))
        publish_refusal(farm.url("cam7", app="nope"))
        publish_refusal(farm.url("busy"))
        play_refusal(farm.url("busy", "999p"))

        def found() -> dict[tuple[str, str], dict[str, Any]]:
            return {(e["what"], e["cause"] or e["reason"]): e for e in farm.status()["refusals"]}

        until(lambda: len(found()) == 5, 5, "all are in the status")
        wrong, missing = found()["publish", "wrong-key"], found()["publish", "no-key"]
        label = stream_label("locked/cam7")
        assert (wrong["stream"], wrong["name"], wrong["count"]) == (label, "locked/cam7", 2)
        assert (missing["reason"], missing["count"]) == ("denied", 1)
        assert missing["words"] == "the publish key (?key=...) of locked is missing"
        assert wrong["address"].startswith("127.0.0.1:")
        assert found()["publish", "name-in-use"]["stream"] == stream_label("live/busy")
        assert found()["publish", "name-in-use"]["name"] == "", "a credential there"
        assert found()["play", "no-rendition"]["stream"] == stream_label("live/busy")
        assert f"publish refused stream={label} peer=127.0.0.1:" in farm.log()
        assert f"publish refused stream={stream_label('live/busy')} " in farm.log()
        farm.wait_log(f"player closed stream={stream_label('live/busy')} ")
        assert "stream=?" not in farm.log()
        shown = " ".join(farm.cli("status").stdout.split())
        assert "locked/cam7" in shown
        assert farm.cli("status", "-v").stdout.count(stream_label("live/busy")) == 2
        assert f"no such app (sha256 {key_hash('nope')}" in shown
    assert tfarm("label", "locked/cam7").stdout == f"{label}\n"
    assert tfarm("label", "nope").stdout == f"{key_hash('nope')}\n"


def test_a_full_farm_refuses_before_start_and_has_room_again_after(clip: MakeClip) -> None:
    config = DEFAULT_CONFIG.replace("workers = 1", "workers = 1\ncapacity = 100")
    config = config.replace('gop = "1s"', 'gop = "1s"\ncost = 60')
    with Farm(config) as farm:
        assert "room for 1 more stream" in farm.cli("fit", "live").stdout
        with Publisher(farm.url("first"), clip(ClipSpec(seconds=4.0))) as first:
            farm.wait_stream("first")
            assert farm.status()["free_streams"].keys() == {"live"}
            [(app, fits)] = json.loads(farm.cli("fit", "--json").stdout).items()
            assert (app, fits["count"], fits["ends_first"]) == ("live", 0, "cores")
            told = publish_refusal(farm.url("second"))
            assert told.code == "NetStream.Failed"
            assert "full" in told.description
            first.stop()
        farm.wait_gone("first")
        accepted = threading.Event()
        with RtmpPublisher(farm.url("second"), 30):
            accepted.set()
        assert accepted.is_set()
