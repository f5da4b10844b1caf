"""Drains and rebalancing: streams that move while both devices run."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import SourceFormat
from common.ipc.control_messages import EndStream, Placement
from common.media.clock import ClockReference
from supervisor.farm.actions import Send
from supervisor.farm.recovery.migration import SETTLE_S, next_splice, time_of
from supervisor.farm.stream import Stream
from supervisor.placement.cost import Resource
from tests.kit.children import CPU0, CPU1, INGEST0
from tests.kit.farm_rig import HD, SMALL, MakeRig, Rig


def live(rig: Rig, key: str, source: SourceFormat = SMALL) -> Placement:
    """A stream whose time runs since 10 s before now."""
    placed = rig.publish(key, source)
    tell(rig, key, source)
    return placed


def tell(rig: Rig, key: str, source: SourceFormat = SMALL, **fields: Any) -> None:
    """Its ingest's heartbeat."""
    values = {"format": source, "reference": ClockReference(5_000, rig.now - 10), "gop_ms": 1000}
    status = rig.publisher(key, **(values | fields))
    rig.farm.state.update_publisher(INGEST0, status, rig.now)


@given(
    reference_ms=st.integers(0, 2**33),
    since_s=st.floats(0, 1e5),
    gop_ms=st.integers(100, 10_000),
    source_gop_ms=st.integers(0, 60_000),
)
@settings(max_examples=50)
def test_a_splice_point_is_a_keyframe_of_the_grid_and_leaves_time_to_get_ready(
    reference_ms: int, since_s: float, gop_ms: int, source_gop_ms: int
) -> None:
    publisher = Rig().publisher(reference=ClockReference(reference_ms, 100.0), gop_ms=source_gop_ms)
    now = 100.0 + since_s
    splice_ms = next_splice(publisher, gop_ms, now)
    assert splice_ms % gop_ms == 0
    lead_s = time_of(publisher, splice_ms) - now
    assert 0.699 <= lead_s <= 0.701 + 5.0 + gop_ms / 1000


def test_a_drained_devices_streams_move_at_a_splice_point_and_it_takes_no_more(
    rig: Rig,
) -> None:
    first = live(rig, "live/a")
    assert first.worker is not None
    actions = rig.operator.drain([first.worker], rig.now)
    placed = rig.only(actions, Placement, INGEST0)
    assert placed.request_id == 0
    assert placed.generation > first.generation
    assert placed.worker != first.worker
    assert placed.renditions == first.renditions
    assert placed.resume_after_ms is None
    # now is 15 s of stream time; the default GOP is of 2 s, the source's of 1 s
    assert placed.splice_ms == 18_000
    assert first.worker is not None
    assert rig.operator.drain([first.worker], rig.now) == []
    assert [live(rig, f"live/{key}").worker for key in "bc"] == [placed.worker] * 2
    rig.operator.undrain([first.worker], rig.now)
    assert live(rig, "live/d").worker == first.worker


def test_a_drain_outlives_the_worker(rig: Rig) -> None:
    rig.operator.drain([CPU0], rig.now)
    rig.down(CPU0)
    rig.up(CPU0)
    assert live(rig, "live/a").worker == CPU1


def test_what_has_not_begun_moves_without_a_splice_point(rig: Rig) -> None:
    reserved = rig.only(rig.ask(), Placement)
    assert reserved.worker is not None
    placed = rig.only(rig.operator.drain([reserved.worker], rig.now), Placement)
    assert placed.splice_ms is None


def test_what_has_just_begun_moves_at_a_splice_point_once_its_time_is_known(rig: Rig) -> None:
    """Its first heartbeat is up to a second away, and players see it by then."""
    first = rig.publish("live/a", SMALL)
    assert first.worker is not None
    assert rig.operator.drain([first.worker], rig.now) == []
    assert rig.farm.migration.stuck == {}
    assert rig.farm.next_deadline() <= rig.now + 0.3
    assert rig.tick(0.3) == []
    status = rig.publisher(
        "live/a", format=SMALL, reference=ClockReference(0, rig.now - 1), gop_ms=1000
    )
    rig.farm.state.update_publisher(INGEST0, status, rig.now)
    placed = rig.only(rig.tick(0.3), Placement)
    assert placed.worker != first.worker
    assert placed.splice_ms is not None


