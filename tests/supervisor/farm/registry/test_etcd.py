"""supervisor/farm/registry/etcd.py: a farm whose cluster child is messages."""

from dataclasses import replace
from typing import Any

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.settings import ClusterSettings, Settings, Software
from common.ipc.cluster_messages import (
    ClaimOutcome,
    ClaimStream,
    ClusterView,
    HeldStreams,
    HostReach,
    HostReachWanted,
    HostRoom,
    HostView,
    Reach,
    ReleaseStream,
    StreamClaimed,
    StreamOwner,
)
from common.ipc.control_messages import (
    EndStream,
    Heartbeat,
    Placement,
    PublishEnd,
    PublishRequest,
    Refused,
    StreamWanted,
)
from common.ipc.forward_messages import ForwardLost, ForwardTo
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.relay_messages import RemotePlay
from common.ipc.status_messages import PublisherStatus
from common.media.clock import ClockReference
from supervisor.farm.actions import Action, Send
from supervisor.farm.registry.etcd import LOOK_S, RELAY_S, TOPOLOGY_S
from supervisor.farm.registry.lost_streams import GRACE_S
from tests.kit.children import EGRESS0, INGEST0
from tests.kit.farm_rig import ADDRESS, Rig

CLUSTER0, RELAY0 = ChildId("cluster"), ChildId("relay", "0")
RELAY1 = ChildId("relay", index=1)
A = StreamId("live/a")
CLUSTER = ClusterSettings("c", "h1", "/s", ("http://e:1",))
RELAYED = replace(CLUSTER, cert="/c", key="/k", ca="/ca")
OTHER = StreamOwner("0" * 64, A, "h2", "h2:1936", 7)


def new_rig(*, in_touch: bool = True, cluster: ClusterSettings = CLUSTER) -> Rig:
    rig = Rig(Settings(cluster=cluster))
    assert sent(rig.up(CLUSTER0), CLUSTER0)[0] == HeldStreams(())
    rig.say(CLUSTER0, ClusterView(in_touch))
    return rig


def sent(actions: list[Action], child: ChildId) -> list[Any]:
    return [one.message for one in actions if isinstance(one, Send) and one.child == child]


def ask(rig: Rig, stream: StreamId = A, number: int = 1) -> list[Action]:
    return rig.say(INGEST0, PublishRequest(number, stream, ADDRESS))


def answer(
    rig: Rig, number: int, outcome: ClaimOutcome, owner: StreamOwner | None = None
) -> list[Action]:
    return rig.say(CLUSTER0, StreamClaimed(number, A, outcome, owner))


def beat(rig: Rig) -> list[Any]:
    return sent(rig.say(CLUSTER0, Heartbeat(CLUSTER0, BootId("0" * 16))), CLUSTER0)


def test_a_publisher_is_let_in_when_its_stream_is_this_hosts() -> None:
    rig = new_rig()
    (claim,) = sent(actions := ask(rig), CLUSTER0)
    assert claim == ClaimStream(1, A)
    assert sent(actions, INGEST0) == []
    (placed,) = sent(answer(rig, 1, ClaimOutcome.OWNED), INGEST0)
    assert isinstance(placed, Placement)
    assert rig.farm.registry.unregistered == set()


def test_a_stream_of_another_host_is_refused_in_words_that_say_what_to_do() -> None:
    rig = new_rig()
    ask(rig)
    actions = answer(rig, 1, ClaimOutcome.ELSEWHERE, OTHER)
    (refused,) = sent(actions, INGEST0)
    assert isinstance(refused, Refused)
    assert refused.refusal.reason is RefusalReason.NAME_IN_USE
    assert refused.refusal.words == (
        "the stream is published at host h2: publish it there, or end it there first"
    )
    assert sent(actions, CLUSTER0) == [ReleaseStream(A)]
    assert A not in rig.farm.state.streams


def test_a_claim_that_is_not_answered_is_waited_for_half_a_second() -> None:
    rig = new_rig()
    ask(rig)
    assert rig.farm.next_deadline() <= rig.now + 0.5
    assert sent(rig.tick(0.4), INGEST0) == []
    (placed,) = sent(rig.tick(0.2), INGEST0)
    assert isinstance(placed, Placement)
    assert rig.farm.registry.unregistered == {A}
    assert sent(answer(rig, 1, ClaimOutcome.OWNED), INGEST0) == [], "it has been answered"
    assert rig.farm.registry.unregistered == set()


