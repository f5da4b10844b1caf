"""The trial of the shape: a child kind of its own is a folder and an entry in the table of kinds.

It subscribes to one rendition of a running farm, is killed and started again, and is in status.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
ENTRY = Path(__file__).parents[1] / "kit" / "tap_farm.py"


@pytest.fixture
def farm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Farm]:
    monkeypatch.setenv("TAP_STREAM", "live/cam")
    monkeypatch.setenv("TAP_RENDITION", "240p")
    monkeypatch.setenv("PYTHONPATH", str(ENTRY.parents[2]))
    with Farm(supervisor=(sys.executable, str(ENTRY))) as running:
        yield running


def counters(farm: Farm) -> Mapping[str, int]:
    found: Mapping[str, int] = farm.child("tap")["counters"]
    return found


def pictures(farm: Farm) -> int:
    return counters(farm).get("pictures", 0)


def test_a_kind_of_its_own_gets_its_rendition_alone_and_again_after_it_was_killed(
    farm: Farm, clip: MakeClip
) -> None:
    tap: Mapping[str, Any] = farm.child("tap")
    assert (tap["name"], tap["kind"], tap["state"]) == ("tap:0", "tap", "ready")
    with Publisher(farm.url("cam"), clip(ClipSpec(seconds=8.0)), loop=True):
        farm.wait_stream("cam")
        until(lambda: pictures(farm) > 30, 10, "its rendition comes", every=0.2)
        assert counters(farm)["began with a keyframe"]
        assert counters(farm)["tags of shared"], "the sound is every rendition's"
        others = {"tags of source", "tags of 144p"}
        assert others.isdisjoint(counters(farm)), "it asked for one rendition"

        os.kill(tap["pid"], signal.SIGKILL)
        until(lambda: farm.child("tap")["restarts"] == 1, 10, "it is started again", every=0.2)
        until(lambda: pictures(farm) > 30, 10, "its rendition comes again", every=0.2)
        assert counters(farm)["began with a keyframe"]
        assert others.isdisjoint(counters(farm))
        again = farm.child("tap")
        assert (again["state"], again["pid"] != tap["pid"]) == ("ready", True)
        assert "tap:0" in farm.cli("status").stdout