def test_without_room_a_stream_stays_with_the_reason_until_room_comes(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    placed = live(rig, "live/a")
    assert rig.operator.drain([CPU0], rig.now) == []
    assert "cpu:0" in rig.farm.migration.stuck[placed.stream_id]
    assert rig.stream().generation == placed.generation
    assert rig.farm.next_deadline() == float("inf")
    rig.expect(CPU1)
    moved = rig.only(rig.up(CPU1), Placement)
    assert moved.worker == CPU1
    assert rig.farm.migration.stuck == {}


def test_a_drain_of_cores_that_are_booked_beyond_their_limit_moves_what_it_can(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(cores=1, workers=2)
    low = replace(HD, fps=Fraction(10))
    here = live(rig, "live/a", HD).worker
    assert here is not None
    rig.format("live/a", low)
    live(rig, "live/b", HD)
    rig.format("live/a", HD)
    tell(rig, "live/a", HD)
    booked = rig.farm.state.fleet.used(Resource.CORES)
    assert booked > rig.farm.state.fleet.host[Resource.CORES]
    moved = rig.only(rig.operator.drain([here], rig.now), Placement)
    assert moved.worker not in (None, here)
    assert rig.farm.state.fleet.used(Resource.CORES) == booked


def test_what_a_new_worker_could_not_begin_waits_for_the_next_keyframe(rig: Rig) -> None:
    """A GOP of more than ingest keeps: the old worker would end, the new one wait."""
    first = live(rig, "live/a")
    tell(rig, "live/a", can_move=False)
    assert first.worker is not None
    assert rig.operator.drain([first.worker], rig.now) == []
    assert "keyframe" in rig.farm.migration.stuck[first.stream_id]
    assert rig.farm.migration.later == {first.stream_id}
    assert rig.tick(0.3) == []
    tell(rig, "live/a")
    placed = rig.only(rig.tick(0.3), Placement)
    assert placed.worker != first.worker
    assert placed.splice_ms is not None
    assert (rig.farm.migration.stuck, rig.farm.migration.later) == ({}, set())


def test_waiting_for_a_keyframe_does_not_place_all_others_again(
    make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(workers=1)
    for key in "abc":
        live(rig, f"live/{key}")
    tell(rig, "live/b", can_move=False)
    rig.operator.drain([CPU0], rig.now)
    tried: list[str] = []
    move = rig.farm.migration.move

    def watched(stream: Stream, *args: Any) -> Any:
        tried.append(stream.stream_id)
        return move(stream, *args)

    monkeypatch.setattr(rig.farm.migration, "move", watched)
    rig.tick(0.3)
    assert tried == ["live/b"]
    assert sorted(rig.farm.migration.stuck) == ["live/a", "live/b", "live/c"]
    tell(rig, "live/b")
    rig.tick(0.3)
    assert rig.farm.migration.later == set()
    assert "cpu:0" in rig.farm.migration.stuck[rig.stream("live/b").stream_id]
    assert rig.farm.next_deadline() == float("inf"), "now it needs room as they do"
    tried.clear()
    rig.expect(CPU1)
    assert len(rig.up(CPU1)) == 3
    assert sorted(tried) == ["live/a", "live/b", "live/c"]


def test_rebalancing_leaves_it_where_it_is(rig: Rig) -> None:
    rig.operator.drain([CPU1], rig.now)
    for key in "ab":
        live(rig, f"live/{key}")
        tell(rig, f"live/{key}", can_move=False)
    rig.operator.undrain([CPU1], rig.now)
    assert rig.farm.migration.rebalance(rig.now) == []
    assert rig.farm.migration.stuck == {}


def test_a_stream_on_its_way_moves_on_only_when_it_has_arrived(make_rig: MakeRig) -> None:
    rig = make_rig(workers=3)
    first = live(rig, "live/a")
    assert first.worker is not None
    second = rig.only(rig.operator.drain([first.worker], rig.now), Placement)
    assert second.worker is not None
    assert second.splice_ms is not None
    assert rig.operator.drain([second.worker], rig.now) == []
    assert rig.farm.migration.stuck == {}
    # 15 s of stream time are now
    arrived_s = rig.now + (second.splice_ms - 15_000) / 1000 + SETTLE_S
    assert rig.farm.next_deadline() == pytest.approx(arrived_s)
    third = rig.only(rig.tick(arrived_s - rig.now + 0.001), Placement)
    assert third.worker not in (first.worker, second.worker)


def test_a_drain_of_all_refuses_new_streams_and_ends_the_others_at_the_timeout(rig: Rig) -> None:
    live(rig, "live/a")
    rig.operator.drain_all(30.0, rig.now)
    assert "drained" in rig.refused(rig.ask("live/b")).refusal.words
    rig.operator.drain_all(None, rig.now)  # asking how far it is changes nothing
    assert rig.farm.next_deadline() == rig.now + 30
    assert rig.tick(29.9) == []
    assert rig.only(rig.tick(0.2), EndStream).stream_id == "live/a"
    rig.operator.undrain_all(rig.now)
    rig.only(rig.ask("live/b"), Placement)


def test_rebalancing_evens_the_load_out_and_then_has_nothing_to_do(rig: Rig) -> None:
    rig.operator.drain([CPU1], rig.now)
    for key in "abcd":
        live(rig, f"live/{key}")
    rig.operator.undrain([CPU1], rig.now)
    actions = rig.farm.migration.rebalance(rig.now)
    assert len(actions) == 2
    fleet = rig.farm.state.fleet
    assert fleet.used(Resource.CORES, CPU0) == fleet.used(Resource.CORES, CPU1)
    rig.now += 60
    assert rig.farm.migration.rebalance(rig.now) == []


@given(sizes=st.lists(st.sampled_from([180, 360, 540, 720]), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_rebalancing_never_makes_it_worse_and_loses_no_room(sizes: list[int]) -> None:
    rig = Rig(cores=100)
    rig.operator.drain([CPU1], rig.now)
    for index, height in enumerate(sizes):
        live(rig, f"live/{index}", SourceFormat(height * 16 // 9, height, fps=Fraction(30)))
    rig.operator.undrain([CPU1], rig.now)
    fleet = rig.farm.state.fleet
    before = fleet.used(Resource.CORES)
    actions = rig.farm.migration.rebalance(rig.now)
    fleet = rig.farm.state.fleet
    one, other = (fleet.used(Resource.CORES, name) for name in (CPU0, CPU1))
    assert one + other == pytest.approx(before)
    assert abs(one - other) <= before + 1e-6
    assert len(fleet.allocations) == len(sizes)
    moved = [o.message.stream_id for o in actions if isinstance(o, Send) and o.message]  # type: ignore[attr-defined]  # all are Placed
    assert len(moved) == len(set(moved))
    largest = max(p.amounts[Resource.CORES] for p in fleet.allocations.values())
    assert abs(one - other) <= largest + 1e-6
