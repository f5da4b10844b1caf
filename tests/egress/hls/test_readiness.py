"""egress/hls/readiness.py: what can be told or played, and how long to wait for it."""

import pytest

from egress.hls.readiness import due_s, first_asked, lacks
from egress.hls.variants import multivariant
from tests.kit.hls_demand import ON_DEMAND, DemandRig
from tests.kit.hls_rig import NAMES, HlsRig


def test_nothing_is_taken_that_nobody_asks_for_and_all_is_listed() -> None:
    demand = DemandRig()
    assert demand.hls.listed == list(NAMES)
    assert not demand.hls.feeds
    assert first_asked(demand.hls) == ["360p"], "the smallest is made for the sound"
    assert lacks(demand.hls, ["360p"], 0.0, to_list=True)
    demand.hls.ask("360p", 0.0)
    demand.play(4_000, 4_800)
    assert not lacks(demand.hls, ["360p"], 0.8, to_list=True), "the list needs no whole segment"
    assert lacks(demand.hls, ["360p"], 0.8), "a playlist does"
    text = multivariant(demand.hls, NAMES)
    for name in NAMES:
        assert f"{name}/index.m3u8" in text
    assert text.count('CODECS="avc1.') == 2
    assert demand.rig.stream.renditions["360p"].is_subscribed
    assert not demand.rig.stream.renditions["720p"].is_subscribed


def test_what_is_not_known_yet_is_waited_for_before_all_are_listed() -> None:
    rig = HlsRig(template=ON_DEMAND)
    rig.sound_header()
    rig.headers(names=["360p"])
    rig.hls.ask("360p", 0.0)
    rig.play(4_000, 5_000, names=["360p"])
    rig.hls.follow()
    assert rig.hls.undescribed == ["720p"]
    assert lacks(rig.hls, ["360p"], 0.9, to_list=True)
    assert not lacks(rig.hls, ["360p"], 1.1, to_list=True), "not for ever"
    rig.headers(names=["720p"], is_resting=True)
    rig.hls.follow()
    assert not rig.hls.undescribed


def test_who_asks_waits_for_a_whole_segment_and_its_beginning() -> None:
    demand = DemandRig()
    demand.hls.opened_s = 1.0
    assert due_s(demand.hls, ["360p"]) == pytest.approx(4.0)
    demand.hls.ask("360p", 50.0)
    demand.hls.ask("360p", 51.0)
    assert due_s(demand.hls, ["360p"]) == pytest.approx(55.0)
