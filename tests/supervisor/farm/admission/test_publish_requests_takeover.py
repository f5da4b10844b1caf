"""Publishers that come to another ingest than the one that has their stream."""

from dataclasses import replace
from fractions import Fraction

import pytest

from common.access.credentials import Credentials
from common.access.refusal import Refusal, RefusalReason
from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import DEFAULT_RENDITIONS, Settings, Software
from common.ipc.control_messages import (
    GopTransfer,
    Placement,
    PublishEnd,
    Refused,
    StreamRevoke,
    StreamRevoked,
)
from common.ipc.identity import Generation
from common.media.clock import ClockReference, ResumeTime
from supervisor.farm.actions import Send
from supervisor.farm.admission.publish_requests import REVOKE_S
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
from supervisor.farm.recovery.overload import DegradationLevel
from supervisor.farm.stream import NO_INGEST
from supervisor.farm.stream_states import StreamState
from tests.kit.children import CPU0, INGEST0, INGEST1, INGEST2
from tests.kit.farm_rig import MakeRig, Rig

SMALL = SourceFormat(640, 360, fps=Fraction(30))
UHD = SourceFormat(3840, 2160, fps=Fraction(60))

IN_USE = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")


def with_policy(*policy: Pipeline, capacity: float = 100.0) -> Settings:
    template = Template("live", DEFAULT_RENDITIONS, policy=policy)
    return Settings(software=Software(capacity=capacity), templates=(template,))


def revoking(rig: Rig) -> StreamRevoke:
    """A stream of ingest:0, for which a publisher asks at ingest:1."""
    rig.publish()
    rig.up(INGEST1)
    return rig.only(rig.ask(ingest=INGEST1), StreamRevoke, INGEST0)


def test_a_publisher_at_another_ingest_is_refused_as_the_first_one_says(rig: Rig) -> None:
    revoke = revoking(rig)
    answer = StreamRevoked(revoke.request_id, revoke.stream_id, IN_USE)
    refused = rig.only(rig.say(INGEST0, answer), Refused, INGEST1)
    assert refused.refusal.reason is RefusalReason.NAME_IN_USE
    assert refused.refusal.words == "the stream key is in use"
    assert rig.stream().ingest == INGEST0


def test_a_publisher_that_returns_to_another_ingest_goes_on_in_its_time(rig: Rig) -> None:
    revoke = revoking(rig)
    before = rig.stream().generation
    time = ResumeTime(ClockReference(5_000, 90.0), 6_000)
    answer = StreamRevoked(revoke.request_id, revoke.stream_id, resume_time=time)
    placed = rig.only(rig.say(INGEST0, answer), Placement, INGEST1)
    assert placed.resume_time == time
    assert placed.generation > before
    assert placed.request_id == rig.request
    assert rig.stream().ingest == INGEST1
    assert len(rig.farm.state.fleet.allocations) == 1


def test_what_the_old_ingest_kept_goes_to_the_one_that_has_the_stream_now(rig: Rig) -> None:
    revoke = revoking(rig)
    before = rig.stream().generation
    kept = GopTransfer(revoke.stream_id, before, SMALL, ())
    assert rig.say(INGEST0, kept) == [], "nobody else has the stream"
    time = ResumeTime(ClockReference(5_000, 90.0), 6_000)
    answer = StreamRevoked(revoke.request_id, revoke.stream_id, resume_time=time)
    rig.say(INGEST0, answer)
    actions = rig.farm.message(INGEST0, kept, rig.now, [b"header"])
    assert actions == [Send(INGEST1, kept, [b"header"])]
    assert rig.say(INGEST0, replace(kept, generation=rig.stream().generation)) == []
    rig.down(INGEST1)
    (action,) = rig.say(INGEST0, kept)
    assert isinstance(action, Send)
    assert action.child == NO_INGEST, "to nobody"


def test_one_takeover_between_ingests_at_a_time(rig: Rig) -> None:
    revoking(rig)
    rig.up(INGEST2)
    assert rig.refused(rig.ask(ingest=INGEST2)).refusal.reason is RefusalReason.NAME_IN_USE


def test_an_ingest_that_does_not_answer_keeps_its_stream(rig: Rig) -> None:
    revoke = revoking(rig)
    assert rig.refused(rig.tick(REVOKE_S)).refusal.reason is RefusalReason.NAME_IN_USE
    late = StreamRevoked(
        revoke.request_id, revoke.stream_id, resume_time=ResumeTime(ClockReference(0, 0.0), 0)
    )
    assert rig.say(INGEST0, late) == []
    assert (rig.stream().ingest, rig.stream().is_live) == (NO_INGEST, False)
    assert rig.only(rig.ask(ingest=INGEST1), Placement, INGEST1).resume_time is None


def test_an_ingest_that_dies_while_it_is_asked_leaves_the_stream_to_the_other(rig: Rig) -> None:
    revoking(rig)
    rig.down(INGEST0)
    rig.only(rig.tick(REVOKE_S), Placement, INGEST1)
    assert rig.stream().ingest == INGEST1


