"""A backup publisher: the main one is lost and comes back, and players see pictures all along."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import pytest

from tests.kit.clients import Player, TagPublisher, flv_tags
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm, held
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MakeClip = Callable[[ClipSpec], Path]
MAIN = ClipSpec(seconds=6.0, width=320, height=180, fps=Fraction(25), gop_frames=25)
BACKUP = ClipSpec(
    seconds=24.0, width=480, height=272, fps=Fraction(25), gop_frames=12, first_number=1000
)
AGAIN = MAIN.but(seconds=8.0, first_number=2000)


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    config = held(DEFAULT_CONFIG, "10s").replace(
        "[templates.live]", '[templates.live]\nbackup = true\nbackup_return = "1s"'
    )
    with Farm(config) as running:
        yield running


def stream(farm: Farm) -> dict[str, object]:
    found = farm.status()["streams"]
    return dict(found[0]) if found else {}


def standby(farm: Farm) -> dict[str, object]:
    found = stream(farm).get("standby")
    return dict(found) if isinstance(found, dict) else {}


def test_the_main_publisher_is_lost_and_back(farm: Farm, clip: MakeClip) -> None:
    main, backup, again = (flv_tags(clip(spec)) for spec in (MAIN, BACKUP, AGAIN))
    with (
        ExitStack() as stack,
        Player(farm.url("cam", "144p"), seconds=60) as player,
        Player(farm.url("cam", "source"), seconds=60) as source,
    ):
        with TagPublisher(farm.url("cam"), main, vanish=True) as publisher:
            farm.wait_stream("cam")
            second = stack.enter_context(TagPublisher(farm.url("cam#backup"), backup))
            until(lambda: standby(farm).get("role") == "backup", 10, "it stands by")
            assert stream(farm)["role"] == "main"
            until(lambda: standby(farm)["width"] == BACKUP.width, 5, "its headers are known")
            page = farm.cli("status", "live/cam").stdout
            assert "(main)" in page
            assert "stands by" in page
            until(lambda: publisher.sent == len(main), 15, "the main clip is sent")
            until(lambda: stream(farm)["role"] == "backup", 10, "it is gone over to")
            assert standby(farm)["role"] == "main", "it is silent, and connected"
        with TagPublisher(farm.url("cam"), again) as back:
            until(lambda: stream(farm)["switches"] == 2, 15, "it is gone back from")
            assert standby(farm)["role"] == "backup"
            assert "goes over" in farm.cli("switch", "live/cam", "backup").stdout
            until(lambda: stream(farm)["role"] == "backup", 10, "by hand")
            until(lambda: back.sent == len(again), 20, "all is sent")
        until(lambda: second.sent == len(backup), 30, "all of the backup is sent")
        player.stop()
        source.stop()
    for recording in (player.recording, source.recording):
        assert recording.decode_error == ""
        assert all(a.dts_ms < b.dts_ms for a, b in itertools.pairwise(recording.video))
        times = [shown.pts_ms for shown in recording.shown]
        assert times == sorted(set(times))
        assert all(a.dts_ms < b.dts_ms for a, b in itertools.pairwise(recording.audio))
        thousands = [shown.number // 1000 for shown in recording.shown if shown.number is not None]
        runs = [thousand for thousand, _ in itertools.groupby(thousands)]
        assert runs == [0, 1, 2, 1], "no picture of two publishers is mixed with others"
    steps = [b.pts_ms - a.pts_ms for a, b in itertools.pairwise(player.recording.video)]
    assert max(steps) < 1_500, "the freeze frame stands in once no picture came for a second"
    assert player.recording.sizes() == {(256, 144)}
    farm.wait_log("publisher switched")
    assert "role=backup" in farm.log()
