"""What a crash is blamed on includes the address: innocents go on, new keys help nobody."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.access.credentials import credentials
from common.access.peer_address import host_of
from common.config.ladder import SourceFormat
from common.config.settings import Settings, WorkerSettings
from common.ipc.control_messages import EndStream, Placement, Refused
from common.ipc.identity import ChildId, StreamId
from supervisor.farm.actions import Action, Send, StartWorker, StopWorker
from supervisor.farm.blame.crash_cause import NEWCOMER_S
from supervisor.farm.blame.quarantine import NEWCOMER_S as TRIED_S
from supervisor.farm.blame.quarantine import PROBATION_S
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
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


# ---- attackers who have others pay --------------------------------------------------------------


def test_who_lies_in_wait_for_a_newcomer_gets_nobody_refused(farm: Rig) -> None:
    """He is there for long, and takes the worker down whenever somebody has just come."""
    for turn in range(3):
        waiting = f"203.0.113.{turn}:5000"
        publish(farm, f"x{turn}", waiting)
        farm.tick(2 * NEWCOMER_S)
        assert not refusals(publish(farm, f"new{turn}", "198.51.100.77:5000"))
        for name in started(crash(farm, worker_of(farm, f"x{turn}"))):
            farm.up(name)
        report(farm)
        farm.tick(5.0)
        assert farm.stream(f"live/new{turn}").state is StreamState.LIVE
    assert not refusals(publish(farm, "again", "198.51.100.77:5000"))


def test_nor_does_he_among_sources_out_of_the_usual(farm: Rig) -> None:
    publish(farm, "x", ATTACKER, ODD)
    farm.up(OWN)
    farm.tick(NEWCOMER_S + 1)
    publish(farm, "odd", "198.51.100.77:5000", ODD)
    assert worker_of(farm, "odd") == worker_of(farm, "x") == OWN
    actions = crash(farm, OWN)
    assert not refusals(actions)
    for name in started(actions):
        farm.up(name)
    assert farm.stream("live/odd").state is StreamState.LIVE
    assert not refusals(publish(farm, "more", "198.51.100.77:5000"))


def publish_as(rig: Rig, key: str, address: str, source: SourceFormat = SMALL) -> list[Action]:
    """As `publish`, with what ingest says of who it is."""
    who = credentials(host_of(address), "")
    actions = rig.ask(f"live/{key}", address=address, credentials=who)
    if f"live/{key}" in rig.farm.state.streams:
        actions += rig.format(f"live/{key}", source)
    return actions


def test_a_name_that_somebody_else_took_workers_down_with_is_no_reason_to_refuse_its_owner(
    farm: Rig,
) -> None:
    publish_as(farm, "cam1", ATTACKER, ODD)
    farm.up(OWN)
    assert refusals(crash(farm, OWN))
    assert refusals(publish_as(farm, "cam1", ATTACKER))
    assert not refusals(publish_as(farm, "cam1", "198.51.100.77:5000"))
    stream = farm.stream("live/cam1")
    assert (stream.dedicated_worker, stream.state) == (None, StreamState.LIVE)


def test_nor_is_a_source_that_was_too_large_under_that_name(make_rig: MakeRig) -> None:
    rig = make_rig(cores=1)
    dear = SourceFormat(3840, 2160, fps=Fraction(60), reference_frames=4)
    assert refusals(publish_as(rig, "cam1", ATTACKER, dear))
    again = rig.ask("live/cam1", address=ATTACKER, credentials=credentials("203.0.113.9", ""))
    assert refusals(again), "its own next attempt is refused before it starts"
    other = rig.ask("live/cam1", address=INNOCENT, credentials=credentials("198.51.100.3", ""))
    assert not refusals(other)


STEPS = st.tuples(st.sampled_from(["attack", "wait", "crash", "newcomer"]), st.integers(0, 49))


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=60, deadline=None)
def test_whatever_fifty_addresses_do_no_innocent_is_refused(
    steps: list[tuple[str, int]],
) -> None:
    """Every crash is an attacker's: of a worker that has one of his streams."""
    rig = Rig(cores=16)
    mine: set[str] = set()
    innocents: set[str] = set()
    for number, (what, which) in enumerate(steps):
        rig.tick(1.0)
        match what:
            case "attack":
                key = f"x{number}"
                publish_as(rig, key, f"203.0.113.{which}:1", ODD if which % 2 else SMALL)
                mine.add(key)
            case "newcomer":
                key = f"new{number}"
                source = ODD if which % 5 == 0 else SMALL
                assert not refusals(publish_as(rig, key, f"198.51.100.{which}:1", source))
                innocents.add(key)
            case "wait":
                rig.tick(float(which))
            case "crash":
                his = [k for k in sorted(mine) if f"live/{k}" in rig.farm.state.streams]
                where = [w for k in his if (w := worker_of(rig, k)) is not None]
                up = [w for w in where if w in rig.farm.state.children]
                if up:
                    crash(rig, up[which % len(up)])
        for action in rig.actions:
            if isinstance(action, StartWorker) and action.child not in rig.farm.state.children:
                rig.up(action.child)
        rig.actions.clear()
        report(rig)
        for key in innocents:
            assert f"live/{key}" in rig.farm.state.streams, f"{key} is off the air"


def test_the_stream_in_whose_thread_a_worker_died_is_suspected_alone(farm: Rig) -> None:
    """He lay in wait, but the report names his thread: the newcomer pays nothing."""
    publish(farm, "x", ATTACKER)
    farm.tick(2 * NEWCOMER_S)
    publish(farm, "new", "198.51.100.77:5000")
    here = worker_of(farm, "x")
    assert here is not None
    aboard = [s for s in farm.farm.state.streams.values() if farm.farm.state.device_of(s) == here]
    farm.beat(
        here,
        transcodes=tuple(
            farm.transcode(s.stream_id, threads=(n * 2 + 100, n * 2 + 101))
            for n, s in enumerate(aboard)
        ),
    )
    number = [s.stream_id for s in aboard].index(StreamId("live/x"))
    farm.down(here, thread=number * 2 + 101)
    farm.tick(POSITIONS_TIMEOUT_S)
    blamed = {s.stream_id for s in farm.farm.state.streams.values() if s.crashes}
    assert blamed == {"live/x"}
    assert farm.stream("live/new").dedicated_worker is None
    assert_innocents_are_well(farm)
