"""A farm that makes renditions only while somebody watches them."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.kit.clients import Player, Publisher, frames
from tests.kit.clips import ClipSpec
from tests.kit.farm import WEB_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
SPEC = ClipSpec(seconds=6.0)
CONFIG = WEB_CONFIG.replace(
    "[templates.live]\n", '[templates.live]\nrenditions_when = "watched"\nlinger = "500ms"\n', 1
)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(CONFIG) as running:
        yield running


def states(farm: Farm) -> dict[str, str]:
    stream = farm.streams().get("cam")
    return {one["name"]: one["state"] for one in stream["renditions"]} if stream else {}


COLD = {"source": "made", "240p": "cold", "144p": "cold"}


def test_what_is_played_is_made_whole_and_nothing_else(farm: Farm, clip: MakeClip) -> None:
    """Before the worker's death and after it, which nobody notices."""
    with Publisher(farm.url("cam"), clip(SPEC), loop=True):
        until(lambda: states(farm) == COLD, 20, "nothing is made")
        for _ in range(2):
            with Player(farm.url("cam", "240p"), enough=frames(45)) as player:
                until(lambda: states(farm) == COLD | {"240p": "made"}, 20, "one is made")
                player.join(30)
            assert player.error is None
            assert player.recording.decode_error == ""
            assert player.recording.number_steps(SPEC.frames) == {1}
            until(lambda: states(farm) == COLD, 20, "nothing is made again")
            os.kill(farm.child("worker")["pid"], signal.SIGKILL)
        both = [Player(farm.url("cam", name), enough=frames(30)) for name in ("240p", "144p")]
        with both[0], both[1]:
            for player in both:
                player.join(30)
        assert [player.error for player in both] == [None, None]


def test_what_encoder_processes_encode_rests_as_well(clip: MakeClip) -> None:
    """Before the death of one and after it."""
    config = CONFIG.replace("[software]\n", "[software]\nencoder_processes = true\n", 1)
    assert "encoder_processes" in config
    with Farm(config) as farm, Publisher(farm.url("cam"), clip(SPEC), loop=True):
        for _ in range(2):
            until(lambda: states(farm) == COLD, 20, "nothing is made")
            with Player(farm.url("cam", "240p"), enough=frames(45)) as player:
                until(lambda: states(farm) == COLD | {"240p": "made"}, 20, "one is made")
                with Player(farm.url("cam", "144p"), enough=frames(20)) as further:
                    further.join(30)
                player.join(30)
            assert (player.error, further.error) == (None, None)
            assert player.recording.decode_error == further.recording.decode_error == ""
            assert player.recording.number_steps(SPEC.frames) == {1}
            until(lambda: states(farm) == COLD, 20, "nothing is made again")
            os.kill(farm.child("encoder")["pid"], signal.SIGKILL)


def test_hls_names_all_renditions_and_has_that_made_which_is_asked_for(
    farm: Farm, clip: MakeClip
) -> None:
    (address,) = farm.status()["listen"]["web"]

    def ask(path: str) -> str:
        with urlopen(f"http://{address}/live/cam/{path}", timeout=15) as response:
            return str(response.read().decode())

    with Publisher(farm.url("cam"), clip(SPEC), loop=True):
        until(lambda: states(farm) == COLD, 20, "nothing is made")
        listed = ask("index.m3u8")
        (own,) = re.findall(r"240p/index\.m3u8\S*", listed)
        assert "144p/index.m3u8" in listed
        first = ask(own)
        assert re.search(r"#EXTINF:1\.0", first), "there is a whole segment"
        assert states(farm)["240p"] == "made"
        until(lambda: bool(ask(own)) and states(farm)["144p"] == "cold", 20, "one is enough")
        assert "#EXT-X-ENDLIST" not in ask(own)
