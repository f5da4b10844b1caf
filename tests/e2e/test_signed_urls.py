"""Signed URLs on a real farm: `tfarm sign` makes them, clients publish and play with them."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from common.access.signed_url import Direction, Grant
from common.access.signed_url import sign as sign_token
from common.rtmp.blocking_client import RtmpPlayer, RtmpPublisher, RtmpRefused
from tests.kit.clients import Publisher, refusal, refusal_of
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.ffmpeg_commands import ffmpeg_publishes, play
from tests.kit.needs import needs_program
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SECRET = "a-secret-of-the-tests-0123456789"
CONFIG = f"""
log_level = "DEBUG"

[listen]
rtmp = "127.0.0.1:0"

[devices]
use_gpus = false

[software]
workers = 1

[templates.live]
publish_keys = ["let-me-in"]
play_rules = ["signed"]
renditions = []

[templates.live.signing.keys]
old = "another-secret-{SECRET}"
k1 = "{SECRET}"
"""


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running
        shown = running.log() + str(running.status())
        shown += " ".join(word for process in running.processes() for word in process.cmdline())
        causes = {entry["cause"] for entry in running.status()["refused_causes"]}
    assert causes >= {"forged", "other-scope", "not-signed", "used"}
    for credential in ("let-me-in", SECRET, "token=k1", "token=old"):
        assert credential not in shown


@pytest.fixture
def sign(farm: Farm, tmp_path: Path) -> Callable[..., str]:
    """`tfarm sign`, for this farm's address."""
    config = tmp_path / "farm.toml"
    config.write_text(CONFIG)

    def run(direction: str, address: str, *options: str) -> str:
        base = farm.url("x").partition("/live")[0]
        code = "from supervisor.commands.line.cli import main; main()"
        command = [sys.executable, "-c", code, "sign", str(config), direction, address]
        done = subprocess.run(
            [*command, "--base", base, *options],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        return done.stdout.strip()

    return run


def why(url: str) -> str:
    """How a player is refused; "": it is not."""
    return refusal_of(RtmpPlayer(url, 30))[1]


def test_a_signed_url_publishes_and_plays_and_nothing_else_does(
    farm: Farm, sign: Callable[..., str], clip: MakeClip
) -> None:
    publish = sign("publish", "live/cam1")
    assert "not signed for publishing" in refusal(sign("play", "live/cam1"), "w"), "as ffmpeg says"
    assert "another stream" in refusal(publish.replace("cam1", "cam2"), "w")
    with Publisher(publish, clip(ClipSpec(seconds=8.0)), loop=True):
        until(lambda: "cam1" in farm.streams(), 10, "cam1 is live")
        assert why(sign("play", "live/cam1")) == ""
        assert why(sign("play", "live/cam1", "--key-id", "old")) == "", "both keys are good"
        assert why(farm.url("cam1", query="key=let-me-in")).startswith("the URL is not signed")
        once = sign("play", "live/cam1/source", "--once")
        assert why(once) == ""
        assert why(once) == "the URL is for one use, and was used: get a new one"
        elsewhere = sign("play", "live/cam1", "--network", "192.0.2.0/24")
        assert why(elsewhere) == "the URL is not for the address 127.0.0.1"
        assert why(sign("play", "live/cam1")[:-5]) == "the URL's token is cut off, or none"
    with RtmpPublisher(farm.url("cam3", query="key=let-me-in"), 30):
        pass


@needs_program("ffmpeg")
def test_ffmpeg_publishes_and_plays_with_signed_urls(
    farm: Farm, sign: Callable[..., str], clip: MakeClip
) -> None:
    path = clip(ClipSpec(seconds=8.0))
    with ffmpeg_publishes(path, sign("publish", "live/cam5")):
        until(lambda: "cam5" in farm.streams(), 10, "cam5 is live")
        for url, words in ((sign("play", "live/cam5"), ""), (farm.url("cam5"), "not signed")):
            command = (*play(url), "-frames:v", "5", "-f", "null", "-")
            played = subprocess.run(
                command, capture_output=True, text=True, timeout=30, check=False
            )
            assert (played.returncode == 0) == (not words), played.stderr
            assert words in played.stderr


def test_a_url_for_one_use_is_used_once_whichever_process_one_comes_to() -> None:
    several = CONFIG + "[ingest]\nprocesses = 2\n[egress]\nprocesses = 2\n"
    with Farm(several) as farm:
        grant = Grant("k1", int(time.time()) + 600, once="abcdefgh")
        token = sign_token(SECRET, Direction.PUBLISH, "live", "cam9", grant)
        url = farm.url("cam9", query=f"token={token}")
        with RtmpPublisher(url, 30):
            pass
        # the others are told a moment later; the kernel spreads connections over both
        until(lambda: "was used" in refusal_of(RtmpPublisher(url, 30))[1], 10, "it was used")
        for _ in range(8):
            with pytest.raises(RtmpRefused, match="was used"), RtmpPublisher(url, 30):
                pass