def test_nothing_is_waited_for_where_etcd_is_away() -> None:
    rig = new_rig(in_touch=False)
    actions = ask(rig)
    assert isinstance(sent(actions, INGEST0)[0], Placement)
    assert sent(actions, CLUSTER0) == [ClaimStream(0, A)]
    assert rig.farm.registry.unregistered == {A}
    answer(rig, 0, ClaimOutcome.OWNED)
    assert rig.farm.registry.unregistered == set()


def test_nothing_is_waited_for_where_there_is_no_cluster_child() -> None:
    rig = Rig(Settings(cluster=CLUSTER))
    assert isinstance(sent(ask(rig), INGEST0)[0], Placement)
    (held, room) = sent(rig.up(CLUSTER0), CLUSTER0)
    assert held == HeldStreams((A,))
    assert isinstance(room, HostRoom)


def test_who_waits_for_a_cluster_child_that_dies_is_let_in_at_once() -> None:
    rig = new_rig()
    ask(rig)
    assert isinstance(sent(rig.down(CLUSTER0), INGEST0)[0], Placement)
    assert rig.farm.registry.unregistered == {A}


def test_an_answer_that_etcd_is_away_lets_in_unregistered() -> None:
    rig = new_rig()
    ask(rig)
    assert isinstance(sent(answer(rig, 1, ClaimOutcome.AWAY), INGEST0)[0], Placement)
    assert rig.farm.registry.unregistered == {A}


def test_the_end_of_a_stream_releases_it() -> None:
    rig = new_rig()
    ask(rig)
    answer(rig, 1, ClaimOutcome.OWNED)
    generation = rig.farm.state.streams[A].generation
    actions = rig.say(INGEST0, PublishEnd(A, generation, "it ended"))
    assert sent([*actions, *rig.tick()], CLUSTER0) == [ReleaseStream(A)]


def test_who_goes_while_a_claim_is_asked_for_leaves_no_claim() -> None:
    rig = new_rig()
    ask(rig)
    rig.say(INGEST0, PublishEnd(A, Generation(0), "gone"))
    assert sent(answer(rig, 1, ClaimOutcome.OWNED), INGEST0) == []
    assert ReleaseStream(A) in beat(rig)


def test_a_request_that_finds_no_room_leaves_no_claim() -> None:
    rig = Rig(Settings(cluster=CLUSTER), workers=0)
    rig.up(CLUSTER0)
    rig.say(CLUSTER0, ClusterView(True))
    rig.farm.admission.closed = "it is drained"
    ask(rig)
    actions = answer(rig, 1, ClaimOutcome.OWNED)
    assert isinstance(sent(actions, INGEST0)[0], Refused)
    assert sent(actions, CLUSTER0) == [ReleaseStream(A)]


def test_a_publisher_that_comes_back_to_its_stream_waits_for_nobody() -> None:
    rig = new_rig()
    ask(rig)
    answer(rig, 1, ClaimOutcome.OWNED)
    actions = ask(rig, number=2)
    assert sent(actions, CLUSTER0) == []
    assert len(sent(actions, INGEST0)) == 1


def test_a_stream_that_is_anothers_too_is_unregistered_and_ends_soon() -> None:
    rig = new_rig(in_touch=False)
    ask(rig)
    answer(rig, 0, ClaimOutcome.ELSEWHERE, OTHER)
    assert A in rig.farm.state.streams
    assert rig.farm.registry.unregistered == {A}
    assert rig.farm.state.history[-1].text == "host h2 has this stream, too"
    assert rig.farm.next_deadline() <= rig.now + GRACE_S
    (end,) = sent(rig.tick(GRACE_S), INGEST0)
    assert isinstance(end, EndStream)
    assert "host h2" in end.refusal.words


def test_a_heartbeat_is_answered_with_what_is_free() -> None:
    rig = new_rig()
    (room,) = beat(rig)
    assert room == HostRoom({"software": 200.0}, {"software": 200.0}, 0, False)
    rig.farm.admission.closed = "it is drained"
    assert beat(rig)[0].is_draining


def test_many_streams_are_told_in_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = new_rig(in_touch=False)
    for number in range(3):
        ask(rig, StreamId(f"live/{number}"), number)
    monkeypatch.setattr("supervisor.farm.registry.etcd.MAX_HELD", 2)
    held = [one for one in sent(rig.up(CLUSTER0), CLUSTER0) if isinstance(one, HeldStreams)]
    assert [(len(one.stream_ids), one.is_last) for one in held] == [(2, False), (1, True)]


