"""Hooks on a real farm: a hook that decides and is told, that is slow, and that is gone."""

import hashlib
import hmac
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher, RtmpRefused
from common.rtmp.events import VideoReceived
from tests.kit.clients import FlvTag, flv_tags, refusal_of, send_tag
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.hook_server import HookServer
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SECRET = "a-secret-of-the-tests-0123456789"
CONFIG = """
[listen]
rtmp = "127.0.0.1:0"

[devices]
use_gpus = false

[software]
workers = 1

[templates.live]
hold = "0s"
renditions = []

[templates.live.hooks]
url = "{url}hook"
secret = "{secret}"
deadline = "1s"
retry = "10s"

[templates.open]
renditions = []
"""


@pytest.fixture(scope="module")
def hook() -> Iterator[HookServer]:
    with HookServer() as running:
        yield running


@pytest.fixture(scope="module")
def farm(hook: HookServer) -> Iterator[Farm]:
    with Farm(CONFIG.format(url=hook.url, secret=SECRET)) as running:
        yield running
        log = running.log()
    for credential in (SECRET, "hunter2", "/hook"):
        assert credential not in log


@pytest.fixture(autouse=True)
def well(hook: HookServer) -> None:
    hook.answer, hook.by_event, hook.delay_s = (204, b""), {}, 0.0
    hook.requests.clear()


@pytest.fixture(scope="module")
def tags(clip: MakeClip) -> list[FlvTag]:
    return flv_tags(clip(ClipSpec(seconds=1.0)))


def publish(farm: Farm, tags: list[FlvTag], key: str, query: str = "") -> RtmpPublisher:
    peer = RtmpPublisher(farm.url(key, query=query), 30)
    peer.connect()
    for tag in tags[:20]:
        send_tag(peer, tag)
    return peer


def why(url: str) -> str:
    """How a publisher is refused; "": it is not."""
    return refusal_of(RtmpPublisher(url, 30))[1]


def test_a_hook_is_asked_told_and_its_answers_are_done(
    farm: Farm, hook: HookServer, tags: list[FlvTag]
) -> None:
    answer = b'{"allow": true, "stream": "cam7", "limits": {"max_players": 1}}'
    hook.by_event = {"on_publish": (200, answer)}
    live = publish(farm, tags, "hunter2", "user=a")
    until(lambda: "cam7" in farm.streams(), 10, "it is live under the name that the hook gave")
    with RtmpPlayer(farm.url("cam7"), 30) as player:
        assert any(isinstance(event, VideoReceived) for event in player)
        with pytest.raises(RtmpRefused, match="max_players"), RtmpPlayer(farm.url("cam7"), 30):
            pass
    until(lambda: hook.events("on_stop"), 10, "it has left")
    hook.by_event["on_play"] = 403, b'{"reason": "pay first"}'
    with pytest.raises(RtmpRefused, match="pay first"), RtmpPlayer(farm.url("cam7"), 30):
        pass
    live.close()
    until(lambda: hook.events("on_unpublish"), 10, "its end is told")

    (asked,) = hook.events("on_publish")
    (ended,) = hook.events("on_unpublish")
    assert (asked["stream"], ended["stream"]) == ("hunter2", "cam7")
    assert asked["query"] == {"user": "a"}
    assert asked["session"] == ended["session"]
    assert ended["bytes"] > 1_000
    assert ended["seconds"] > 0
    first, second = hook.events("on_play")
    (stopped,) = hook.events("on_stop")
    assert stopped["session"] == first["session"] != second["session"]
    assert stopped["rendition"] == "source"
    assert stopped["bytes"] > 1_000
    numbers = [r.document["sequence"] for r in hook.requests if r.document["stream"] == "cam7"]
    assert numbers == list(range(1, len(numbers) + 1)), "in order"
    for request in hook.requests:
        at, _, signature = request.headers["Tfarm-Signature"].partition(",sha256=")
        signed = at.removeprefix("t=").encode() + b"." + request.body
        assert signature == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert abs(int(at.removeprefix("t=")) - time.time()) < 60


def test_a_slow_hook_costs_its_own_publisher_alone(
    farm: Farm, hook: HookServer, tags: list[FlvTag]
) -> None:
    hook.delay_s = 5.0
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(why, farm.url("slow"))
        until(lambda: hook.requests, 10, "the hook is asked")
        with RtmpPublisher(farm.url("cam1", app="open"), 30):
            pass  # another app's publisher waits for nobody
        assert "does not answer; try again" in waiting.result()
    until(
        lambda: any(e["cause"] == "hook-failed" for e in farm.status()["refused_causes"]),
        5,
        "it is counted",
    )


def test_a_hook_that_lies_lets_nobody_in_and_the_log_says_what_is_wrong(
    farm: Farm, hook: HookServer
) -> None:
    hook.answer = 200, b"<html>welcome</html>"
    assert "does not answer" in why(farm.url("cam1"))
    hook.answer = 200, b'{"allow": true, "template": "nowhere"}'
    assert "does not answer" in why(farm.url("cam1"))
    hook.answer = 500, b'{"allow": true}'
    assert "does not answer" in why(farm.url("cam1"))
    for words in ("no JSON object", "template names none", "it answers HTTP 500"):
        farm.wait_log(words)


def test_a_notice_comes_later_if_the_hook_is_away(
    farm: Farm, hook: HookServer, tags: list[FlvTag]
) -> None:
    live = publish(farm, tags, "cam2")
    hook.by_event = {"on_unpublish": (503, b"")}
    live.close()
    until(lambda: len(hook.events("on_unpublish")) >= 2, 10, "it is tried again")
    hook.by_event = {}
    count = len(hook.events("on_unpublish"))
    until(lambda: len(hook.events("on_unpublish")) == count + 1, 10, "and taken")
    assert len({e["session"] for e in hook.events("on_unpublish")}) == 1
    assert len({e["sequence"] for e in hook.events("on_unpublish")}) == 1


def test_the_hooks_process_may_die(farm: Farm, hook: HookServer, tags: list[FlvTag]) -> None:
    live = publish(farm, tags, "cam3")
    os.kill(farm.child("hooks")["pid"], signal.SIGKILL)
    until(lambda: farm.child("hooks")["restarts"] > 0, 10, "it is started again")
    until(lambda: why(farm.url("cam4")) == "", 10, "and asks again")
    assert "cam3" in farm.streams()
    live.close()
    until(lambda: hook.events("on_unpublish"), 10, "what ended is told")


def test_a_hook_that_a_reload_brings_is_asked_and_one_that_it_takes_away_is_not(
    hook: HookServer,
) -> None:
    table = f'\n[templates.open.hooks]\nurl = "{hook.url}hook"\nsecret = "{SECRET}"\n'
    before = CONFIG.partition("[templates.live]")[0] + "[templates.open]\nrenditions = []\n"
    before += "[api]\nenabled = false\n"
    with Farm(before) as farm:
        url = farm.url("cam1", app="open")
        assert why(url) == ""
        farm.config.write_text(before + table)
        assert "templates.open.hooks.url" in farm.cli("reload").stdout
        hook.answer = 403, b'{"reason": "pay first"}'
        until(lambda: why(url) == "pay first", 10, "the process is there, and asks")
        farm.config.write_text(before)
        assert farm.cli("reload").returncode == 0
        until(lambda: why(url) == "", 10, "nobody is asked any more")
