"""What `tfarm fit` and status say of the room that is left."""

import pytest

from common.config.ladder import Pipeline
from common.config.settings import Settings, Software
from supervisor.commands.status.free_rows import fit, free_rows, free_words
from supervisor.farm.admission.free_streams import FreeStreams
from supervisor.placement.capacity import HD30
from supervisor.placement.cost import Resource
from tests.kit.farm_rig import Rig

BOTH = {Pipeline.GPU_ONLY: 17, Pipeline.SOFTWARE: 3}
ENDS = {Pipeline.GPU_ONLY: Resource.LOAD, Pipeline.SOFTWARE: Resource.CORES}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            FreeStreams(HD30, 1, {Pipeline.SOFTWARE: 1}, {Pipeline.SOFTWARE: Resource.CORES}, "w"),
            "room for 1 more stream of 720p30; what ends first: cores; one more is refused: w",
        ),
        (
            FreeStreams(HD30, 20, BOTH, ENDS, "w", is_passed_through=True),
            "room for 20 more streams of 720p30 (17 by GPUs alone, 3 by the host's cores); "
            "what ends first: load; one more is passed through: w",
        ),
        (
            FreeStreams(HD30, why="drained"),
            "room for 0 more streams of 720p30; one more is refused: drained",
        ),
        (FreeStreams(HD30, 1000, is_more=True), "room for more than 1000 more streams of 720p30"),
    ],
)
def test_it_is_said_in_words(found: FreeStreams, words: str) -> None:
    assert free_words(found) == words


def test_status_has_the_same_by_app() -> None:
    row = free_rows({"live": FreeStreams(HD30, 20, BOTH, ENDS, "w")})["live"]
    assert (row["source"], row["count"], row["ends_first"]) == ("720p30", 20, "load")
    assert row["by_pipeline"] == {"gpu-only": 17, "software": 3}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("vod", "", "h264", 8), 'no app "vod" here; there are: live'),
        (("live", "hd", "h264", 8), "720p30 or 1280x720@30"),
        (("live", "1x720@30", "h264", 8), "720p30 or 1280x720@30"),
        (("live", "10x720@30", "h264", 8), "16 to 16384 pixels"),
        (("live", "", "vp9", 8), "vp9"),
        (("live", "", "h265", 12), "12 bits"),
    ],
)
def test_what_cannot_be_said_is_refused_in_words(
    asked: tuple[str, str, str, int], why: str
) -> None:
    found = fit(Rig().farm, *asked)
    assert isinstance(found, str)
    assert why in found


def test_a_source_is_asked_for_by_size_rate_codec_and_bits() -> None:
    rig = Rig(Settings(software=Software(capacity=500)))
    found = fit(rig.farm, "live", "1920x1080@60", "h265", 10)
    assert isinstance(found, dict)
    assert found["live"]["source"] == "1080p60"
    assert found["live"]["count"] > 0
    small = fit(rig.farm, "", "640x360@25", "h264", 8)
    assert isinstance(small, dict)
    assert small["live"]["count"] > found["live"]["count"]
