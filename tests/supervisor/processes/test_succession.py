"""The replacement of processes one by one, in virtual time."""

from dataclasses import dataclass, field, replace

import pytest

from common.ipc.identity import CPU, ChildId, Role
from common.ipc.kinds import KINDS, Replacing
from supervisor.processes.lifecycle import ChildState
from supervisor.processes.succession import (
    END_S,
    MOVE_S,
    NOBODY,
    ORDER,
    START_S,
    STEADY_S,
    Action,
    Begin,
    End,
    Facts,
    GiveUp,
    Move,
    Old,
    Restart,
    Retire,
    Succession,
    in_order,
    way_of,
)

API, EGRESS, INGEST, HOOKS = (ChildId(kind) for kind in ("api", "egress", "ingest", "hooks"))
WORKER, RELAY = ChildId("worker", CPU), ChildId("relay")
READY = Facts(ChildState.READY, 1, 100.0)
NEW = Facts(ChildState.READY, 2, STEADY_S)


def next_of(child: ChildId) -> ChildId:
    return replace(child, index=child.index + 1)


@dataclass
class Rig:
    """A succession, and the facts that it is given."""

    succession: Succession
    facts: dict[ChildId, Facts] = field(default_factory=dict)
    now: float = 0.0

    def tick(self, after_s: float = 0.0) -> list[Action]:
        self.now += after_s
        return self.succession.tick(lambda child: self.facts.get(child, NOBODY), self.now)


def rig(*children: ChildId, surplus: bool = False) -> Rig:
    olds = [Old(child, 1) for child in children]
    made = Rig(Succession(olds, lambda child: None if surplus else next_of(child)))
    made.facts = dict.fromkeys(children, READY)
    return made


def test_every_kind_has_its_turn_and_workers_go_before_who_has_publishers_and_players() -> None:
    assert set(ORDER) == set(KINDS)
    olds = in_order([Old(ChildId(kind), 1) for kind in KINDS])
    assert tuple(old.child.kind for old in olds) == ORDER
    assert in_order([Old(EGRESS, 1), Old(next_of(WORKER), 1), Old(WORKER, 1)]) == [
        Old(WORKER, 1),
        Old(next_of(WORKER), 1),
        Old(EGRESS, 1),
    ]


def test_a_dedicated_worker_has_nobody_to_move_to() -> None:
    assert way_of(WORKER) is Replacing.MOVE
    assert way_of(replace(WORKER, role=Role.DEDICATED)) is Replacing.RESTART


def test_who_has_connections_retires_when_its_successor_has_been_up_for_a_while() -> None:
    made = rig(INGEST)
    new = next_of(INGEST)
    assert made.tick() == [Begin(INGEST, new)]
    assert made.succession.current == "ingest:1 is started, to replace ingest:0"
    made.facts[new] = Facts(ChildState.STARTING, 2)
    assert made.tick(1.0) == []
    made.facts[new] = Facts(ChildState.READY, 2, STEADY_S - 0.1)
    assert made.tick(1.0) == []
    made.facts[new] = NEW
    assert made.tick(1.0) == [Retire(INGEST)]
    assert (made.succession.is_over, made.succession.problem) == (True, "")
    assert made.succession.done == [INGEST]
    assert made.tick(1.0) == []


def test_a_workers_streams_move_before_it_ends_and_the_next_one_waits_for_that() -> None:
    made = rig(WORKER, EGRESS)
    new = next_of(WORKER)
    assert made.tick() == [Begin(WORKER, new)]
    made.facts[new] = NEW
    made.facts[WORKER] = replace(READY, left=2)
    assert made.tick(1.0) == [Move(WORKER)]
    assert made.succession.current == "what worker:cpu:0 has moves"
    assert made.tick(5.0) == []
    made.facts[WORKER] = READY
    assert made.tick(5.0) == [End(WORKER)]
    assert made.tick(0.1) == []
    del made.facts[WORKER]
    assert made.tick(0.1) == [Begin(EGRESS, next_of(EGRESS))]


def test_one_that_does_not_end_holds_nobody_up_for_ever() -> None:
    made = rig(HOOKS, EGRESS)
    assert made.tick() == [Begin(HOOKS, next_of(HOOKS))]
    made.facts[next_of(HOOKS)] = NEW
    assert made.tick(1.0) == [End(HOOKS)]
    assert made.tick(END_S - 0.1) == []
    assert made.tick(0.1) == [Begin(EGRESS, next_of(EGRESS))]


def test_a_hooks_child_ends_when_what_it_was_asked_is_answered_or_late() -> None:
    for after_s in (5.0, MOVE_S):
        made = rig(HOOKS)
        made.tick()
        made.facts[next_of(HOOKS)] = NEW
        made.facts[HOOKS] = replace(READY, left=3)
        assert made.tick(1.0) == []
        assert made.tick(after_s - 0.1) == []
        if after_s < MOVE_S:
            made.facts[HOOKS] = READY
        assert made.tick(0.1) == [End(HOOKS)]


