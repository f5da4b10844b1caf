"""The API's questions to egresses and workers pass through the farm, and the answers back."""

import pytest

from common.ipc.api_messages import (
    MAX_JPEG_BYTES,
    PlayerList,
    PlayersWanted,
    Snapshot,
    SnapshotWanted,
)
from common.ipc.identity import ChildId, StreamId
from supervisor.farm.actions import Send
from tests.kit.children import API0, CPU0, EGRESS0, EGRESS1, INGEST0
from tests.kit.farm_rig import Rig

STREAM = StreamId("live/a")
PLAYERS = PlayersWanted(7, API0, STREAM)
LIST = PlayerList(7, API0, EGRESS0, (), 0)
PICTURE = SnapshotWanted(8, API0, STREAM)


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.up(API0)
    rig.up(EGRESS1)
    return rig


def test_every_egress_is_asked_for_players(rig: Rig) -> None:
    assert rig.say(API0, PLAYERS) == [Send(EGRESS0, PLAYERS), Send(EGRESS1, PLAYERS)]
    assert rig.say(EGRESS0, LIST) == [Send(API0, LIST)]


def test_a_streams_worker_is_asked_for_its_picture(rig: Rig) -> None:
    placed = rig.publish()
    assert placed.worker is not None
    assert rig.say(API0, PICTURE) == [Send(placed.worker, PICTURE)]
    answer = Snapshot(8, API0, STREAM)
    sent = rig.farm.message(placed.worker, answer, rig.now, [b"jpeg"])
    assert sent == [Send(API0, answer, [b"jpeg"])]


@pytest.mark.parametrize(
    ("stream", "problem"),
    [("live/nobody", "there is no such stream"), ("live/a", "it is not transcoded")],
)
def test_where_no_worker_has_it_the_answer_says_why(rig: Rig, stream: str, problem: str) -> None:
    rig.publish()
    for worker in (CPU0, ChildId("worker", "cpu", 1)):
        rig.down(worker)
    (answer,) = rig.say(API0, SnapshotWanted(9, API0, StreamId(stream)))
    assert answer == Send(API0, Snapshot(9, API0, StreamId(stream), problem))


@pytest.mark.parametrize("child", [INGEST0, EGRESS0, CPU0])
def test_no_other_child_asks(rig: Rig, child: ChildId) -> None:
    rig.publish()
    assert rig.say(child, PlayersWanted(1, child, STREAM)) == []
    assert rig.say(child, PLAYERS) == []
    assert rig.say(child, SnapshotWanted(1, child, STREAM)) == []


def test_answers_come_from_those_who_know_and_go_to_the_api_alone(rig: Rig) -> None:
    assert rig.say(CPU0, LIST) == []
    assert rig.say(EGRESS1, LIST) == [], "it is another's list"
    assert rig.say(EGRESS0, PlayerList(7, INGEST0, EGRESS0, (), 0)) == []
    assert rig.say(EGRESS0, Snapshot(8, API0, STREAM)) == []
    assert rig.say(CPU0, Snapshot(8, INGEST0, STREAM)) == []
    rig.down(API0)
    assert rig.say(EGRESS0, LIST) == []


def test_what_is_no_small_picture_is_dropped(rig: Rig) -> None:
    answer = Snapshot(8, API0, STREAM)
    large = [b"x" * (MAX_JPEG_BYTES + 1)]
    assert rig.farm.message(CPU0, answer, rig.now, large) == []
