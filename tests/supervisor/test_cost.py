"""What streams cost."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.ladder import Path, Rendition, SourceFormat, Template
from common.settings import DEFAULT_RENDITIONS
from supervisor.cost import Resource, amounts, stream_cost

LIVE = Template("live", DEFAULT_RENDITIONS)
HD30 = SourceFormat(1280, 720, fps=Fraction(30))


def test_a_720p30_source_on_the_built_in_ladder_costs_about_51() -> None:
    cost = stream_cost(LIVE, HD30)
    assert cost.total == pytest.approx(51.0, abs=0.1)
    assert cost.rungs == 3


def test_a_reservation_is_every_rendition_at_full_rate_and_the_largest_source() -> None:
    cost = stream_cost(LIVE, None)
    assert cost.decode == pytest.approx(0.15 * 1920 * 1080 * 60 / 1e6)
    assert cost.encode == pytest.approx(46.86, abs=0.01)


def test_a_small_source_pays_only_for_the_rungs_it_gets() -> None:
    cost = stream_cost(LIVE, SourceFormat(640, 360, fps=Fraction(30)))
    assert cost.rungs == 1
    assert cost.encode == pytest.approx(640 * 360 * 30 / 1e6)


def test_a_slower_source_pays_for_its_own_rate_and_an_unknown_one_for_the_largest() -> None:
    slow = stream_cost(LIVE, replace(HD30, fps=Fraction(15)))
    assert slow.total == pytest.approx(stream_cost(LIVE, HD30).total / 2)
    unknown = stream_cost(LIVE, replace(HD30, fps=None))
    assert unknown.decode == pytest.approx(0.15 * 1280 * 720 * 60 / 1e6)


def test_a_rendition_without_a_rate_follows_the_source() -> None:
    template = Template("x", (Rendition("a", 640, 360, 500_000, None),))
    cost = stream_cost(template, replace(HD30, fps=Fraction(50)))
    assert cost.encode == pytest.approx(640 * 360 * 50 / 1e6)


def test_costs_by_hand_replace_the_pixel_rate() -> None:
    rendition = replace(DEFAULT_RENDITIONS[0], cost=28.0)
    assert stream_cost(Template("x", (rendition,)), HD30).encode == 28.0
    whole = stream_cost(replace(LIVE, cost=40.0), HD30)
    assert whole.total == pytest.approx(40.0)
    assert whole.decode > 0


def test_each_path_draws_on_its_own_resources() -> None:
    cost = stream_cost(LIVE, HD30)
    assert amounts(cost, Path.SOFTWARE) == {Resource.CORES: cost.total}
    gpu = amounts(cost, Path.GPU_ONLY)
    assert (gpu[Resource.LOAD], gpu[Resource.SESSIONS]) == (cost.total, 3.0)
    hybrid = amounts(cost, Path.HYBRID)
    assert (hybrid[Resource.LOAD], hybrid[Resource.CORES]) == (cost.decode, cost.encode)
    assert Resource.SESSIONS not in hybrid
    assert amounts(cost, Path.PASSTHROUGH) == {}