def test_streams_that_do_not_move_stay_where_they_are_and_nothing_more_is_replaced() -> None:
    made = rig(WORKER, EGRESS)
    made.tick()
    made.facts[next_of(WORKER)] = NEW
    made.facts[WORKER] = replace(READY, left=2, stuck="no room")
    assert made.tick(1.0) == [Move(WORKER)]
    assert made.tick(MOVE_S) == [GiveUp(WORKER, WORKER)]
    assert made.succession.problem == "2 streams do not move off worker:cpu:0: no room"
    assert made.tick(1.0) == []


@pytest.mark.parametrize(
    ("new", "after_s", "why"),
    [
        (Facts(ChildState.BACKOFF, 0, reason="exit code 3"), 0.1, "exit code 3"),
        (Facts(ChildState.FATAL, 0, reason="exit code 2"), 0.1, "exit code 2"),
        (NOBODY, 0.1, "not ready within 60 s"),
        (Facts(ChildState.STARTING, 2), START_S, "not ready within 60 s"),
        # up and down again
        (Facts(ChildState.READY, 2, 0.1), START_S, "not ready within 60 s"),
    ],
)
@pytest.mark.parametrize("old", [EGRESS, WORKER, HOOKS])
def test_a_successor_that_does_not_start_is_given_up_and_who_served_serves_on(
    old: ChildId, new: Facts, after_s: float, why: str
) -> None:
    made = rig(old, INGEST)
    assert made.tick() == [Begin(old, next_of(old))]
    made.facts[next_of(old)] = new
    assert made.tick(after_s) == [GiveUp(old, next_of(old))]
    assert made.succession.problem == f"{next_of(old)} does not start: {why}"
    assert made.succession.is_over
    assert [made.tick(1.0) for _ in range(3)] == [[], [], []]


def test_one_that_has_no_successor_beside_it_is_started_again_in_its_place() -> None:
    made = rig(API)
    assert made.tick() == [Restart(API)]
    assert made.tick(1.0) == [], "it has not ended yet"
    made.facts[API] = Facts(ChildState.STARTING, 2)
    assert made.tick(1.0) == []
    made.facts[API] = NEW
    assert made.tick(1.0) == []
    assert (made.succession.done, made.succession.problem) == ([API], "")
    broken = rig(API)
    broken.tick()
    broken.facts[API] = Facts(ChildState.BACKOFF, 0, reason="exit code 3")
    assert broken.tick(1.0) == []
    assert broken.succession.problem == "api:0 does not start: exit code 3"


def test_one_that_cannot_give_its_port_to_a_successor_is_started_again_in_its_place() -> None:
    """A relay of a version before relays retired."""
    made = rig(RELAY)
    made.facts[RELAY] = replace(READY, gives_listeners=False)
    assert made.tick() == [Restart(RELAY)]
    made = rig(RELAY)
    assert made.tick() == [Begin(RELAY, next_of(RELAY))]


def test_one_that_has_ended_meanwhile_is_replaced_already() -> None:
    made = rig(INGEST, EGRESS, WORKER)
    made.facts[WORKER] = replace(READY, pid=7)  # died, and was started again
    made.facts.pop(EGRESS)
    assert made.tick() == [Begin(INGEST, next_of(INGEST))]
    assert made.succession.done == [WORKER, EGRESS]


def test_a_worker_that_dies_while_its_streams_move_is_gone() -> None:
    made = rig(WORKER)
    made.tick()
    made.facts[next_of(WORKER)] = NEW
    made.facts[WORKER] = replace(READY, left=2)
    made.tick(1.0)
    made.facts[WORKER] = Facts(ChildState.STARTING, 7, left=2)
    assert made.tick(0.1) == [End(WORKER)]


def test_where_there_are_more_than_are_wanted_they_go_without_a_successor() -> None:
    assert rig(EGRESS, surplus=True).tick() == [Retire(EGRESS)]
    assert rig(WORKER, surplus=True).tick()[0] == Move(WORKER)


def test_one_of_a_version_that_cannot_retire_is_left_alone() -> None:
    made = rig(EGRESS, WORKER)
    made.facts[EGRESS] = replace(READY, can_retire=False)
    made.facts[WORKER] = replace(READY, can_retire=False)
    assert made.tick() == [Begin(WORKER, next_of(WORKER))]
    made.facts[next_of(WORKER)] = NEW
    made.tick(1.0)
    made.tick(1.0)
    made.facts.pop(WORKER)
    made.tick(1.0)
    assert (made.succession.done, made.succession.skipped) == ([WORKER], [EGRESS])
    assert made.succession.is_over
