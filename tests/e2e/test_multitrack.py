"""A publisher of several video tracks: those of a rendition's size are passed on, not encoded."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.clients import Player, TagPublisher, flv_tags, frames
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.multitrack import merged
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
FIRST = ClipSpec(seconds=14, audio=False, b_frames=0)
SMALL = FIRST.but(width=426, height=240, bitrate_bps=200_000)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with Farm(f"sound = false\n{DEFAULT_CONFIG}") as running:
        yield running


def states(farm: Farm) -> dict[str, str]:
    stream = farm.streams().get("cam")
    return {one["name"]: one["state"] for one in stream["renditions"]} if stream else {}


PASSED = {"source": "made", "240p": "passed", "144p": "made"}
MADE = PASSED | {"240p": "made"}


def test_a_track_is_passed_and_made_by_the_farm_once_it_stops(farm: Farm, clip: MakeClip) -> None:
    """Nobody who plays it loses his stream; the frames that were coded are those he gets."""
    first, small = flv_tags(clip(FIRST)), flv_tags(clip(SMALL))
    stops = [tag for tag in small if tag.dts_ms < 4_000]
    with TagPublisher(farm.url("cam"), merged(first, {1: stops})) as publisher:
        until(lambda: states(farm) == PASSED, 10, "a track is passed")
        with (
            Player(farm.url("cam", "240p"), enough=frames(200)) as passed,
            Player(farm.url("cam", "144p"), enough=frames(30)) as made,
        ):
            made.join(20)
            until(lambda: states(farm) == MADE, 20, "the farm makes it itself")
            passed.join(30)
        assert publisher.error is None
    assert (made.error, passed.error) == (None, None)
    assert passed.recording.sizes() == {(426, 240)}
    assert passed.recording.decode_error == ""
    assert passed.recording.number_steps(FIRST.frames) >= {1}
    farm.wait_log("video track 1 stands in for 240p no more")
    assert "denied" not in farm.log()
