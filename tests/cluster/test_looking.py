"""cluster/looking.py: when a host counts as lost; test_stream_keys.py has whole hosts."""

import pytest

from cluster.actions import Call, Say, Self
from cluster.etcd_session import EtcdSession
from cluster.keys import HostRecord, Keys, write_host
from cluster.looking import AGAIN_S, ETCD_S, RELAY_S, Looking, Verdict
from cluster.view import View
from common.etcd.messages import Answer, KeyValue
from common.ipc.cluster_messages import HostReach, HostReachWanted, Reach

KEY = KeyValue("k", b"", mod_revision=7, lease=70)
OTHER_KEY = KeyValue("l", b"", mod_revision=8, lease=80)


def looking(relay: str = "a:1936", theirs: str = "b:1936") -> tuple[Looking, EtcdSession]:
    keys = Keys("c")
    view = View(keys)
    record = HostRecord("f1", relay=theirs, rtmp="b:1935")
    view.put(KeyValue(keys.host("b"), write_host(record), mod_revision=3))
    session = EtcdSession(Self("c", "a", "f1", b"0123456789abcdef", 5, relay=relay), view, 1.8e9)
    session.is_registered, session.answer_s = True, 100.0
    return Looking(session, view), session


def begun() -> tuple[Looking, EtcdSession]:
    made, session = looking()
    assert made.begin("d", "b", KEY, 100.0) == [Say(HostReachWanted("b", "b:1936", "b:1935"))]
    return made, session


@pytest.mark.parametrize(("relay", "theirs"), [("", "b:1936"), ("a:1936", "")])
def test_without_relays_nobody_is_looked_for(relay: str, theirs: str) -> None:
    made, _ = looking(relay, theirs)
    assert made.begin("d", "b", KEY, 100.0) == []


@pytest.mark.parametrize(
    ("reach", "is_in_touch", "verdict"),
    [
        (Reach.UP, True, Verdict.THERE),
        (Reach.GONE, True, Verdict.LOST),
        (Reach.GONE, False, Verdict.THERE),
    ],
)
def test_the_relay_decides(reach: Reach, is_in_touch: bool, verdict: Verdict) -> None:
    made, session = begun()
    session.is_registered = is_in_touch
    assert made.on_reach(HostReach("another", reach), 100.1) == []
    assert made.on_reach(HostReach("b", reach), 100.1) == [("d", verdict, 7)]
    assert made.tick(200.0) == []


def test_a_relay_that_does_not_answer_decides_nothing() -> None:
    made, _ = begun()
    assert made.tick(100.0 + RELAY_S - 0.01) == []
    assert made.tick(100.0 + RELAY_S) == [("d", Verdict.THERE, 7)]


@pytest.mark.parametrize(
    ("left_s", "granted_s", "is_lost"), [(4, 5, False), (3, 5, False), (2, 5, True), (0, 0, False)]
)
def test_of_who_cannot_be_reached_etcd_decides(left_s: int, granted_s: int, is_lost: bool) -> None:
    """It gives whole seconds, rounded down: with 3 left it may have heard the host 1.01 s ago."""
    made, session = begun()
    assert made.ask(100.0) == [], "the relay has not answered"
    assert made.on_reach(HostReach("b", Reach.SILENT), 100.1) == []
    (call,) = made.ask(100.1)
    assert isinstance(call, Call)
    assert call.request.document == {"ID": 70}
    assert made.ask(100.2) == [], "one at a time"
    session.busy[call.what] -= 1
    assert made.ask(100.2) == []
    lost = made.answered(call, Answer(9, ttl_s=left_s, granted_s=granted_s), 100.2)
    assert lost == ([("d", Verdict.LOST, 7)] if is_lost else [])
    assert len(made.ask(100.1 + AGAIN_S)) == (0 if is_lost else 1)
    there = [] if is_lost else [("d", Verdict.THERE, 7)]
    assert made.tick(100.1 + ETCD_S) == there


def test_several_leases_are_asked_for_in_turns() -> None:
    made, session = begun()
    made.begin("e", "b", OTHER_KEY, 100.0)
    made.on_reach(HostReach("b", Reach.SILENT), 100.1)
    asked = []
    for step in range(4):
        (call,) = made.ask(100.1 + step)
        assert isinstance(call, Call)
        session.busy[call.what] -= 1
        asked.append(call.request.document["ID"])
    assert asked == [70, 80, 70, 80]


@pytest.mark.parametrize(("revision", "ends"), [(7, False), (8, True)])
def test_a_key_that_has_changed_is_not_looked_for_any_more(revision: int, ends: bool) -> None:
    made, _ = begun()
    assert made.end("d", revision) is ends
    assert bool(made.on_reach(HostReach("b", Reach.GONE), 100.1)) is not ends
