"""Keys of single streams, takeovers, kicks and bans on a real farm, by address and by key."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher, RtmpRefused
from tests.kit.clients import FlvTag, Publisher, flv_tags, refusal, refusal_of, send_tag
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
HERE, THERE = "127.0.0.1", "127.0.0.2"
CONFIG = """
[listen]
rtmp = "127.0.0.1:0"

[devices]
use_gpus = false

[software]
workers = 1

[ingest]
exempt_networks = []

[templates.live]
hold = "30s"
publish_keys = ["of-the-app"]
takeover = "always"
renditions = []

[templates.live.stream_keys]
cam1 = "of-cam1-alone"
cam2 = { publish = ["of-cam2", "of-cam2-next"], play = "watch-cam2" }

[templates.free]
hold = "30s"
renditions = []
"""
DENIED, IN_USE = "NetStream.Publish.Denied", "NetStream.Publish.BadName"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running
        log = running.log()
    assert "of-" not in log, "a credential stands in the log"


@pytest.fixture(scope="module")
def tags(clip: MakeClip) -> list[FlvTag]:
    return flv_tags(clip(ClipSpec(seconds=1.0)))


class Live:
    """A publisher with some pictures on the air."""

    def __init__(self, url: str, tags: list[FlvTag], source: str = HERE) -> None:
        self.peer = RtmpPublisher(url, 10, source=source)
        self.peer.connect()
        for tag in tags[:20]:
            send_tag(self.peer, tag)


def told(url: str, source: str = HERE) -> tuple[str, str]:
    """How a publisher is refused; nothing if it is let in."""
    return refusal_of(RtmpPublisher(url, 10, source=source))


def wait_live(farm: Farm, key: str) -> None:
    until(lambda: key in farm.streams(), 10, f"{key} is live")


def test_a_stream_with_its_own_key_is_published_with_that_alone(farm: Farm, clip: MakeClip) -> None:
    wrong = "the publish key (?key=...) of this stream is wrong"
    assert told(farm.url("cam1", query="key=of-the-app")) == (DENIED, wrong)
    assert wrong in refusal(farm.url("cam1", query="key=of-cam2"), "w"), "as ffmpeg shows it"
    with Publisher(farm.url("cam1", query="key=of-cam1-alone"), clip(ClipSpec())):
        wait_live(farm, "cam1")
    farm.wait_gone("cam1")
    assert told(farm.url("cam9", query="key=of-the-app")) == ("", "")


def test_a_stream_with_its_own_play_key_is_played_with_that_alone(
    farm: Farm, tags: list[FlvTag]
) -> None:
    live = Live(farm.url("cam2", query="key=of-cam2"), tags)
    wait_live(farm, "cam2")
    with pytest.raises(RtmpRefused), RtmpPlayer(farm.url("cam2"), 30):
        pass
    with RtmpPlayer(farm.url("cam2", query="key=watch-cam2"), 30):
        pass
    live.peer.close()
    farm.wait_gone("cam2")


def test_takeover_is_for_the_same_key_wherever_it_comes_from(
    farm: Farm, tags: list[FlvTag]
) -> None:
    first = Live(farm.url("cam2", query="key=of-cam2"), tags)
    assert told(farm.url("cam2", query="key=of-the-app"))[0] == DENIED
    second = Live(farm.url("cam2", query="key=of-cam2-next"), tags, THERE)
    farm.wait_log("publisher replaced")
    assert f"by={THERE}:" in farm.log()
    second.peer.abort()
    first.peer.abort()
    third = Live(farm.url("cam2", query="key=of-cam2"), tags)
    third.peer.close()
    farm.wait_gone("cam2")


def test_without_keys_a_stream_that_is_held_waits_for_its_own_address(
    farm: Farm, tags: list[FlvTag]
) -> None:
    Live(farm.url("held", app="free"), tags).peer.abort()
    until(lambda: farm.streams()["held"]["state"] == "held", 10)
    code, words = told(farm.url("held", app="free"), THERE)
    assert code == IN_USE
    assert "more for its publisher: until then only one from the same address may go on" in words
    back = Live(farm.url("held", app="free"), tags)
    back.peer.close()
    farm.wait_gone("held")
    assert told(farm.url("held", app="free"), THERE) == ("", ""), "it has ended"


def test_who_is_kicked_does_not_come_back_under_another_name(
    farm: Farm, tags: list[FlvTag]
) -> None:
    live = Live(farm.url("kicked", app="free"), tags)
    assert farm.cli("kick", "free/kicked", "--for", "10m").returncode == 0
    until(lambda: "kicked" not in farm.streams(), 10)
    live.peer.abort()
    _, words = told(farm.url("renamed", app="free"))
    assert words.startswith("ended by the operator; this address is refused for 10 min more")
    assert told(farm.url("renamed", app="free"), THERE) == ("", "")
    assert told(farm.url("cam9", query="key=of-the-app")) == ("", ""), "it has a key of its own"
    assert farm.cli("kick", "--undo", "free/kicked").returncode == 0
    assert told(farm.url("renamed", app="free")) == ("", "")
    assert "by=uid " in farm.log()


def test_a_ban_cuts_off_what_is_live_and_outlives_the_supervisor(
    farm: Farm, tags: list[FlvTag]
) -> None:
    live = Live(farm.url("banned", app="free"), tags, THERE)
    wait_live(farm, "banned")
    player = RtmpPlayer(farm.url("banned", app="free"), 10, source=THERE)
    player.connect()
    done = farm.cli("ban", THERE, "--for", "1h", "--reason", "it floods")
    assert done.returncode == 0, done.stderr
    until(lambda: "banned" not in farm.streams(), 10)
    until(lambda: farm.status()["totals"]["players"] == 0, 10)
    live.peer.abort()
    player.abort()
    code, words = told(farm.url("banned", app="free"), THERE)
    assert code == "NetConnection.Connect.Rejected"
    assert words.startswith("this address is banned by the operator for ")
    with pytest.raises(RtmpRefused), RtmpPlayer(farm.url("x", app="free"), 10, source=THERE):
        pass
    assert told(farm.url("banned", app="free")) == ("", "")
    assert farm.process is not None
    farm.process.kill()
    farm.process.wait()
    farm.start()  # it adopts the children
    assert told(farm.url("banned", app="free"), THERE)[0] == "NetConnection.Connect.Rejected"
    farm.stop()
    farm.start()  # all processes are new
    assert told(farm.url("banned", app="free"), THERE)[0] == "NetConnection.Connect.Rejected"
    listed = farm.cli("ban", "--list").stdout
    assert f"{THERE}/32 for 1 h 0 min more" in listed
    assert "it floods" in listed
    assert f"1 ban (tfarm ban --list): {THERE}/32" in farm.cli("status").stdout
    assert farm.cli("unban", THERE).returncode == 0
    assert told(farm.url("banned", app="free"), THERE) == ("", "")
    assert farm.cli("unban", THERE).returncode == 1
    assert farm.cli("ban", "nonsense").returncode == 1


def test_twenty_guesses_a_second_get_few_answers_and_a_right_key_is_let_in_at_once(
    farm: Farm,
) -> None:
    answers: list[str] = []
    stop = threading.Event()
    source = "127.0.0.3"

    def guess() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            url = farm.url("cam1", query=f"key=guess{number}")
            peer = RtmpPublisher(url, 60, source=source)
            peers.append(peer)
            try:
                peer.connect()
            except RtmpRefused as refused:
                answers.append(refused.code)
            except OSError:
                return

    peers: list[RtmpPublisher] = []
    threads = [threading.Thread(target=guess, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) >= 4, 30, "some are answered, the last one late")
    began_at = len(answers)
    assert told(farm.url("cam1", query="key=of-cam1-alone"), source) == ("", "")
    late = len(answers) - began_at
    stop.set()
    assert late <= 2, "it did not wait as long as guesses do"
    assert set(answers) == {DENIED}
    for peer in peers:
        peer.abort()
