"""supervisor/farm/forwarding/remote_plays.py"""

from dataclasses import replace
from typing import Any

import pytest

from common.config.settings import Settings
from common.ipc.cluster_messages import OwnerWanted, StreamOwner
from common.ipc.control_messages import Endpoint, Hello, StreamWanted
from common.ipc.identity import BootId, ChildId, StreamId
from common.ipc.relay_messages import RemotePlay, RemotePlayEnd
from common.ipc.status_messages import RenditionStatus, ServedStatus
from supervisor.farm.actions import Send
from supervisor.farm.forwarding.remote_plays import HANDOVER_MS, RemotePlays
from supervisor.farm.state import Child, FarmState, next_generation

CAM = StreamId("live/cam")
RELAY, CLUSTER, EGRESS = ChildId("relay"), ChildId("cluster"), ChildId("egress")
NEXT, OTHER = ChildId("relay", index=1), StreamId("live/other")
DIGEST = "ab" * 32


class Rig:
    def __init__(self, *, cluster: bool = True) -> None:
        settings = Settings()
        if cluster:
            known = replace(settings.cluster, name="farm", cert="a", key="b", ca="c")
            settings = replace(settings, cluster=known)
        self.state = FarmState(settings, 4)
        self.plays = RemotePlays(self.state)
        self.now = 100.0
        for child in (RELAY, CLUSTER, EGRESS):
            self.up(child)

    def up(self, child: ChildId, boot: str = "b", **more: Any) -> None:
        hello = Hello(child, BootId(boot), 1, 1, Endpoint(child, BootId(boot)), **more)
        self.state.children[child] = Child.of(hello, None)

    def want(self, child: ChildId = EGRESS, *names: str) -> None:
        self.plays.on_wanted(child, StreamWanted(child, CAM, names), self.now)

    def served(self, players: int = 1, waiting: int = 0) -> None:
        rendition = RenditionStatus("720p", players=players)
        status = ServedStatus(CAM, 1, (rendition,), waiting, {})  # type: ignore[arg-type]  # a number
        self.plays.on_served(EGRESS, (status,), self.now)

    def update(self, seconds: float = 0.0) -> list[Any]:
        """What the relay is told."""
        self.now += seconds
        sends = self.plays.update(self.now)
        assert all(isinstance(send, Send) and send.child == RELAY for send in sends)
        return [send.message for send in sends if isinstance(send, Send)]

    def told(self) -> list[tuple[ChildId, Any]]:
        """What each relay is told."""
        sends = self.plays.update(self.now)
        return [(send.child, send.message) for send in sends if isinstance(send, Send)]

    def owner(
        self, epoch: int, host: str = "host-a", farm: str = "", *, is_certain: bool = True
    ) -> list[tuple[ChildId, Any]]:
        message = StreamOwner(
            DIGEST, CAM, host, "10.0.0.1:1936", epoch, is_certain=is_certain, farm=farm
        )
        actions = self.plays.handlers[StreamOwner](CLUSTER, message, self.now)
        return [(send.child, send.message) for send in actions if isinstance(send, Send)]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_what_is_wanted_and_not_here_is_played_until_nobody_wants_it(rig: Rig) -> None:
    rig.want(EGRESS, "720p")
    assert rig.update() == [RemotePlay(CAM, next_generation(rig.state) - 1, ("720p",))]  # type: ignore[arg-type]  # a number
    assert rig.update(1.0) == []
    rig.now += 8.0
    rig.served()
    assert rig.update(9.0) == []
    assert rig.update(1.5) == [RemotePlayEnd(CAM, "nobody plays it here any more")]
    assert rig.update(1.0) == []


def test_who_names_no_rendition_has_the_smallest_to_begin_with(rig: Rig) -> None:
    rig.want()
    (play,) = rig.update()
    smallest = rig.state.settings.templates[0].renditions[-1].name
    assert play.renditions == (smallest,)
    rig.plays.on_wanted(EGRESS, StreamWanted(EGRESS, StreamId("unknown/cam")), rig.now)
    (play,) = rig.update()
    assert play.renditions == ("source",)


def test_players_alone_are_enough_for_a_supervisor_that_starts_anew(rig: Rig) -> None:
    rig.state.is_adopting = True
    rig.served()
    assert rig.update() == []
    rig.state.is_adopting = False
    rig.served(players=0)
    assert rig.update() == []
    rig.served(players=0, waiting=1)
    assert [type(message) for message in rig.update()] == [RemotePlay]


def test_what_is_published_here_is_played_from_elsewhere_no_more(rig: Rig) -> None:
    rig.want()
    rig.update()
    rig.state.streams[CAM] = object()  # type: ignore[assignment]  # any stream
    rig.served()
    assert rig.update() == [RemotePlayEnd(CAM, "it is published here", HANDOVER_MS)]
    rig.want()
    assert rig.update() == []