# ---- publishers of streams that other hosts have --------------------------------------------


def forwarded(rig: Rig, number: int = 1) -> ForwardTo:
    ask(rig, number=number)
    (to,) = sent(answer(rig, 1, ClaimOutcome.ELSEWHERE, OTHER), INGEST0)
    assert isinstance(to, ForwardTo)
    return to


def lose(rig: Rig, to: ForwardTo, request: int = 0) -> list[Action]:
    return rig.say(INGEST0, ForwardLost(request, A, to.generation, "host h2 cannot be reached"))


def test_the_publisher_of_another_hosts_stream_is_forwarded_to_it() -> None:
    rig = new_rig(cluster=RELAYED)
    ask(rig, number=5)
    actions = answer(rig, 1, ClaimOutcome.ELSEWHERE, OTHER)
    (to,) = sent(actions, INGEST0)
    assert (to.request_id, to.host, to.relay, to.template.name) == (5, "h2", "h2:1936", "live")
    assert sent(actions, CLUSTER0) == [ReleaseStream(A)]
    assert A not in rig.farm.state.streams


def test_who_comes_from_another_host_is_not_forwarded_once_more() -> None:
    rig = new_rig(cluster=RELAYED)
    rig.say(INGEST0, PublishRequest(1, A, ADDRESS, is_forwarded=True))
    (refused,) = sent(answer(rig, 1, ClaimOutcome.ELSEWHERE, OTHER), INGEST0)
    assert refused.refusal.reason is RefusalReason.NAME_IN_USE


def test_a_host_without_a_relay_is_no_way() -> None:
    rig = new_rig(cluster=RELAYED)
    ask(rig)
    without = replace(OTHER, relay="")
    (refused,) = sent(answer(rig, 1, ClaimOutcome.ELSEWHERE, without), INGEST0)
    assert isinstance(refused, Refused)


def test_a_claim_replaces_that_of_a_host_which_gives_the_stream_up() -> None:
    rig = new_rig(cluster=RELAYED)
    asked = PublishRequest(1, A, ADDRESS, is_forwarded=True, replaces=7)
    assert sent(rig.say(INGEST0, asked), CLUSTER0) == [ClaimStream(1, A, 7)]


@pytest.mark.parametrize("request_id", [0, 5])
def test_a_lost_way_has_the_stream_begin_here(request_id: int) -> None:
    """Over the key of the host that cannot be reached, without waiting for its lease."""
    rig = new_rig(cluster=RELAYED)
    to = forwarded(rig, 5)
    actions = lose(rig, to, request_id)
    assert sent(actions, CLUSTER0) == [ClaimStream(2, A, OTHER.epoch)]
    assert lose(rig, to, request_id) == [], "said again"
    (placed,) = sent(answer(rig, 2, ClaimOutcome.OWNED), INGEST0)
    assert isinstance(placed, Placement)
    assert (placed.request_id, placed.stream_id) == (request_id, A)
    assert placed.generation > to.generation
    assert lose(rig, to, request_id) == []


def test_a_lost_way_leads_to_whoever_has_the_stream_now() -> None:
    rig = new_rig(cluster=RELAYED)
    to = forwarded(rig)
    lose(rig, to)
    other = replace(OTHER, host="h3", relay="h3:1936", epoch=9)
    (again,) = sent(answer(rig, 2, ClaimOutcome.ELSEWHERE, other), INGEST0)
    assert (again.host, again.request_id) == ("h3", 0)
    assert again.generation > to.generation
    assert lose(rig, to) == [], "of a way that is not in force"
    assert sent(lose(rig, again), CLUSTER0) == [ClaimStream(3, A, 9)]


def test_without_etcd_the_stream_begins_here_unregistered() -> None:
    rig = new_rig(cluster=RELAYED)
    to = forwarded(rig)
    rig.say(CLUSTER0, ClusterView(False))
    (placed,) = sent(lose(rig, to), INGEST0)
    assert isinstance(placed, Placement)
    assert rig.farm.registry.unregistered == {A}


