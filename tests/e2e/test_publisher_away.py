"""A publisher goes and comes back: what its players see meanwhile, by decoded pictures."""

import itertools
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from tests.kit.clients import Player, TagPublisher, flv_tags
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, held
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
FIRST = ClipSpec(seconds=2.0, width=320, height=180, fps=Fraction(25), gop_frames=25)
OTHER = FIRST.but(width=480, height=272, profile="high", first_number=1000, b_frames=0)


def is_live(farm: Farm, app: str) -> bool:
    return any(stream["is_live"] for stream in farm.status()["streams"] if stream["app"] == app)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    """An app for each kind of filler."""
    freezes = held(DEFAULT_CONFIG, "10s")
    template = freezes[freezes.index("[templates.live]") :].replace("freeze", "none")
    with Farm(freezes + template.replace("templates.live", "templates.none")) as running:
        yield running


@pytest.mark.parametrize("filler", ["freeze", "none"])
def test_another_encoder_goes_on_where_the_first_was_lost(
    farm: Farm, filler: str, clip: MakeClip
) -> None:
    app = "live" if filler == "freeze" else "none"
    first, other = flv_tags(clip(FIRST)), flv_tags(clip(OTHER))
    with Player(farm.url("cam", "144p", app=app), seconds=30) as player:
        with TagPublisher(farm.url("cam", app=app), first, vanish=True) as publisher:
            until(lambda: publisher.sent == len(first), 15, "the first clip is sent")
        until(lambda: not is_live(farm, app), 10, "it is held")
        seen = len(player.recording.video)
        if filler == "freeze":
            until(lambda: len(player.recording.video) > seen + 20, 10, "pictures meanwhile")
        else:
            time.sleep(1.0)  # sleep: nothing comes, which no state shows
        with TagPublisher(farm.url("cam", app=app), other) as publisher:
            until(lambda: publisher.sent == len(other), 15, "the other clip is sent")
            until(
                lambda: (
                    player.recording.video[-1].pts_ms >= player.recording.audio[-1].pts_ms - 300
                ),
                5,
                "the last pictures",
            )
        player.stop()
    recording = player.recording
    assert recording.decode_error == ""
    assert all(a.pts_ms < b.pts_ms for a, b in itertools.pairwise(recording.video))
    assert all(a.dts_ms < b.dts_ms for a, b in itertools.pairwise(recording.audio))
    assert recording.sizes() == {(256, 144)}
    numbers = [shown.number for shown in recording.shown]
    assert None not in numbers
    last = max(number for number in numbers if number is not None and number < 1000)
    repeats = numbers.count(last)
    assert last >= FIRST.frames - 3
    assert repeats >= 10 if filler == "freeze" else repeats <= 2
    back = [shown for shown in recording.shown if (shown.number or 0) >= 1000]
    if filler == "freeze":  # on a busy machine freeze frames have the time of the first ones
        assert back[0].number in range(1000, 1000 + FIRST.gop_frames)
    else:
        assert back[0].number == 1000
    assert back[0].number != 1000 or back[0].pts_ms in recording.keyframes_ms
    if filler == "freeze":
        gaps = [b.pts_ms - a.pts_ms for a, b in itertools.pairwise(recording.audio)]
        assert max(gaps) < 700, "silence"
        steps = [b.pts_ms - a.pts_ms for a, b in itertools.pairwise(recording.video)]
        assert max(steps) < 700