def test_another_relay_is_told_all_under_higher_generations(rig: Rig) -> None:
    rig.want()
    (first,) = rig.update()
    rig.up(RELAY, "c")
    (again,) = rig.update()
    assert again.generation > first.generation
    del rig.state.children[RELAY]
    assert rig.update() == []
    rig.up(RELAY, "d")
    assert len(rig.update()) == 1


def test_a_relay_that_retires_keeps_what_it_has_and_its_successor_gets_the_rest(rig: Rig) -> None:
    rig.want()
    rig.update()
    rig.up(NEXT)
    assert rig.told() == [], "its successor is up, and it serves"
    rig.up(RELAY, is_retiring=True)
    assert rig.told() == []
    rig.plays.on_wanted(EGRESS, StreamWanted(EGRESS, OTHER), rig.now)
    ((child, play),) = rig.told()
    assert (child, play.stream_id) == (NEXT, OTHER)
    rig.owner(7)
    told = rig.owner(9, "host-c")
    assert [(who, type(message)) for who, message in told] == [
        (RELAY, RemotePlay),  # that plays it
        (RELAY, StreamOwner),
        (NEXT, StreamOwner),
    ]
    rig.now += 11.0
    assert {(child, type(message)) for child, message in rig.told()} == {
        (RELAY, RemotePlayEnd),
        (NEXT, RemotePlayEnd),
    }


def test_a_relay_that_is_welcomed_again_hears_again_what_is_wanted(rig: Rig) -> None:
    """Else it ended all after 20 s: a busy farm's relay says hello several times."""
    rig.want()
    (first,) = rig.update()
    rig.up(RELAY)
    rig.plays.relay_up(RELAY)
    (again,) = rig.update()
    assert (again.stream_id, rig.update()) == (first.stream_id, [])


def test_what_a_relay_had_that_has_retired_its_successor_plays(rig: Rig) -> None:
    rig.want()
    ((_, before),) = rig.told()
    rig.up(NEXT)
    del rig.state.children[RELAY]
    ((child, play),) = rig.told()
    assert child == NEXT
    assert play.generation > before.generation


def test_a_supervisor_that_starts_anew_leaves_a_stream_to_the_relay_that_says_it_has_it(
    rig: Rig,
) -> None:
    rig.up(NEXT)
    rig.up(RELAY, is_retiring=True, pulled=(CAM,))
    rig.served()
    rig.plays.on_wanted(EGRESS, StreamWanted(EGRESS, OTHER), rig.now)
    told = rig.told()
    assert [(child, play.stream_id) for child, play in told] == [(RELAY, CAM), (NEXT, OTHER)]


def test_another_owner_means_another_generation(rig: Rig) -> None:
    rig.want()
    (play,) = rig.update()
    assert [child for child, _ in rig.owner(7)] == [RELAY]
    assert len(rig.owner(7)) == 1
    again, owner = rig.owner(9, "host-c")
    assert again[1].generation > play.generation
    assert (owner[0], owner[1].epoch) == (RELAY, 9)
    assert len(rig.owner(8)) == 1, "an answer that was late changes nothing"


@pytest.mark.parametrize(
    ("between", "farm", "plays"),
    [
        ([], "a1", 0),  # its lease had ended: it claims what it has anew
        ([("", False)], "a1", 0),  # and etcd had lost sight of it
        ([], "a2", 1),  # it has begun anew
        ([("", True)], "a1", 1),  # the stream had ended
        ([("host-c", True)], "a1", 2),  # another host had it meanwhile
    ],
)
def test_a_claim_anew_of_the_same_farm_is_the_same_media(
    rig: Rig, between: list[tuple[str, bool]], farm: str, plays: int
) -> None:
    rig.want()
    rig.update()
    rig.owner(7, "host-a", "a1")
    told = [message for host, sure in between for message in rig.owner(8, host, is_certain=sure)]
    told += rig.owner(9, "host-a", farm)
    assert sum(isinstance(message, RemotePlay) for _, message in told) == plays


def test_relays_ask_the_cluster_child_and_nobody_else_answers(rig: Rig) -> None:
    asked = OwnerWanted(digest=DIGEST)
    ask, answer = rig.plays.handlers[OwnerWanted], rig.plays.handlers[StreamOwner]
    assert ask(RELAY, asked, 0.0) == [Send(CLUSTER, asked)]
    assert ask(EGRESS, asked, 0.0) == []
    assert answer(EGRESS, StreamOwner(DIGEST), 0.0) == []


def test_a_relay_that_serves_a_stream_wants_none_of_another_host(rig: Rig) -> None:
    rig.want(RELAY, "720p")
    assert rig.update() == []


def test_a_farm_without_a_cluster_notes_nothing() -> None:
    rig = Rig(cluster=False)
    rig.want()
    rig.served()
    assert rig.update() == []


def test_names_of_players_are_bounded(rig: Rig) -> None:
    for number in range(5000):
        rig.plays.on_wanted(EGRESS, StreamWanted(EGRESS, StreamId(f"live/{number}")), rig.now)
    assert len(rig.update()) == 4000
