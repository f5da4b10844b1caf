"""cluster/membership.py: several hosts against a model of etcd, in virtual time."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.etcd_session import TOUCH_S
from common.cluster.digest import stream_digest
from common.ipc.cluster_messages import (
    ClaimOutcome,
    OwnerWanted,
    StreamOwner,
)
from common.ipc.identity import StreamId
from tests.kit.cluster_rig import SECRET, Host, Rig, views

CAM = "live/cam1"
DIGEST = stream_digest(SECRET, StreamId(CAM))


def owners(host: Host) -> list[StreamOwner]:
    return [message for message in host.said if isinstance(message, StreamOwner)]


def test_hosts_find_one_another_and_a_stream_has_one_owner() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    rig.run(2)
    assert [host.name for host in views(a)[-1].hosts] == ["a", "b"]
    assert views(a)[-1].is_in_touch
    first, second = a.publish(CAM), b.publish(CAM)
    rig.run(0.2)
    assert (a.outcome(first), b.outcome(second)) == (ClaimOutcome.OWNED, ClaimOutcome.ELSEWHERE)
    owner = b.answers[second].owner
    assert owner is not None
    assert (owner.host, owner.relay, owner.is_here) == ("a", "a:1936", False)
    assert owner.epoch == a.owned()[DIGEST] > 0
    assert all(CAM not in f"{key.value!r}{name}" for name, key in rig.store.keys.items())


def test_what_runs_is_registered_when_etcd_comes_and_nothing_waits_meanwhile() -> None:
    rig = Rig("a")
    (a,) = rig.hosts
    rig.is_etcd_away = True
    rig.run(3)
    assert a.outcome(a.publish(CAM)) is ClaimOutcome.AWAY
    a.streams.add(StreamId(CAM))
    rig.run(3)
    assert (views(a)[-1].unregistered, views(a)[-1].is_in_touch) == (1, False)
    assert "etcd is away: cut" in views(a)[-1].reason
    rig.is_etcd_away = False
    rig.run(2)
    assert rig.registered() == {DIGEST: "a"}
    assert (views(a)[-1].owned, views(a)[-1].unregistered) == (1, 0)


@pytest.mark.parametrize("away_s", [3, 30])
@pytest.mark.parametrize("is_wiped", [False, True])
def test_streams_register_again_after_etcd_was_away(away_s: float, is_wiped: bool) -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    b.take("live/cam2")
    rig.run(6)
    epoch = a.owned()[DIGEST]
    rig.is_etcd_away = True
    rig.run(away_s)
    if is_wiped:
        rig.store.wipe()
    rig.is_etcd_away = False
    rig.run(2)
    assert rig.registered()[DIGEST] == "a"
    assert len(rig.registered()) == 2
    again = a.owned()[DIGEST]
    assert again > epoch if is_wiped or away_s > 5 else again == epoch


def test_a_host_that_stays_away_is_gone_a_ttl_after_the_others_are_back() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    rig.run(8)
    rig.is_etcd_away = a.is_dead = True
    rig.run(20)
    rig.is_etcd_away = False
    rig.run(7)
    assert [host.name for host in views(b)[-1].hosts] == ["b"]
    b.take(CAM)
    assert rig.registered() == {DIGEST: "b"}


def test_a_child_that_is_stopped_for_three_seconds_moves_nothing() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    a.take(CAM)
    rig.run(8)
    epoch = a.owned()[DIGEST]
    for _ in range(5):
        a.is_stopped = True
        rig.run(3)
        assert b.outcome(b.publish(CAM)) is ClaimOutcome.ELSEWHERE
        b.end(CAM)
        a.is_stopped = False
        rig.run(3)
    assert a.owned()[DIGEST] == epoch
    assert rig.registered() == {DIGEST: "a"}
    assert len(views(b)[-1].hosts) == 2


def test_a_child_in_anothers_place_goes_on_with_its_lease_and_its_keys() -> None:
    rig = Rig("a", "b")
    a, _ = rig.hosts
    a.take(CAM)
    a.take("live/cam2")
    rig.run(3)
    epoch = a.owned()[DIGEST]
    leases = set(rig.store.leases)
    a.streams.discard(StreamId("live/cam2"))  # it ended while no child was there
    a.start()
    rig.run(2)
    assert a.owned() == {DIGEST: epoch}
    assert set(rig.store.leases) == leases
    assert rig.registered() == {DIGEST: "a"}


def test_a_watch_that_brings_nothing_is_replaced() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    rig.run(3)
    a._watch = None  # its member is stopped, and TCP does not say so
    b.take(CAM)
    rig.run(16)
    a.do(a.core.want(OwnerWanted(StreamId(CAM)), rig.now))
    assert owners(a)[-1].host == "b"


def test_who_wants_to_know_an_owner_hears_of_changes_by_either_name() -> None:
    rig = Rig("a", "b")
    a, b = rig.hosts
    rig.run(2)
    a.do(a.core.want(OwnerWanted(StreamId(CAM)), rig.now))
    b.do(b.core.want(OwnerWanted(digest=DIGEST), rig.now))
    assert [owner.host for owner in owners(a)] == [""]
    b.take(CAM)
    rig.run(1)
    assert (owners(a)[-1].host, owners(a)[-1].stream_id) == ("b", CAM)
    assert (owners(b)[-1].is_here, owners(b)[-1].stream_id) == (True, CAM)
    b.end(CAM)
    rig.run(1)
    assert owners(a)[-1].host == ""
    rig.run(16)
    count = len(owners(a))
    b.take(CAM)
    rig.run(1)
    assert len(owners(a)) == count, "nobody asks any more"


HOSTS = ("a", "b", "c")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("take", "take", "take", "end", "cut", "join", "stop", "go on", "restart"),
                *("away", "back", "wipe", "lose", "keep"),
            ]
        ),
        st.integers(0, len(HOSTS) - 1),
        st.integers(0, 2),
        st.sampled_from([0.1, 0.3, 1.0, 3.0, 6.0]),
    ),
    max_size=25,
)


def happen(rig: Rig, what: str, host: Host, stream: str) -> None:
    match what:
        case "take":
            host.take(stream)
        case "end":
            host.end(stream)
        case "cut" | "join":
            host.is_cut = what == "cut"
        case "stop" | "go on":
            host.is_stopped = what == "stop"
        case "restart":
            host.start()
        case "away" | "back":
            rig.is_etcd_away = what == "away"
        case "lose" | "keep":
            rig.loses_answers = what == "lose"
        case "wipe":
            rig.store.wipe()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS)
def test_whatever_happens_a_stream_has_one_owner_and_all_are_registered_in_the_end(
    events: list[tuple[str, int, int, float]],
) -> None:
    rig = Rig(*HOSTS)
    rig.run(1)
    for what, number, stream, seconds in events:
        known = {host.name: set(host.core.view.hosts) for host in rig.hosts}
        cut = [host for host in rig.hosts if host.is_cut or rig.is_etcd_away]
        happen(rig, what, rig.hosts[number], f"live/{stream}")
        for host in cut:
            if what == "restart" and host is rig.hosts[number]:
                cut = [one for one in cut if one is not host]
        rig.run(seconds)
        for host in cut:
            if host.is_cut or rig.is_etcd_away:  # it declares nobody gone
                assert set(host.core.view.hosts) >= known[host.name]
    rig.is_etcd_away = rig.loses_answers = False
    for host in rig.hosts:
        host.is_cut = host.is_stopped = False
    rig.run(TOUCH_S + 14)
    assert all(host.is_in_touch for host in rig.hosts)
    registered = rig.registered()
    held: dict[str, set[str]] = {}
    for host in rig.hosts:
        for stream_id in host.streams:
            held.setdefault(stream_digest(SECRET, stream_id), set()).add(host.name)
    assert registered.keys() == held.keys()
    for digest, name in registered.items():
        assert name in held[digest]
        assert [host.name for host in rig.hosts if digest in host.owned()] == [name]


def test_a_claim_replaces_the_key_of_an_owner_that_is_given_up_and_no_other() -> None:
    """Without waiting for its lease: its host may be alive, and not to be reached by a link."""
    rig = Rig("h1", "h2", "h3")
    rig.run(7)
    first, second, third = rig.hosts
    first.take("live/a")
    rig.run(1)
    (before,) = first.owned().values()
    number = second.publish("live/a", replaces=before - 1)
    rig.run(1)
    assert second.outcome(number) is ClaimOutcome.ELSEWHERE, "of another claim"
    second.end("live/a")
    asked = [host.publish("live/a", replaces=before) for host in (second, third)]
    rig.run(1)
    outcomes = [host.outcome(one) for host, one in zip((second, third), asked, strict=True)]
    assert sorted(filter(None, outcomes)) == [ClaimOutcome.ELSEWHERE, ClaimOutcome.OWNED]
    (after,) = [epoch for host in (second, third) for epoch in host.owned().values()]
    assert after > before
    assert first.owned() == {}, "it knows by its watch"


LEASE_S = 5.5  # a killed host's name is free when its lease has ended
HEALED_S = 2.0  # within which a stream that several hosts have is one's
SPLITS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "end", "cut", "cut", "break", "kill", "heal"]),
        st.integers(0, len(HOSTS) - 1),
        st.integers(0, 1),
        st.sampled_from([0.1, 0.5, 1.0, 3.0, 6.0]),
    ),
    max_size=20,
)


def heal(rig: Rig) -> None:
    """The network is whole, and who was killed is started anew, without streams."""
    rig.broken.clear()
    for host in rig.hosts:
        host.is_cut = False
        if host.is_dead:
            host.is_dead = False
            host.farm += "+"
            host.streams.clear()
            host.waiting.clear()
            host.lost_s.clear()
            host.start()


def assert_one_owner_each(rig: Rig) -> None:
    """What runs at hosts that had a lease all the time, or have one again, is one host's."""
    owners = rig.registered()
    running = {(host.name, one) for host in rig.hosts for one in host.streams}
    for name, stream in running:
        digest = stream_digest(SECRET, stream)
        assert owners.get(digest) == name, f"{stream} runs at {name}, whose is it? {owners}"
    assert len({stream for _, stream in running}) == len(running)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SPLITS)
def test_after_every_split_and_kill_a_stream_is_one_hosts_again_within_two_seconds(
    events: list[tuple[str, int, int, float]],
) -> None:
    """`Rig.check` holds at every step that an epoch of a stream is one host's, for ever."""
    rig = Rig(*HOSTS)
    rig.ends_lost = True
    rig.run(6)
    for what, number, stream, seconds in (*events, ("heal", 0, 0, 0.1)):
        host = rig.hosts[number]
        match what:
            case "cut":
                host.is_cut = True
            case "break":
                rig.broken.append({HOSTS[number], HOSTS[number - 1]})
            case "kill":
                host.is_dead = True
            case "heal":
                was_killed = any(host.is_dead for host in rig.hosts)
                heal(rig)
                rig.run(HEALED_S + (LEASE_S if was_killed else 0.0))
                assert_one_owner_each(rig)
            case _ if not host.is_dead:
                happen(rig, what, host, f"live/{stream}")
        rig.run(seconds)