def test_a_request_is_not_sent_around_for_ever() -> None:
    rig = new_rig(cluster=RELAYED)
    to = forwarded(rig, 5)
    for number in range(2, 9):
        found = lose(rig, to, 5)
        if sent(found, INGEST0):
            break
        (to,) = sent(answer(rig, number, ClaimOutcome.ELSEWHERE, OTHER), INGEST0)
    (refused,) = sent(found, INGEST0)
    assert (refused.request_id, refused.refusal.reason) == (5, RefusalReason.UNAVAILABLE)


def test_a_supervisor_that_starts_knows_what_is_forwarded() -> None:
    rig = new_rig(cluster=RELAYED)
    rig.up(INGEST0, publishers=(status_of(Generation(41)),))
    assert A not in rig.farm.state.streams
    lost = ForwardLost(0, A, Generation(41), "host h2 cannot be reached")
    assert sent(rig.say(INGEST0, lost), CLUSTER0) == [ClaimStream(1, A)]
    (placed,) = sent(answer(rig, 1, ClaimOutcome.OWNED), INGEST0)
    assert placed.generation > 41


def status_of(generation: Generation) -> PublisherStatus:
    reference = ClockReference(0, 0.0)
    return PublisherStatus(A, generation, None, ADDRESS, 0.0, True, reference, forwarded_to="h2")


def test_a_publisher_waits_while_the_host_that_has_its_stream_is_looked_for() -> None:
    rig = new_rig()
    ask(rig)
    assert sent(answer(rig, 1, ClaimOutcome.LOOKING, OTHER), INGEST0) == []
    assert sent(rig.tick(LOOK_S - 0.1), INGEST0) == []
    assert isinstance(sent(answer(rig, 1, ClaimOutcome.OWNED), INGEST0)[0], Placement)


def test_who_is_looked_for_in_vain_is_not_waited_for_for_ever() -> None:
    rig = new_rig()
    ask(rig)
    answer(rig, 1, ClaimOutcome.LOOKING, OTHER)
    assert isinstance(sent(rig.tick(LOOK_S), INGEST0)[0], Placement)
    assert rig.farm.registry.unregistered == {A}


def test_what_runs_goes_on_while_its_host_is_looked_for() -> None:
    rig = new_rig(in_touch=False)
    ask(rig)
    answer(rig, 0, ClaimOutcome.LOOKING, OTHER)
    assert sent(rig.tick(10.0), INGEST0) == []


def test_whether_a_host_is_there_is_asked_of_relays_and_answered_to_the_cluster_child() -> None:
    rig = new_rig()
    rig.up(RELAY0)
    wanted, found = HostReachWanted("h2", "h2:1936"), HostReach("h2", Reach.GONE)
    assert sent(rig.say(CLUSTER0, wanted), RELAY0) == [wanted]
    assert sent(rig.say(RELAY0, found), CLUSTER0) == [found]


def test_a_relay_that_says_hello_again_hears_again_what_is_wanted() -> None:
    """Else it ended all after 20 s, as it was welcomed anew."""
    rig = new_rig(cluster=RELAYED)
    rig.up(RELAY1)
    rig.say(EGRESS0, StreamWanted(EGRESS0, A))
    assert [type(message) for message in sent(rig.up(RELAY1), RELAY1)] == [RemotePlay]


def test_a_relay_that_retires_is_asked_for_no_host() -> None:
    rig = new_rig()
    rig.up(RELAY0, is_retiring=True)
    rig.up(RELAY1)
    wanted = HostReachWanted("h2", "h2:1936")
    told = rig.say(CLUSTER0, wanted)
    assert (sent(told, RELAY0), sent(told, RELAY1)) == ([], [wanted])


# ---- streams that there is no room for ------------------------------------------------------

HOST = HostView("h3", relay="h3:1936", free={"software": 50.0}, capacity={"software": 100.0})


def full_rig(*hosts: HostView) -> Rig:
    """A farm that has no room, beside these."""
    rig = Rig(Settings(cluster=RELAYED, software=Software(capacity=0.01)))
    rig.up(CLUSTER0)
    rig.say(CLUSTER0, ClusterView(True, hosts=hosts))
    return rig


def owned(epoch: int = 21) -> StreamOwner:
    return StreamOwner("0" * 64, A, "h1", "h1:1936", epoch, is_here=True)