def test_a_stream_that_ended_meanwhile_is_placed_afresh(rig: Rig) -> None:
    revoke = revoking(rig)
    rig.end()
    answer = StreamRevoked(revoke.request_id, revoke.stream_id)
    placed = rig.only(rig.say(INGEST0, answer), Placement, INGEST1)
    assert placed.resume_time is None


def test_who_leaves_while_another_ingest_is_asked_gets_no_answer(rig: Rig) -> None:
    revoke = revoking(rig)
    rig.say(INGEST1, PublishEnd(revoke.stream_id, Generation(0), "its publisher left"))
    answer = StreamRevoked(revoke.request_id, revoke.stream_id, IN_USE)
    assert rig.say(INGEST0, answer) == []
    assert rig.stream().ingest == INGEST0


def handed_over(rig: Rig) -> Placement:
    """What ingest:1 is told of a stream that ingest:0 has let go of for it."""
    revoke = rig.only(rig.ask(ingest=INGEST1), StreamRevoke, INGEST0)
    answer = StreamRevoked(revoke.request_id, revoke.stream_id, resume_time=TIME)
    placed = rig.only(rig.say(INGEST0, answer), Placement, INGEST1)
    assert placed.resume_time == TIME
    return placed


TIME = ResumeTime(ClockReference(5_000, 90.0), 6_000)


@pytest.mark.parametrize("how", ["overloaded", "drained"])
def test_a_publisher_that_returns_elsewhere_keeps_its_room_on_a_closed_device(
    how: str, rig: Rig
) -> None:
    rig.up(INGEST1)
    before = rig.publish()
    assert before.worker is not None
    for name, worker in rig.farm.state.workers.items():
        setattr(worker, f"is_{how}", True)
        rig.farm.devices.open_or_close(name)
    placed = handed_over(rig)
    assert placed.worker == before.worker
    assert placed.generation > before.generation
    assert rig.stream().state is StreamState.LIVE


@pytest.mark.parametrize(
    "policy", [(Pipeline.GPU_ONLY, Pipeline.SOFTWARE), (Pipeline.SOFTWARE, Pipeline.PASSTHROUGH)]
)
def test_a_publisher_that_returns_elsewhere_waits_for_its_worker_in_its_own_time(
    make_rig: MakeRig, policy: tuple[Pipeline, ...]
) -> None:
    rig = make_rig(with_policy(*policy), workers=1)
    rig.up(INGEST1)
    before = rig.publish()
    rig.down(before.worker)
    rig.tick(0.3)
    rig.now += 60.0
    rig.beat(INGEST0, publishers=(rig.publisher(),))
    assert rig.stream().state is StreamState.WAITING
    assert handed_over(rig).worker is None
    assert rig.stream().ingest == INGEST1
    rig.beat(INGEST1, publishers=())
    placed = rig.messages(rig.up(CPU0))[0]
    assert (placed.worker, rig.stream().state) == (before.worker, StreamState.LIVE)
    assert len(rig.farm.state.fleet.allocations) == 1


def test_a_publisher_that_returns_elsewhere_in_the_middle_of_a_switch_is_placed_once(
    rig: Rig,
) -> None:
    rig.up(INGEST1)
    rig.down(rig.publish().worker)
    assert rig.stream().state is StreamState.SWITCHING
    placed = handed_over(rig)
    assert placed.worker is not None
    rig.tick(POSITIONS_TIMEOUT_S)
    assert rig.stream().generation == placed.generation


def test_a_publisher_that_returns_elsewhere_is_taken_as_little_from_as_before(rig: Rig) -> None:
    rig.up(INGEST1)
    rig.publish()
    rig.stream().degrade(DegradationLevel.HALF_RATE, "")
    handed_over(rig)
    assert rig.stream().degradation is DegradationLevel.HALF_RATE


@pytest.mark.parametrize(
    ("keys", "newcomer", "may"),
    [
        ((), Credentials("192.0.2.1", ""), True),
        ((), Credentials("192.0.2.9", ""), False),
        (("a" * 64,), Credentials("192.0.2.9", "a" * 16), True),
        (("a" * 64, "b" * 64), Credentials("192.0.2.1", "b" * 16), False),
    ],
)
def test_a_stream_whose_ingest_is_lost_is_held_for_its_own_publisher(
    make_rig: MakeRig, keys: tuple[str, ...], newcomer: Credentials, may: bool
) -> None:
    rig = make_rig(Settings(templates=(Template("live", DEFAULT_RENDITIONS, publish_keys=keys),)))
    owner = Credentials("192.0.2.1", keys[0][:16] if keys else "")
    rig.publish("live/a", SMALL, credentials=owner)
    rig.down(INGEST0)
    rig.up(INGEST0)
    answer = rig.ask("live/a", credentials=newcomer)
    if may:
        assert rig.only(answer, Placement, INGEST0).resume_time is None
        assert rig.stream().owner == newcomer
    else:
        refused = rig.refused(answer).refusal
        assert refused.reason is RefusalReason.NAME_IN_USE
        assert "waits 10 s more for its publisher" in refused.words
        rig.tick(10.1)
        rig.only(rig.ask("live/a", credentials=newcomer), Placement, INGEST0)
