"""What a crash is blamed on includes the address: innocents go on, new keys help nobody."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.config.ladder import SourceFormat
from common.config.settings import Settings, WorkerSettings
from common.ipc.control_messages import EndStream, Placement, Refused
from common.ipc.identity import ChildId, StreamId
from supervisor.farm.actions import Action, Send, StartWorker, StopWorker
from supervisor.farm.blame import NEWCOMER_S
from supervisor.farm.quarantine import NEWCOMER_S as TRIED_S
from supervisor.farm.quarantine import PROBATION_S
from supervisor.farm.recovery import POSITIONS_TIMEOUT_S
from supervisor.farm.stream_states import StreamState
from tests.kit.children import CPU0, CPU1, INGEST0, dedicated
from tests.kit.farm_rig import SMALL, MakeRig, Rig

OWN = dedicated(1)
ATTACKER, INNOCENT = "203.0.113.9:5000", "198.51.100.3:5000"
ODD = replace(SMALL, reference_frames=16)
GIB = 1024**3


def publish(rig: Rig, key: str, address: str, source: SourceFormat = SMALL) -> list[Action]:
    """All that is ordered for a publisher, up to its sequence header."""
    stream = f"live/{key}"
    actions = rig.ask(stream, address=address)
    if stream in rig.farm.state.streams:
        actions += rig.format(stream, source)
    return actions


def worker_of(rig: Rig, key: str) -> ChildId | None:
    return rig.farm.state.device_of(rig.stream(f"live/{key}"))


def crash(rig: Rig, worker: ChildId | None) -> list[Action]:
    """A worker dies, and comes back at once."""
    assert worker is not None
    actions = rig.down(worker) + rig.tick(POSITIONS_TIMEOUT_S)
    return actions + (rig.up(worker) if worker in rig.farm.state.fleet.devices else [])


def report(rig: Rig) -> None:
    """Ingest tells the time of every stream, so that they can move."""
    streams = rig.farm.state.streams.values()
    told = [
        rig.publisher(s.stream_id, format=s.format, address=s.address)
        for s in list(streams)
        if s.ingest == INGEST0
    ]
    rig.beat(INGEST0, publishers=tuple(told))


def started(actions: list[Action]) -> list[ChildId]:
    return [action.child for action in actions if isinstance(action, StartWorker)]


def refusals(actions: list[Action]) -> list[str]:
    found = [a.message for a in actions if isinstance(a, Send)]
    return [m.refusal.words for m in found if isinstance(m, Refused | EndStream)]


@pytest.fixture
def farm(make_rig: MakeRig) -> Rig:
    """Four streams of innocents run on two workers for a while."""
    rig = make_rig(cores=8)
    for key in "abcd":
        publish(rig, key, INNOCENT)
    rig.tick(10 * NEWCOMER_S)
    return rig


def assert_innocents_are_well(rig: Rig) -> None:
    for key in "abcd":
        stream = rig.stream(f"live/{key}")
        assert stream.state is StreamState.LIVE
        assert stream.crashes == 0
        assert stream.dedicated_worker is None


def test_a_newcomer_takes_the_blame_alone_and_goes_apart_after_one_crash(farm: Rig) -> None:
    publish(farm, "x1", ATTACKER)
    assert started(crash(farm, worker_of(farm, "x1"))) == [OWN]
    farm.up(OWN)
    assert worker_of(farm, "x1") == OWN
    assert_innocents_are_well(farm)


def test_a_new_key_each_time_takes_one_shared_worker_down_and_no_second(farm: Rig) -> None:
    shared, apart, words = 0, 0, []
    for number in range(20):
        key = f"x{number}"
        actions = publish(farm, key, ATTACKER)
        for name in started(actions):
            actions += farm.up(name)
            if f"live/{key}" in farm.farm.state.streams:
                actions += farm.format(f"live/{key}", SMALL)
        words += refusals(actions)
        if f"live/{key}" not in farm.farm.state.streams:
            continue
        worker = worker_of(farm, key)
        assert worker is not None
        shared, apart = shared + (not worker.is_dedicated), apart + worker.is_dedicated
        actions = crash(farm, worker)
        for name in started(actions):
            farm.up(name)
        if f"live/{key}" in farm.farm.state.streams:
            farm.end(f"live/{key}")
        assert_innocents_are_well(farm)
    assert (shared, apart) == (1, 1)
    assert len(words) == 18
    assert all("from this address" in text for text in words)
    publish(farm, "new", "198.51.100.77:5000")
    assert farm.stream("live/new").dedicated_worker is None, "nobody else pays for it"


def test_an_ipv6_address_counts_by_its_64_bits(farm: Rig) -> None:
    publish(farm, "x1", "[2001:db8:0:1::1]:5000")
    crash(farm, worker_of(farm, "x1"))
    farm.up(OWN)
    publish(farm, "x2", "[2001:db8:0:1::2]:5000")
    publish(farm, "y", "[2001:db8:0:2::1]:5000")
    assert worker_of(farm, "x2") == OWN
    assert worker_of(farm, "y") in (CPU0, CPU1)


def test_the_addresss_other_streams_move_to_its_worker_without_a_gap(farm: Rig) -> None:
    publish(farm, "x1", ATTACKER)
    farm.tick(10 * NEWCOMER_S)
    publish(farm, "x2", ATTACKER)
    here = worker_of(farm, "x2")
    crash(farm, here)
    assert worker_of(farm, "x1") in (CPU0, CPU1), "its worker is not up yet"
    report(farm)
    farm.up(OWN)
    moved = farm.tick(1.0)
    assert worker_of(farm, "x1") == OWN or moved
    farm.tick(5.0)
    assert worker_of(farm, "x1") == worker_of(farm, "x2") == OWN
    assert_innocents_are_well(farm)


def test_the_addresss_streams_that_behave_go_back_and_their_worker_ends(farm: Rig) -> None:
    publish(farm, "x1", ATTACKER)
    crash(farm, worker_of(farm, "x1"))
    farm.up(OWN)
    farm.tick(10.0)
    publish(farm, "x2", ATTACKER)
    report(farm)
    farm.tick(PROBATION_S - 10.0)
    farm.tick(5.0)
    assert worker_of(farm, "x1") in (CPU0, CPU1)
    assert worker_of(farm, "x2") == OWN, "its own time is not over"
    report(farm)
    farm.tick(10.0)
    farm.tick(5.0)
    assert worker_of(farm, "x2") in (CPU0, CPU1)
    assert farm.beat(OWN) == [StopWorker(OWN)]
    publish(farm, "x3", ATTACKER)
    assert worker_of(farm, "x3") in (CPU0, CPU1)


def test_an_exempt_address_stands_for_many_and_is_not_blamed(farm: Rig) -> None:
    publish(farm, "x1", "127.0.0.1:5000")
    assert started(crash(farm, worker_of(farm, "x1"))) == []
    publish(farm, "x2", "127.0.0.1:5000")
    assert worker_of(farm, "x2") in (CPU0, CPU1)


def test_a_poison_address_that_fills_its_worker_gets_no_room_among_the_others(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(replace(Settings(), worker=WorkerSettings(max_memory_bytes=GIB)), cores=32)
    publish(rig, "a", INNOCENT)
    publish(rig, "b", INNOCENT)
    rig.tick(10 * NEWCOMER_S)
    publish(rig, "x1", ATTACKER)
    crash(rig, worker_of(rig, "x1"))
    rig.up(OWN)
    huge = SourceFormat(4096, 2304, fps=Fraction(1), reference_frames=8)
    words = [text for n in range(9) for text in refusals(publish(rig, f"h{n}", ATTACKER, huge))]
    assert words
    on_shared = [s for s in rig.farm.state.streams.values() if s.address == ATTACKER]
    assert {rig.farm.state.device_of(stream) for stream in on_shared} == {OWN}


def test_a_source_out_of_the_usual_begins_on_a_worker_apart(farm: Rig) -> None:
    actions = publish(farm, "odd", ATTACKER, ODD)
    assert started(actions) == [OWN]
    assert farm.stream("live/odd").state is StreamState.WAITING
    farm.up(OWN)
    assert worker_of(farm, "odd") == OWN
    publish(farm, "odd2", INNOCENT, ODD)
    assert worker_of(farm, "odd2") == OWN, "newcomers share it"
    report(farm)
    farm.tick(TRIED_S)
    farm.tick(5.0)
    assert worker_of(farm, "odd") in (CPU0, CPU1)
    assert worker_of(farm, "odd2") in (CPU0, CPU1)
    assert farm.beat(OWN) == [StopWorker(OWN)]
    farm.format("live/odd", ODD)
    assert worker_of(farm, "odd") in (CPU0, CPU1), "it has been tried"


HUGE = SourceFormat(12288, 12288, fps=Fraction(1), reference_frames=1)


def test_large_sources_share_a_worker_for_good_and_are_refused_when_that_is_full(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(replace(Settings(), worker=WorkerSettings(max_memory_bytes=5 * GIB)), cores=16)
    publish(rig, "a", INNOCENT)
    publish(rig, "h0", ATTACKER, HUGE)
    rig.up(OWN)
    words = [refusals(publish(rig, f"h{n}", f"203.0.113.{n}:5000", HUGE)) for n in range(1, 6)]
    assert [bool(found) for found in words] == [False, True, True, True, True]
    assert "no room for a source of 12288x12288" in words[-1][0]
    report(rig)
    rig.tick(2 * PROBATION_S)
    rig.tick(5.0)
    assert worker_of(rig, "h0") == worker_of(rig, "h1") == OWN
    assert worker_of(rig, "a") in (CPU0, CPU1)
    publish(rig, "b", "198.51.100.77:5000")
    assert worker_of(rig, "b") in (CPU0, CPU1)


def test_large_sources_that_came_before_their_worker_was_up_are_refused_then(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(replace(Settings(), worker=WorkerSettings(max_memory_bytes=5 * GIB)), cores=16)
    for n in range(5):
        assert not refusals(publish(rig, f"h{n}", f"203.0.113.{n}:5000", HUGE))
    words = refusals(rig.up(OWN))
    assert len(words) == 3
    assert "publish a smaller one" in words[0]
    assert [worker_of(rig, key) for key in ("h0", "h1")] == [OWN, OWN]
    # those that run outlive a crash that nobody is known for
    assert not refusals(rig.down(OWN, crashed=False) + rig.tick(POSITIONS_TIMEOUT_S) + rig.up(OWN))
    assert [worker_of(rig, key) for key in ("h0", "h1")] == [OWN, OWN]


def test_a_source_out_of_the_usual_that_kills_its_worker_is_refused_with_its_address(
    farm: Rig,
) -> None:
    publish(farm, "odd", ATTACKER, ODD)
    farm.up(OWN)
    assert "took down" in refusals(crash(farm, OWN))[0]
    assert "from this address" in refusals(publish(farm, "odd2", ATTACKER))[0]
    assert_innocents_are_well(farm)


def test_of_several_on_probation_nobody_is_refused_for_what_may_be_anothers(farm: Rig) -> None:
    publish(farm, "odd", ATTACKER, ODD)
    farm.up(OWN)
    publish(farm, "odd2", INNOCENT, ODD)
    actions = crash(farm, OWN)
    assert not refusals(actions)
    own = started(actions)
    assert len(own) == 2
    for name in own:
        farm.up(name)
    assert {worker_of(farm, "odd"), worker_of(farm, "odd2")} == set(own)
    assert refusals(crash(farm, worker_of(farm, "odd")))
    assert farm.stream("live/odd2").dedicated_worker is None, "it only shared the crash"


def test_those_that_only_shared_the_crashes_of_another_are_cleared(make_rig: MakeRig) -> None:
    rig = make_rig(workers=1, cores=8)
    for key in "ab":
        publish(rig, key, f"198.51.100.{ord(key)}:5000")
    rig.tick(10 * NEWCOMER_S)
    crash(rig, CPU0)
    own = started(crash(rig, CPU0))
    assert len(own) == 2
    for name in own:
        rig.up(name)
    report(rig)
    assert refusals(crash(rig, worker_of(rig, "a")))
    rig.tick(5.0)
    assert worker_of(rig, "b") == CPU0
    assert rig.stream("live/b").crashes == 0


def test_too_much_memory_is_blamed_on_who_takes_the_most(farm: Rig) -> None:
    large = SourceFormat(3840, 2160, fps=Fraction(1), reference_frames=4)
    publish(farm, "x1", ATTACKER, large)
    publish(farm, "y", "198.51.100.77:5000")
    here = worker_of(farm, "x1")
    assert here is not None
    farm.farm.devices.measure(here, 9 * GIB)
    assert started(crash(farm, here)) == [OWN]
    assert farm.stream("live/x1").dedicated_worker == OWN
    assert farm.stream("live/y").crashes == 0


def test_an_operator_lets_an_address_in_again_by_its_stream(farm: Rig) -> None:
    publish(farm, "odd", ATTACKER, ODD)
    farm.up(OWN)
    crash(farm, OWN)
    assert refusals(publish(farm, "x", ATTACKER))
    assert farm.operator.clear("live", "odd")
    assert not refusals(publish(farm, "x", ATTACKER))
    assert StreamId("live/x") in farm.farm.state.streams
    assert any(isinstance(m, Placement) for m in farm.messages(farm.format("live/x", SMALL)))
