"""supervisor/farm/registry/leaving.py: a host that this one forwards publishers to is drained"""

from dataclasses import replace
from typing import Any

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.settings import Settings
from common.ipc.cluster_messages import (
    ClaimOutcome,
    ClaimStream,
    ClusterView,
    HostView,
    ReleaseStream,
    StreamClaimed,
    StreamOwner,
)
from common.ipc.control_messages import Placement, PublishRequest, Refused
from common.ipc.forward_messages import ForwardLost, ForwardTo
from common.ipc.identity import StreamId
from supervisor.farm.actions import Action
from supervisor.farm.registry.etcd import CLAIM_S
from supervisor.farm.registry.leaving import AGAIN_S
from tests.kit.children import INGEST0
from tests.kit.farm_rig import Rig
from tests.supervisor.farm.registry.test_drain import CLUSTER, CLUSTER0, HOST, A, sent

OWNER = HostView("h2", relay="h2:1936", free={"software": 90.0}, capacity={"software": 100.0})
THEIRS = StreamOwner("0" * 64, A, "h2", "h2:1936", 21)
OWN = replace(THEIRS, host="h1", relay="h1:1936", epoch=30, is_here=True)


class Leaving(Rig):
    """A farm that forwards a publisher to h2."""

    def __init__(self, *, epoch: int = 21) -> None:
        super().__init__(Settings(cluster=CLUSTER))
        self.up(CLUSTER0)
        self.say(CLUSTER0, ClusterView(True, hosts=(OWNER, HOST)))
        number = self.claim(self.ask()).request_id
        owner = replace(THEIRS, epoch=epoch)
        (self.way,) = sent(
            self.say(CLUSTER0, StreamClaimed(number, A, ClaimOutcome.ELSEWHERE, owner)), INGEST0
        )
        assert isinstance(self.way, ForwardTo)
        status = self.publisher(forwarded_to="h2", generation=self.way.generation)
        self.beat(INGEST0, publishers=(status,))

    def claim(self, actions: list[Action]) -> ClaimStream:
        found = [m for m in sent(actions, CLUSTER0) if isinstance(m, ClaimStream)]
        assert len(found) == 1, found
        return found[0]

    def drained(self) -> list[Action]:
        hosts = replace(OWNER, is_draining=True), HOST
        return self.say(CLUSTER0, ClusterView(True, hosts=hosts))

    def claimed(self, number: int, outcome: ClaimOutcome, owner: Any) -> list[Action]:
        return self.say(CLUSTER0, StreamClaimed(number, A, outcome, owner))


@pytest.fixture
def rig() -> Leaving:
    return Leaving()


def test_its_stream_goes_on_here_where_there_is_room(rig: Leaving) -> None:
    claim = rig.claim(rig.drained())
    assert claim.replaces == 21
    assert sent(rig.drained(), CLUSTER0) == [], "it is on its way"
    (placed,) = sent(rig.claimed(claim.request_id, ClaimOutcome.OWNED, OWN), INGEST0)
    assert isinstance(placed, Placement)
    assert placed.request_id == 0
    assert A in rig.farm.state.streams


def test_a_claim_that_is_not_known_yet_is_learnt(rig: Leaving) -> None:
    claim = rig.claim(rig.drained())
    newer = replace(THEIRS, epoch=25)
    again = rig.claim(rig.claimed(claim.request_id, ClaimOutcome.ELSEWHERE, newer))
    assert again.replaces == 25
    assert sent(rig.claimed(again.request_id, ClaimOutcome.OWNED, OWN), INGEST0)


@pytest.mark.parametrize(
    ("outcome", "owner"),
    [
        (ClaimOutcome.ELSEWHERE, THEIRS),
        (ClaimOutcome.ELSEWHERE, replace(THEIRS, host="h3")),
        (ClaimOutcome.AWAY, None),
    ],
)
def test_a_claim_that_comes_to_nothing_ends_nothing(
    rig: Leaving, outcome: ClaimOutcome, owner: StreamOwner | None
) -> None:
    claim = rig.claim(rig.drained())
    found = rig.claimed(claim.request_id, outcome, owner)
    assert sent(found, INGEST0) == []
    assert sent(found, CLUSTER0) == [ReleaseStream(A)]
    rig.now += AGAIN_S + 0.1
    assert rig.claim(rig.drained()).request_id > claim.request_id


def test_an_answer_that_does_not_come_lets_nobody_in_twice(rig: Leaving) -> None:
    rig.drained()
    rig.now += CLAIM_S + 0.1
    found = rig.farm.registry.tick(rig.now)
    assert sent(found, INGEST0) == []
    assert A not in rig.farm.state.streams


def test_without_room_here_it_goes_to_a_third_host(rig: Leaving) -> None:
    rig.farm.drain.begin(None, rig.now)
    (to,) = sent(rig.drained(), INGEST0)
    assert isinstance(to, ForwardTo)
    assert (to.request_id, to.host, to.replaces, to.is_cut) == (0, "h3", 21, True)
    refusal = Refusal(RefusalReason.FULL, "there is no room")
    lost = ForwardLost(0, A, to.generation, "host h3 is full", refusal)
    assert sent(rig.say(INGEST0, lost), INGEST0) == [], "it stays where it is"
    # and is the first host's again: when that is lost, it is asked for as before
    gone = rig.say(INGEST0, ForwardLost(0, A, rig.way.generation, "host h2 cannot be reached"))
    assert rig.claim(gone).replaces == 21


def test_a_host_that_is_not_drained_keeps_it(rig: Leaving) -> None:
    found = rig.say(CLUSTER0, ClusterView(True, hosts=(OWNER, replace(HOST, is_draining=True))))
    assert sent(found, INGEST0) + sent(found, CLUSTER0) == []
    assert not [m for m in sent(rig.actions, INGEST0) if isinstance(m, Refused | PublishRequest)]
    assert StreamId("live/a") == A
