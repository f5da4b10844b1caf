"""Farms that measure the quality of their renditions, in workers and in encoder processes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import DEFAULT_CONFIG, Farm
from tests.kit.waiting import until

pytestmark = pytest.mark.e2e

MEASURED = DEFAULT_CONFIG.replace(
    "[templates.live]\n", '[templates.live]\nquality_every = "1s"\n'
).replace('bitrate = "400k"\n', 'bitrate = "400k"\nquality_floor = 0.5\n')
SHARED = MEASURED.replace("workers = 1", "workers = 1\nencoder_processes = true")
NAMES = ("240p", "144p")


@pytest.mark.parametrize("config", [MEASURED, SHARED], ids=["worker", "encoder-process"])
def test_each_rendition_is_measured_and_shown(
    clip: Callable[[ClipSpec], Path], config: str
) -> None:
    with Farm(config) as farm, Publisher(farm.url("cam"), clip(ClipSpec(seconds=8.0)), loop=True):
        farm.wait_stream("cam")

        def found() -> dict[str, float]:
            rows = {row["name"]: row for row in farm.streams()["cam"]["renditions"]}
            return {name: rows[name]["quality"]["ssim"] for name in NAMES if rows[name]["quality"]}

        until(lambda: len(found()) == len(NAMES), 30, "both are measured", every=0.5)
        assert all(0.5 < ssim < 1 for ssim in found().values())
        rows = {row["name"]: row for row in farm.streams()["cam"]["renditions"]}
        assert (rows["240p"]["quality_floor"], rows["240p"]["is_low"]) == (0.5, False)
        assert rows["source"]["quality"] is None
        counters = [child["counters"] for child in farm.status()["children"]]
        assert sum(found.get("measurements", 0) for found in counters) >= len(NAMES)
        assert "SSIM" in farm.cli("status", "live/cam").stdout
