"""supervisor/farm/registry/drain.py: a farm that is drained, beside another host."""

from dataclasses import replace
from typing import Any

import pytest

from common.access.refusal import RefusalReason
from common.config.settings import ClusterSettings, Settings
from common.ipc.cluster_messages import (
    ClaimOutcome,
    ClaimStream,
    ClusterView,
    HostView,
    StreamClaimed,
    StreamOwner,
)
from common.ipc.control_messages import EndStream, PublishEnd
from common.ipc.forward_messages import ForwardLost, ForwardTo
from common.ipc.identity import ChildId, StreamId
from common.ipc.relay_messages import RemotePlay
from common.ipc.status_messages import RenditionStatus, ServedStatus
from supervisor.farm.actions import Action, Send
from supervisor.farm.registry.drain import AGAIN_S, LEAVE_S
from tests.kit.children import EGRESS0, INGEST0
from tests.kit.farm_rig import Rig

CLUSTER0 = ChildId("cluster")
A = StreamId("live/a")
CLUSTER = ClusterSettings("c", "h1", "/s", ("http://e:1",), cert="/c", key="/k", ca="/ca")
HOST = HostView("h3", relay="h3:1936", free={"software": 90.0}, capacity={"software": 100.0})
OWN = StreamOwner("0" * 64, A, "h1", "h1:1936", 21, is_here=True)


def sent(actions: list[Action], child: ChildId) -> list[Any]:
    return [one.message for one in actions if isinstance(one, Send) and one.child == child]


def live_rig(*hosts: HostView, **publisher: Any) -> Rig:
    """A farm with one stream, beside these hosts."""
    rig = Rig(Settings(cluster=CLUSTER))
    rig.up(CLUSTER0)
    rig.say(CLUSTER0, ClusterView(True, hosts=hosts))
    for action in rig.ask():
        if isinstance(action, Send) and isinstance(action.message, ClaimStream):
            number = action.message.request_id
    rig.say(CLUSTER0, StreamClaimed(number, A, ClaimOutcome.OWNED, OWN))
    rig.format()
    rig.beat(INGEST0, publishers=(rig.publisher(format=rig.stream().format, **publisher),))
    return rig


def drain(rig: Rig) -> list[Any]:
    rig.farm.drain.begin(None, rig.now)
    assert rig.farm.registry.next_deadline() <= rig.now
    return sent(rig.farm.registry.tick(rig.now), INGEST0)


def test_a_stream_is_cut_and_goes_on_at_a_host_with_room() -> None:
    rig = live_rig(HOST)
    (to,) = drain(rig)
    assert isinstance(to, ForwardTo)
    assert (to.request_id, to.host, to.replaces, to.is_cut) == (0, "h3", 21, True)
    assert to.generation > rig.stream().generation
    rig.now += 2
    assert sent(rig.farm.registry.tick(rig.now), INGEST0) == [], "it is on its way"
    # the claim is the other host's by then, and the stream ends nowhere for it
    elsewhere = replace(OWN, host="h3", is_here=False, epoch=22)
    rig.say(CLUSTER0, StreamClaimed(0, A, ClaimOutcome.ELSEWHERE, elsewhere))
    rig.now += 2
    assert sent(rig.farm.registry.tick(rig.now), INGEST0) == []
    rig.say(INGEST0, PublishEnd(A, rig.stream().generation, "it goes on at host h3"))
    assert A not in rig.farm.state.streams


def test_one_that_does_not_go_is_tried_again_and_ends_for_nothing() -> None:
    rig = live_rig(HOST)
    (to,) = drain(rig)
    assert rig.say(INGEST0, ForwardLost(0, A, to.generation, "host h3 is full")) == []
    assert rig.stream().is_live
    rig.now += AGAIN_S + 1
    (again,) = sent(rig.farm.registry.tick(rig.now), INGEST0)
    assert again.generation > to.generation


def test_a_publisher_of_another_host_is_left_to_that_and_ends_if_it_does_not_take_it() -> None:
    rig = live_rig(HOST, by_host="h2")
    assert drain(rig) == []
    rig.now += LEAVE_S + 0.1
    (end,) = sent(rig.farm.registry.tick(rig.now), INGEST0)
    assert isinstance(end, EndStream)
    assert end.refusal.reason is RefusalReason.FULL
    assert not end.refusal.is_lasting
    assert end.hold_ms > 0


def test_one_that_its_publisher_s_host_has_claimed_is_waited_for_up_to_its_keyframe() -> None:
    rig = live_rig(HOST, by_host="h2")
    assert drain(rig) == []
    elsewhere = replace(OWN, host="h2", is_here=False, epoch=22)
    rig.say(CLUSTER0, StreamClaimed(0, A, ClaimOutcome.ELSEWHERE, elsewhere))
    rig.now += AGAIN_S - 0.1
    assert sent(rig.farm.registry.tick(rig.now), INGEST0) == []
    rig.say(INGEST0, PublishEnd(A, rig.stream().generation, "it goes on at host h2"))
    assert A not in rig.farm.state.streams


@pytest.mark.parametrize("by_host", ["", "h2"])
@pytest.mark.parametrize(
    "hosts", [(), (replace(HOST, is_draining=True),), (replace(HOST, free={"software": 0.0}),)]
)
def test_without_a_host_with_room_streams_stay(hosts: tuple[HostView, ...], by_host: str) -> None:
    rig = live_rig(*hosts, by_host=by_host)
    assert drain(rig) == []
    rig.now += LEAVE_S + 0.1
    assert sent(rig.farm.registry.tick(rig.now), INGEST0) == []
    assert rig.stream().is_live


def test_a_drain_that_is_taken_back_moves_nothing_more() -> None:
    rig = live_rig()
    assert drain(rig) == []
    rig.farm.drain.end()
    rig.say(CLUSTER0, ClusterView(True, hosts=(HOST,)))
    rig.now += AGAIN_S + 1
    assert sent(rig.farm.registry.tick(rig.now), INGEST0) == []


def test_a_publisher_that_is_away_keeps_its_stream_here() -> None:
    rig = live_rig(HOST)
    rig.beat(INGEST0, publishers=(rig.publisher(is_live=False),))
    assert drain(rig) == []


def test_players_here_get_what_moved_from_there_at_once() -> None:
    relay = ChildId("relay")
    rig = live_rig(HOST)
    rig.up(relay)
    rendition = RenditionStatus("360p", 640, 360, players=2)
    served = ServedStatus(A, rig.stream().generation, (rendition,))
    rig.beat(EGRESS0, served=(served,))
    assert sent(rig.actions, relay) == [], "it is here"
    drain(rig)
    ended = rig.say(INGEST0, PublishEnd(A, rig.stream().generation, "it goes on at host h3"))
    (play,) = sent(ended, relay)
    assert isinstance(play, RemotePlay)
    assert (play.stream_id, play.renditions) == (A, ("360p",))