def test_a_stream_without_room_here_begins_at_a_host_that_has_some() -> None:
    rig = full_rig(HOST)
    ask(rig, number=5)
    actions = answer(rig, 1, ClaimOutcome.OWNED, owned())
    (to,) = sent(actions, INGEST0)
    assert isinstance(to, ForwardTo)
    assert (to.request_id, to.host, to.replaces) == (5, "h3", 21), "it has the claim of this host"
    assert sent(actions, CLUSTER0) == [ReleaseStream(A)]


@pytest.mark.parametrize(
    "host",
    [
        replace(HOST, is_draining=True),
        replace(HOST, is_missing=True),
        replace(HOST, relay=""),
        replace(HOST, free={"software": 0.0}),
        replace(HOST, name="h1"),
    ],
)
def test_without_such_a_host_it_is_refused_as_ever(host: HostView) -> None:
    rig = full_rig(host)
    ask(rig, number=5)
    (refused,) = sent(answer(rig, 1, ClaimOutcome.OWNED, owned()), INGEST0)
    assert refused.refusal.reason is RefusalReason.FULL


def test_who_comes_from_another_host_is_refused_here_for_that_to_choose_again() -> None:
    rig = full_rig(HOST)
    rig.say(INGEST0, PublishRequest(1, A, ADDRESS, is_forwarded=True))
    (refused,) = sent(answer(rig, 1, ClaimOutcome.OWNED, owned()), INGEST0)
    assert refused.refusal.reason is RefusalReason.FULL


def test_a_host_that_is_full_after_all_is_not_asked_again() -> None:
    rig = full_rig(HOST, replace(HOST, name="h4", relay="h4:1936"))
    ask(rig, number=5)
    (to,) = sent(answer(rig, 1, ClaimOutcome.OWNED, owned()), INGEST0)
    full = Refusal(RefusalReason.FULL, "there is no room there")
    (again,) = sent(rig.say(INGEST0, ForwardLost(5, A, to.generation, "full", full)), INGEST0)
    assert {to.host, again.host} == {"h3", "h4"}
    (refused,) = sent(rig.say(INGEST0, ForwardLost(5, A, again.generation, "full", full)), INGEST0)
    assert refused == Refused(5, A, full)


def test_a_farm_that_is_drained_gives_new_streams_away() -> None:
    rig = full_rig(HOST)
    rig.farm.admission.closed = "the farm is drained"
    ask(rig, number=5)
    (to,) = sent(answer(rig, 1, ClaimOutcome.OWNED, owned()), INGEST0)
    assert to.host == "h3"


def test_a_relay_that_is_started_again_is_waited_for() -> None:
    """Nothing is known of the host then: its stream stays there."""
    rig = new_rig(cluster=RELAYED)
    to = forwarded(rig)
    lost = ForwardLost(0, A, to.generation, "relay:0 is gone", is_here=True)
    assert rig.say(INGEST0, lost) == []
    rig.up(ChildId("relay"))
    assert rig.farm.registry.next_deadline() <= rig.now
    assert sent(rig.farm.registry.tick(rig.now), INGEST0) == []
    rig.now += TOPOLOGY_S
    (again,) = sent(rig.farm.registry.tick(rig.now), INGEST0)
    assert (again.host, again.relay, again.request_id) == ("h2", "h2:1936", 0)
    assert again.generation > to.generation
    lose(rig, again)
    assert rig.farm.registry.next_deadline() > rig.now


def test_the_successor_of_a_relay_that_ends_is_not_waited_for() -> None:
    """As at the deadline of an upgrade."""
    rig = new_rig(cluster=RELAYED)
    rig.up(RELAY0, is_retiring=True)
    rig.up(RELAY1)
    to = forwarded(rig)
    lost = ForwardLost(0, A, to.generation, "relay:0 is gone", is_here=True)
    assert rig.say(INGEST0, lost) == []
    rig.down(RELAY0, crashed=False)
    rig.farm.registry.tick(rig.now)
    rig.now += TOPOLOGY_S
    (again,) = sent(rig.farm.registry.tick(rig.now), INGEST0)
    assert (again.host, again.relay) == ("h2", "h2:1936")


def test_a_relay_that_does_not_come_back_is_done_without() -> None:
    rig = new_rig(cluster=RELAYED)
    to = forwarded(rig)
    rig.say(INGEST0, ForwardLost(0, A, to.generation, "relay:0 is gone", is_here=True))
    rig.now += RELAY_S
    assert sent(rig.farm.registry.tick(rig.now), CLUSTER0) == [ClaimStream(2, A, OTHER.epoch)]
