"""What can be done with a publish request, best first; looking changes nothing."""

from common.access.refusal import RefusalReason
from common.config.settings import Settings, Software
from common.ipc.control_messages import PublishRequest
from common.ipc.identity import StreamId
from supervisor.farm.admission.candidates import (
    QUEUE_S,
    QUEUE_STARTING_S,
    Evict,
    Found,
    Place,
    Queue,
    Refuse,
    Rejoin,
    Remembered,
    RequestedStream,
    look,
)
from supervisor.farm.blame.isolation import Isolate
from supervisor.farm.stream import Stream
from tests.kit.children import CPU0, INGEST0, dedicated
from tests.kit.farm_rig import HD, SMALL, MakeRig, Rig


def looked(
    rig: Rig,
    stream: str = "live/new",
    *,
    remembered: Remembered | None = None,
    deadline_s: float | None = None,
) -> Found | Refuse:
    request = PublishRequest(99, StreamId(stream), "192.0.2.9:5000", False)
    requested = RequestedStream(INGEST0, request, deadline_s)
    state = rig.farm.state
    before = (state.fleet, dict(state.streams), state.need(next_stream(rig)), list(state.history))
    found = look(state, rig.farm.isolation, requested, remembered, 0, rig.now)
    assert (
        state.fleet,
        dict(state.streams),
        state.need(next_stream(rig)),
        list(state.history),
    ) == before
    return found


def next_stream(rig: Rig) -> Stream:
    return next(iter(rig.farm.state.streams.values()))


def best(rig: Rig, **how: float | None) -> object:
    found = looked(rig, **how)  # type: ignore[arg-type] # by name
    assert isinstance(found, Found)
    return found.best


def full(make_rig: MakeRig) -> Rig:
    """Room for two streams of HD, with two there."""
    rig = make_rig(Settings(software=Software(capacity=102.05)))
    rig.publish("live/a", HD)
    rig.publish("live/b", HD)
    return rig


def test_it_is_placed_where_there_is_room(rig: Rig) -> None:
    rig.publish("live/a", SMALL)
    assert isinstance(best(rig), Place)


def test_room_of_those_who_are_away_comes_before_waiting(make_rig: MakeRig) -> None:
    rig = full(make_rig)
    both = tuple(rig.publisher(key, is_live=False) for key in ("live/a", "live/b"))
    rig.beat(INGEST0, publishers=both)
    found = best(rig)
    assert isinstance(found, Evict)
    assert {victim.stream_id for victim in found.victims} <= {"live/a", "live/b"}


def test_it_is_queued_while_room_may_come_and_refused_then(make_rig: MakeRig) -> None:
    rig = full(make_rig)
    refused = best(rig)
    assert isinstance(refused, Refuse)
    assert refused.refusal.reason is RefusalReason.FULL
    rig.down(CPU0)  # it starts again
    assert best(rig) == Queue(rig.now + QUEUE_STARTING_S)
    assert isinstance(best(rig, deadline_s=rig.now), Refuse)


def test_one_that_was_refused_lately_is_refused_without_a_look(make_rig: MakeRig) -> None:
    rig = full(make_rig)
    found = looked(rig, remembered=Remembered(rig.now + 1, "no room for 1280x720", HD))
    assert isinstance(found, Refuse)
    assert found.refusal.words == "no room for 1280x720"


def test_an_app_that_is_not_there_is_not_found(rig: Rig) -> None:
    rig.publish("live/a", SMALL)
    found = looked(rig, "nothing/a")
    assert isinstance(found, Refuse)
    assert found.refusal.reason is RefusalReason.NOT_FOUND


def poison(rig: Rig, stream: str) -> None:
    for _ in range(2):
        rig.farm.state.quarantine.crashed(StreamId(stream), "killed", rig.now)


def test_a_poison_stream_waits_for_its_dedicated_worker(make_rig: MakeRig) -> None:
    rig = make_rig(cores=8)
    rig.publish("live/a", SMALL)
    poison(rig, "live/new")
    found = looked(rig)
    assert isinstance(found, Found)
    assert found.isolation == Isolate(dedicated(1))
    assert found.best == Queue(rig.now + QUEUE_STARTING_S)


def test_a_poison_stream_goes_among_the_others_if_its_worker_has_no_room(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(cores=8)
    rig.publish("live/a", SMALL)
    poison(rig, "live/new")
    rig.ask("live/new")
    rig.up(dedicated(1))
    rig.end("live/new")
    poison(rig, "live/new")
    rig.farm.state.quarantine.give_worker(StreamId("live/new"), rig.now)
    worker = rig.farm.state.quarantine.worker(StreamId("live/new"))
    assert worker is not None
    rig.expect(worker)
    rig.up(worker)
    rig.farm.devices.overload(worker, is_overloaded=True)
    assert isinstance(best(rig), Rejoin)


def test_a_source_that_is_not_known_yet_is_worth_a_wait(make_rig: MakeRig) -> None:
    rig = make_rig(Settings(software=Software(capacity=51.05)))
    rig.ask("live/a")
    rig.estimate("live/a", HD)
    now = rig.now = rig.now + 60.0
    assert best(rig) == Queue(now + QUEUE_S)
