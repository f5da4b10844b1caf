"""cluster/stream_keys.py: who may have a stream, by hosts against a model of etcd."""

import pytest

from cluster.keys import StreamRecord, write_stream
from common.cluster.digest import stream_digest
from common.etcd import messages
from common.ipc.cluster_messages import ClaimOutcome, HostReach, Reach, StreamClaimed
from common.ipc.identity import StreamId
from tests.kit.cluster_rig import SECRET, Rig, views

CAM = "live/cam1"
DIGEST = stream_digest(SECRET, StreamId(CAM))


def test_a_stream_that_ended_may_be_published_elsewhere_at_once() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    rig.run(2)
    a.take(CAM)
    a.end(CAM)
    assert rig.registered() == {}
    b.take(CAM)
    assert rig.registered() == {DIGEST: "b"}


@pytest.mark.parametrize("takes_s", [0.0, 2.0, 4.0])
def test_a_dead_hosts_stream_may_be_had_at_once(takes_s: float) -> None:
    """Its lease ends after 5 s; its key is replaced before, if it is still as it was seen."""
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    rig.run(8)
    epoch = a.owned()[DIGEST]
    a.is_dead = True
    rig.run(takes_s)
    assert b.outcome(b.publish(CAM)) is ClaimOutcome.OWNED
    assert b.owned()[DIGEST] > epoch
    rig.run(8)
    assert rig.registered() == {DIGEST: "b"}, "its lease was the dead host's no more"


def test_without_a_relay_a_dead_hosts_streams_are_free_when_its_lease_ends() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    b.has_relay = False
    b.start()
    a.take(CAM)
    rig.run(8)
    a.is_dead = True
    rig.run(4)
    assert b.outcome(b.publish(CAM)) is ClaimOutcome.ELSEWHERE
    rig.run(2)
    assert [host.name for host in views(b)[-1].hosts] == ["b"]
    b.take(CAM)
    assert rig.registered() == {DIGEST: "b"}


@pytest.mark.parametrize(
    ("is_heard", "becomes", "after_s"),
    [(True, ClaimOutcome.ELSEWHERE, 2.6), (False, ClaimOutcome.OWNED, 2.3)],
)
def test_a_host_that_the_relay_cannot_reach_is_lost_if_etcd_does_not_hear_it_either(
    is_heard: bool, becomes: ClaimOutcome, after_s: float
) -> None:
    rig = Rig("a", "b", "d")
    a, b, _ = rig.hosts
    a.take(CAM)
    rig.run(8)
    rig.broken.append({"a", "b"})
    a.is_cut = not is_heard
    rig.run(1.0)
    number = b.publish(CAM)
    assert b.outcome(number) is ClaimOutcome.LOOKING
    rig.run(0.5)
    assert b.outcome(number) is ClaimOutcome.LOOKING
    rig.run(after_s - 0.5)
    assert b.outcome(number) is becomes
    assert rig.registered() == {DIGEST: "a" if is_heard else "b"}


def test_a_relay_that_does_not_answer_is_not_waited_for() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    rig.run(8)
    b.has_answers = False
    number = b.publish(CAM)
    assert b.outcome(number) is ClaimOutcome.LOOKING
    assert b.outcome(b.publish(CAM)) is ClaimOutcome.LOOKING
    rig.run(1.7)
    assert {b.outcome(number), b.outcome(number + 1)} == {ClaimOutcome.ELSEWHERE}


@pytest.mark.parametrize("what", ["ends", "is replaced"])
def test_a_key_that_changes_while_its_host_is_looked_for_is_looked_at_again(what: str) -> None:
    rig = Rig("a", "b", "d")
    a, b, other = rig.hosts
    a.take(CAM)
    rig.run(8)
    b.has_answers = False
    number = b.publish(CAM)
    a.end(CAM)
    if what == "is replaced":
        other.take(CAM)
    b.has_answers = True
    rig.run(0.5)
    is_free = what == "ends"
    assert b.outcome(number) is (ClaimOutcome.OWNED if is_free else ClaimOutcome.ELSEWHERE)
    assert rig.registered() == {DIGEST: "b" if is_free else "d"}


def test_who_is_not_in_touch_replaces_nothing() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    rig.run(8)
    b.has_answers = False
    number = b.publish(CAM)
    a.is_dead = b.is_cut = True
    rig.run(3.0)
    b.do(b.core.reach(HostReach("a", Reach.GONE), rig.now))
    assert rig.registered() == {DIGEST: "a"}
    assert b.outcome(number) is ClaimOutcome.ELSEWHERE


def test_a_host_that_was_cut_off_finds_its_stream_at_another_and_registers_none() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    rig.run(8)
    a.is_cut = True
    rig.run(8)
    assert a.outcome(a.publish("live/cam3")) is ClaimOutcome.AWAY
    assert [host.name for host in views(a)[-1].hosts] == ["a", "b"], "it declares nobody gone"
    b.take(CAM)
    a.is_cut = False
    rig.run(3)
    assert rig.registered()[DIGEST] == "b"
    assert views(a)[-1].elsewhere == 1
    b.end(CAM)
    rig.run(2)
    assert rig.registered()[DIGEST] == "a", "it runs there, and is free"


def test_no_host_takes_a_stream_of_one_that_has_not_come_back_yet() -> None:
    """Etcd was away for longer than a TTL, so all leases have ended at once."""
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    rig.run(8)
    rig.is_etcd_away = a.is_stopped = True
    rig.run(20)
    assert [host.name for host in views(b)[-1].hosts] == ["a", "b"]
    rig.is_etcd_away = False
    rig.run(2)
    assert [(host.name, host.is_missing) for host in views(b)[-1].hosts] == [
        ("a", True),
        ("b", False),
    ]
    assert b.outcome(b.publish(CAM)) is ClaimOutcome.ELSEWHERE
    b.end(CAM)
    a.is_stopped = False
    rig.run(2)
    assert rig.registered() == {DIGEST: "a"}
    assert not any(host.is_missing for host in views(b)[-1].hosts)


def test_who_loses_its_key_to_another_host_hears_of_it_at_once() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    rig.run(8)
    key = next(name for name in rig.store.keys if name.endswith(DIGEST))
    put = messages.put(key, write_stream(StreamRecord("b", "f1")), b.lease)
    asked = messages.transaction([], [put])
    rig.store.handle(asked.path, asked.document, rig.now)
    rig.run(0.2)
    claimed = [message for message in a.said if isinstance(message, StreamClaimed)]
    lost, again = claimed[-2:]
    assert (lost.request_id, lost.outcome) == (0, ClaimOutcome.ELSEWHERE)
    assert lost.owner is not None
    assert (lost.owner.host, lost.owner.is_here) == ("b", False)
    assert again.outcome is ClaimOutcome.OWNED, "b did not have it, and has let go"
