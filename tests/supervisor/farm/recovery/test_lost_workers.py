"""Streams whose worker is lost."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS, Settings, Software
from common.ipc.control_messages import (
    EndStream,
    Placement,
    Positions,
    StreamTrouble,
    SwitchGeneration,
)
from common.ipc.identity import ChildId, Generation, StreamId
from supervisor.farm.actions import Action, Send
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
from supervisor.farm.stream_states import StreamState
from supervisor.placement.cost import Resource
from tests.kit.children import (
    CPU0,
    CPU1,
    CPU2,
    EGRESS0,
    EGRESS1,
    EGRESS2,
    INGEST0,
    INGEST1,
    dedicated,
)
from tests.kit.farm_rig import HD, SMALL, MakeRig, Rig


def other(worker: ChildId | None) -> ChildId:
    return CPU1 if worker == CPU0 else CPU0


def positions(
    rig: Rig, switch: SwitchGeneration, last_pts_ms: int | None, egress: ChildId = EGRESS0
):
    return rig.say(egress, Positions(switch.request_id, switch.stream_id, last_pts_ms))


def trouble(
    rig: Rig,
    placed: Placement,
    reason: str = "4:2:2 cannot be decoded",
    *,
    is_workers_own: bool = False,
) -> list[Action]:
    assert placed.worker is not None
    message = StreamTrouble(
        placed.worker, placed.stream_id, placed.generation, reason, is_workers_own
    )
    return rig.say(placed.worker, message)


def test_a_lost_workers_stream_goes_on_elsewhere_from_where_egress_came(rig: Rig) -> None:
    old = rig.publish()
    switch = rig.only(rig.down(old.worker), SwitchGeneration, EGRESS0)
    assert switch.generation == old.generation
    new = rig.only(positions(rig, switch, 4_000), Placement, INGEST0)
    assert new.request_id == 0
    assert new.generation > old.generation
    assert (new.worker, new.resume_after_ms) == (other(old.worker), 4_000)
    assert new.renditions == old.renditions
    assert rig.stream().crashes == 1
    assert list(rig.farm.state.fleet.allocations) == [new.generation]


def test_an_egress_that_does_not_answer_holds_nothing_up(rig: Rig) -> None:
    old = rig.publish()
    rig.only(rig.down(old.worker), SwitchGeneration)
    assert rig.farm.next_deadline() == rig.now + POSITIONS_TIMEOUT_S
    new = rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement)
    assert new.resume_after_ms is None


def test_of_several_egresses_the_slowest_counts_and_a_lost_one_does_not(
    rig: Rig,
) -> None:
    rig.up(EGRESS1)
    rig.up(EGRESS2)
    old = rig.publish()
    actions = rig.down(old.worker)
    assert [action.child for action in actions] == [
        EGRESS0,
        EGRESS1,
        EGRESS2,
    ]
    switch = rig.messages(actions)[0]
    assert positions(rig, switch, 4_000) == []
    assert positions(rig, switch, 3_900, EGRESS1) == []
    assert rig.only(rig.down(EGRESS2), Placement).resume_after_ms == 3_900


def test_a_late_answer_changes_nothing(rig: Rig) -> None:
    old = rig.publish()
    switch = rig.only(rig.down(old.worker), SwitchGeneration)
    rig.tick(POSITIONS_TIMEOUT_S)
    assert positions(rig, switch, 4_000) == []


def test_a_stream_that_had_not_begun_is_moved_at_once(rig: Rig) -> None:
    placed = rig.only(rig.ask(), Placement)
    assert rig.only(rig.down(placed.worker), Placement).worker == other(placed.worker)


def test_without_another_worker_it_waits_for_the_restarted_one(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(workers=1)
    old = rig.publish()
    switch = rig.only(rig.down(CPU0), SwitchGeneration)
    assert positions(rig, switch, 4_000) == []
    assert rig.stream().state is StreamState.WAITING
    assert rig.farm.state.waiting() == 1
    assert rig.farm.state.fleet.used(Resource.CORES) > 50  # its room is kept for it
    new = rig.only(rig.up(CPU0), Placement)
    assert (new.worker, new.resume_after_ms) == (CPU0, 4_000)
    assert new.generation > old.generation
    assert rig.stream().state is StreamState.LIVE


def test_a_publisher_is_told_source_only_while_its_stream_waits(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    rig.publish()
    rig.down(CPU0)
    rig.tick(POSITIONS_TIMEOUT_S)
    placed = rig.only(rig.format(), Placement)
    assert (placed.worker, placed.renditions) == (None, ())


def test_a_policy_with_refuse_ends_streams_that_find_no_room(make_rig: MakeRig) -> None:
    policy = (Pipeline.SOFTWARE, Pipeline.REFUSE)
    template = Template("live", DEFAULT_RENDITIONS, policy=policy)
    rig = make_rig(Settings(templates=(template,)), workers=1)
    rig.publish()
    rig.down(CPU0)
    end = rig.only(rig.tick(POSITIONS_TIMEOUT_S), EndStream, INGEST0)
    assert "no device left" in end.refusal.words
    assert rig.farm.state.streams == {}
    assert rig.farm.state.fleet.allocations == {}


def test_a_lost_stream_does_not_settle_for_passthrough(make_rig: MakeRig) -> None:
    policy = (Pipeline.SOFTWARE, Pipeline.PASSTHROUGH)
    template = Template("live", DEFAULT_RENDITIONS, policy=policy)
    rig = make_rig(Settings(templates=(template,)), workers=1)
    rig.publish()
    rig.down(CPU0)
    assert rig.tick(POSITIONS_TIMEOUT_S) == []
    assert rig.only(rig.up(CPU0), Placement).worker == CPU0


def test_a_stream_that_ends_while_it_switches_is_over(rig: Rig) -> None:
    old = rig.publish()
    rig.only(rig.down(old.worker), SwitchGeneration)
    rig.end()
    assert rig.tick(POSITIONS_TIMEOUT_S) == []
    assert rig.farm.state.fleet.allocations == {}


def test_a_key_published_anew_while_the_old_one_switched_is_not_disturbed(rig: Rig) -> None:
    old = rig.publish()
    rig.only(rig.down(old.worker), SwitchGeneration)
    rig.end()
    new = rig.publish()
    assert rig.tick(POSITIONS_TIMEOUT_S) == []
    assert rig.stream().generation == new.generation


def test_a_device_that_cannot_serve_a_stream_is_left_out_for_it(rig: Rig) -> None:
    first = rig.publish()
    rig.only(trouble(rig, first), SwitchGeneration)
    second = rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement)
    assert second.worker == other(first.worker)
    last = rig.only(trouble(rig, second), Placement)
    assert (last.worker, last.renditions) == (None, ())
    assert last.reason == "source only: 4:2:2 cannot be decoded"
    assert rig.stream().state is StreamState.SOURCE_ONLY
    assert rig.publish("live/b").worker is not None


def test_a_lost_device_is_waited_for_where_there_is_no_other(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1)
    first = rig.publish()
    rig.only(trouble(rig, first, "device lost", is_workers_own=True), SwitchGeneration)
    assert rig.tick(POSITIONS_TIMEOUT_S) == []
    assert rig.stream().state is StreamState.WAITING
    rig.down(first.worker, crashed=False)
    assert rig.only(rig.up(CPU0), Placement).worker == first.worker
    assert rig.stream().state is StreamState.LIVE


def test_a_worker_that_was_broken_is_asked_again_once_it_was_started_anew(rig: Rig) -> None:
    first = rig.publish()
    trouble(rig, first, "device lost", is_workers_own=True)
    second = rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement)
    assert second.worker == other(first.worker)
    assert first.worker is not None
    assert rig.stream().unfit.why(first.worker) == "device lost"
    rig.down(first.worker, crashed=False)
    rig.up(first.worker)
    rig.down(second.worker, crashed=False)
    assert rig.only(rig.tick(POSITIONS_TIMEOUT_S), Placement).worker == first.worker


@pytest.mark.parametrize("why", ["down", "drained", "full"])
def test_trouble_while_another_device_has_no_room_waits_for_it(rig: Rig, why: str) -> None:
    first = rig.publish()
    spare = other(first.worker)
    if why == "down":
        rig.down(spare)
    elif why == "drained":
        rig.operator.drain([spare], rig.now)
    else:
        capacity = Software(capacity=1.0)
        rig.farm.configure(replace(rig.farm.state.settings, software=capacity), rig.now)
    rig.only(trouble(rig, first), SwitchGeneration)
    assert rig.tick(POSITIONS_TIMEOUT_S) == []
    assert rig.stream().state is StreamState.WAITING
    assert "4:2:2 cannot be decoded" in rig.stream().reason
    if why == "down":
        actions = rig.up(spare)
    elif why == "drained":
        actions = rig.operator.undrain([spare], rig.now)
    else:
        actions = rig.farm.configure(Settings(), rig.now)
    assert rig.only(actions, Placement).worker == spare


def test_room_on_a_device_that_refused_a_stream_is_not_kept_for_it(rig: Rig) -> None:
    first = rig.publish()
    assert first.worker is not None
    spare = other(first.worker)
    rig.operator.drain([spare], rig.now)
    trouble(rig, first)
    rig.tick(POSITIONS_TIMEOUT_S)
    assert rig.stream().state is StreamState.WAITING
    assert rig.farm.state.device_of(rig.stream()) is None
    assert rig.farm.state.fleet.used(Resource.CORES) == 0
    assert rig.only(rig.operator.undrain([spare], rig.now), Placement).worker == spare


def test_what_it_gives_up_there_goes_to_those_who_wait(make_rig: MakeRig) -> None:
    rig = make_rig()
    first = rig.publish()
    assert first.worker is not None
    used = rig.farm.state.fleet.used(Resource.CORES)
    rig.farm.configure(Settings(software=Software(capacity=used + 0.05)), rig.now)
    rig.operator.drain([other(first.worker)], rig.now)
    switch = rig.only(trouble(rig, first), SwitchGeneration)
    rig.expect(CPU2)
    assert rig.ask("live/b") == [], "it is queued while a worker starts"
    placed = rig.only(positions(rig, switch, 4_000), Placement)
    assert (placed.stream_id, placed.worker) == ("live/b", first.worker)


def test_stale_trouble_changes_nothing(rig: Rig) -> None:
    placed = rig.publish()
    assert placed.worker is not None
    stale = StreamTrouble(placed.worker, placed.stream_id, Generation(999), "x")
    assert rig.say(placed.worker, stale) == []


def test_streams_adopted_with_a_worker_that_is_gone_are_placed_anew(make_rig: MakeRig) -> None:
    rig = make_rig(workers=0)
    status = rig.publisher(
        generation=Generation(9),
        worker=CPU0,
        format=SourceFormat(1280, 720),
    )
    rig.up(INGEST0, publishers=(status,))
    rig.up(CPU1)
    actions = rig._keep(rig.farm.settle(rig.now))
    switch = rig.only(actions, SwitchGeneration)
    new = rig.only(positions(rig, switch, 70), Placement)
    assert (new.worker, new.resume_after_ms) == (CPU1, 70)


def test_one_that_is_coded_otherwise_by_now_waits_for_room_where_it_had_been_given_up(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(workers=1)
    first = rig.publish()
    assert rig.only(trouble(rig, first), Placement).worker is None
    rig.farm.configure(Settings(software=Software(capacity=1.0)), rig.now)
    assert rig.only(rig.format(codec="avc1.4d001f"), Placement).worker is None
    placed = rig.only(rig.farm.configure(Settings(), rig.now), Placement)
    assert placed.worker == first.worker


def test_nothing_is_placed_before_all_that_run_are_known(make_rig: MakeRig) -> None:
    rig = make_rig(workers=0)
    rig.farm.adopt()
    worker = CPU0
    rig.expect(worker)
    rig.up(worker)
    waits = rig.publisher("live/a", generation=Generation(1), format=SMALL)
    assert rig.up(INGEST0, publishers=(waits,)) == []
    runs = rig.publisher("live/b", generation=Generation(2), worker=worker, format=SMALL)
    assert rig.up(INGEST1, publishers=(runs,)) == []
    placed = rig.only(rig._keep(rig.farm.settle(rig.now)), Placement)
    assert (placed.stream_id, placed.worker) == ("live/a", worker)
    assert placed.generation > runs.generation
    assert len(rig.farm.state.fleet.allocations) == 2


@pytest.mark.parametrize("how", ["own worker", "drain", "lost", "lost, no egress"])
def test_what_happens_before_all_that_run_are_known_places_nothing_either(
    make_rig: MakeRig, how: str
) -> None:
    rig = make_rig(workers=0)
    if "egress" in how:
        rig.down(EGRESS0)
    rig.farm.adopt()
    first = dedicated(1) if how == "own worker" else CPU0
    for name in (first, CPU1):
        rig.expect(name)
        rig.up(name)
    migration = rig.publisher("live/a", generation=Generation(1), worker=first, format=SMALL)
    rig.up(INGEST0, publishers=(migration,))
    if how == "drain":
        assert rig.operator.drain([first], rig.now) == []
        assert rig.farm.migration.rebalance(rig.now) == []
    elif "lost" in how:
        actions = rig.down(first)
        assert actions == [] or rig.only(actions, SwitchGeneration)
    assert rig.farm.next_deadline() > rig.now + 60
    assert rig.tick(POSITIONS_TIMEOUT_S) == []
    runs = rig.publisher("live/b", generation=Generation(2), worker=CPU1, format=SMALL)
    assert rig.up(INGEST1, publishers=(runs,)) == []
    actions = rig._keep(rig.farm.settle(rig.now))
    placed = rig.only(actions + rig.tick(), Placement, INGEST0)
    assert (placed.stream_id, placed.worker) == ("live/a", CPU1)
    assert placed.generation > runs.generation
    assert len(rig.farm.state.fleet.allocations) == 2


LOW = replace(HD, fps=Fraction(10))


@pytest.mark.parametrize("how", ["rate", "reload"])
def test_streams_beyond_their_hosts_limit_all_go_on_when_their_worker_is_back(
    make_rig: MakeRig, how: str
) -> None:
    rig = make_rig(cores=1, workers=1)
    if how == "rate":
        rig.publish("live/a", HD)
        rig.format("live/a", LOW)
        rig.publish("live/b", HD)
        rig.format("live/a", HD)
    else:
        for key in ("live/a", "live/b", "live/c"):
            rig.publish(key, LOW)
        rig.farm.configure(Settings(software=Software(capacity=10.0)), rig.now)
    booked = rig.farm.state.fleet.used(Resource.CORES)
    assert booked > (rig.farm.state.fleet.host[Resource.CORES])
    rig.down(CPU0, crashed=False)
    rig.tick(POSITIONS_TIMEOUT_S)
    placed = rig.messages(rig.up(CPU0))
    assert {message.worker for message in placed} == {CPU0}
    assert {stream.state for stream in rig.farm.state.streams.values()} == {StreamState.LIVE}
    assert rig.farm.state.fleet.used(Resource.CORES) == booked


def test_one_that_grew_while_its_worker_was_down_is_not_let_in_beyond_the_limit(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(cores=1, workers=1)
    rig.publish("live/a", LOW)
    rig.publish("live/b", HD)
    rig.down(CPU0, crashed=False)
    rig.tick(POSITIONS_TIMEOUT_S)
    rig.format("live/a", HD)
    (placed,) = rig.messages(rig.up(CPU0))
    assert placed.stream_id == "live/b"
    assert rig.stream("live/a").state is StreamState.WAITING


def test_losing_every_worker_in_turn_never_loses_room_or_a_stream(rig: Rig) -> None:
    for key in ("live/a", "live/b"):
        rig.publish(key)
    for _ in range(5):
        for worker in (CPU0, CPU1):
            rig.down(worker, crashed=False)
            rig.tick(POSITIONS_TIMEOUT_S)
            rig.up(worker)
    assert {s.state for s in rig.farm.state.streams.values()} == {StreamState.LIVE}
    assert len(rig.farm.state.fleet.allocations) == 2
    assert 100 < rig.farm.state.fleet.used(Resource.CORES) < 104
    sent = [o.message for o in rig.actions if isinstance(o, Send)]
    generations = [m.generation for m in sent if isinstance(m, Placement) and m.request_id == 0]
    assert len(set(generations)) == len(generations)
    assert StreamId("live/a") in rig.farm.state.streams


def test_a_worker_reports_trouble_of_its_own_streams_alone(rig: Rig) -> None:
    rig.publish("live/a")
    stream = rig.stream("live/a")
    here = rig.farm.state.device_of(stream)
    elsewhere = other(here)
    assert here is not None
    for says, of_whom in ((elsewhere, elsewhere), (elsewhere, here), (here, elsewhere)):
        message = StreamTrouble(of_whom, stream.stream_id, stream.generation, "says who?")
        assert rig.say(says, message) == []
        assert rig.stream("live/a") is stream
        assert (stream.is_on_worker, rig.farm.state.device_of(stream)) == (True, here)


def test_a_worker_reports_sessions_of_its_own_streams_alone(rig: Rig) -> None:
    rig.publish("live/a")
    stream = rig.stream("live/a")
    before = stream.last_transcode
    elsewhere = other(rig.farm.state.device_of(stream))
    rig.beat(elsewhere, transcodes=(rig.transcode("live/a", frames_in=7),))
    assert stream.last_transcode is before


def test_a_generation_that_cannot_be_takes_no_numbers_away(rig: Rig) -> None:
    rig.publish("live/a")
    stream = rig.stream("live/a")
    worker = rig.farm.state.device_of(stream)
    lie = replace(rig.transcode("live/a"), generation=Generation(2**63))
    rig.up(worker or CPU0, transcodes=(lie,))
    assert rig.farm.state.need(stream).generation == stream.generation + 1
