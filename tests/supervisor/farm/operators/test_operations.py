"""What an operator asks of a farm, and what it is told."""

from collections.abc import Iterable, Sequence

import pytest

from common.access.bans import Ban
from common.access.credentials import Credentials
from common.ipc.control_messages import BanList, EndStream, Placement
from common.ipc.identity import CPU, ChildId
from common.media.clock import ClockReference
from supervisor.farm.actions import Action, Send
from supervisor.farm.operators.operations import Operations
from supervisor.farm.recovery.lost_workers import POSITIONS_TIMEOUT_S
from supervisor.farm.stream_states import StreamState
from tests.kit.children import CPU0, EGRESS0, INGEST0
from tests.kit.farm_rig import SMALL, Rig


class Kept:
    """Where bans are kept."""

    def __init__(self) -> None:
        self.bans: list[Ban] = []
        self.now = 1000.0
        self.problem = ""

    def now_unix(self) -> float:
        return self.now

    def is_there(self) -> bool:
        return bool(self.bans)

    def read(self) -> list[Ban]:
        return self.bans

    def write(self, bans: Iterable[Ban]) -> str:
        self.bans = list(bans)
        return self.problem


class Desk:
    """Operations on a farm of pure parts, and the actions that they gave."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.done: list[Sequence[Action]] = []
        self.kept = Kept()
        self.operations = Operations(
            rig.farm, self.done.append, lambda: rig.now, self.kept, lambda: "uid 1000"
        )

    def actions(self) -> list[Action]:
        return [action for actions in self.done for action in actions]


@pytest.fixture
def desk(rig: Rig) -> Desk:
    return Desk(rig)


def test_a_kick_ends_the_stream_and_says_so(desk: Desk) -> None:
    desk.rig.publish("live/a")
    assert desk.operations.kick("live", "a", 600.0) == (
        "live/a is being ended; it is refused for 10 min, or until `tfarm kick --undo live/a`"
    )
    (action,) = desk.actions()
    assert isinstance(action, Send)
    assert isinstance(action.message, EndStream)


def test_a_kick_can_be_taken_back_and_given_another_time(desk: Desk) -> None:
    desk.rig.publish("live/a")
    desk.operations.kick("live", "a", 600.0)
    desk.rig.end("live/a")
    assert desk.operations.kick("live", "a", 60.0).startswith("live/a is kept out; it is refused")
    assert desk.operations.unkick("live", "a") == "live/a is not refused any more"
    assert desk.operations.unkick("live", "a") == ""


def test_a_kick_of_nothing_says_nothing(desk: Desk) -> None:
    assert desk.operations.kick("live", "a") == ""
    assert desk.actions() == []


def test_a_drain_moves_streams_and_says_what_is_left(desk: Desk) -> None:
    rig = desk.rig
    worker = rig.publish("live/a").worker
    assert worker is not None
    device = worker.place
    known, text, left = desk.operations.drain(device)
    assert (known, text) == (True, "")
    assert left["sessions"] == 0
    assert worker in rig.farm.state.drained
    assert desk.operations.undrain(device) == (True, f"{device} takes streams again")
    assert worker not in rig.farm.state.drained


def test_a_drain_is_not_held_up_by_what_waits_for_room(desk: Desk) -> None:
    """Its device is down, and starts it no more; what it keeps there is for an undrain."""
    rig = desk.rig
    worker = rig.publish("live/a", SMALL).worker
    status = rig.publisher("live/a", format=SMALL)
    rig.farm.state.update_publisher(INGEST0, status, rig.now)
    desk.operations.drain("cpu:1" if worker == CPU0 else "cpu:0")
    (left,) = desk.operations.drain(str(worker))[2]["streams"]
    assert left["reason"]
    rig.down(worker)
    rig.tick(POSITIONS_TIMEOUT_S)
    assert rig.stream("live/a").state is StreamState.WAITING
    assert desk.operations.drain(str(worker))[2] == {"streams": [], "sessions": 0}


def test_a_device_that_is_not_there_is_named_with_those_that_are(desk: Desk) -> None:
    said = "there is no device gpu7; there are: cpu:0, cpu:1"
    assert desk.operations.drain("gpu7") == (False, said, {})
    assert desk.operations.undrain("gpu7") == (False, said)
    assert desk.done == []


def test_devices_are_named_in_order_whichever_was_ready_first(desk: Desk) -> None:
    for index in (3, 2):
        desk.rig.up(ChildId("worker", CPU, index))
    said = "there is no device gpu7; there are: cpu:0, cpu:1, cpu:2, cpu:3"
    assert desk.operations.undrain("gpu7") == (False, said)


def test_a_drain_of_all_has_the_new_deadline_looked_at(desk: Desk) -> None:
    rig = desk.rig
    rig.publish("live/a")
    assert desk.operations.drain_all(30.0) == {"streams": 1}
    assert len(desk.done) == 1, "or nobody would look at the deadline again"
    rig.refused(rig.ask("live/b"))
    assert desk.operations.undrain_all() == "the farm takes streams again"
    rig.only(rig.ask("live/b"), Placement)


def test_what_is_on_its_way_is_said_to_be_and_moves_again_later(desk: Desk) -> None:
    rig = desk.rig
    desk.operations.drain("cpu:0")
    for key in ("live/a", "live/b"):
        rig.publish(key, SMALL)
        since_s = rig.now - 10
        status = rig.publisher(key, format=SMALL, reference=ClockReference(0, since_s), gop_ms=1000)
        rig.farm.state.update_publisher(INGEST0, status, rig.now)
    desk.operations.undrain("cpu:0")
    desk.operations.drain("cpu:1")
    desk.operations.undrain("cpu:1")
    said = "2 streams are still on the way; ask again in a few seconds"
    assert desk.operations.rebalance() == said
    rig.now += 10
    assert desk.operations.rebalance() == "1 stream moves"


def test_a_drain_tells_what_moves_later_from_what_finds_no_room(desk: Desk) -> None:
    rig = desk.rig
    placed = rig.publish("live/a", SMALL)
    status = rig.publisher("live/a", format=SMALL, can_move=False)
    rig.farm.state.update_publisher(INGEST0, status, rig.now)
    (left,) = desk.operations.drain(str(placed.worker))[2]["streams"]
    assert left["moves_later"]
    assert "keyframe" in left["reason"]


def test_a_farm_that_is_even_is_not_rebalanced(desk: Desk) -> None:
    assert desk.operations.rebalance() == "no move would even the load out"


def test_a_ban_is_told_to_all_that_let_peers_in_and_kept(desk: Desk) -> None:
    desk.rig.up(EGRESS0)
    desk.done.clear()
    assert desk.operations.ban("203.0.113.7", 3600.0, "a flood") == (
        True,
        "203.0.113.7/32 is banned for 1 h 0 min, or until `tfarm unban 203.0.113.7/32`",
    )
    ban = Ban("203.0.113.7/32", "", 4600.0, "a flood", "uid 1000", 1000.0)
    assert desk.kept.bans == [ban]
    told = {action.child: action.message for action in desk.actions() if isinstance(action, Send)}
    assert told == {INGEST0: BanList((ban,)), EGRESS0: BanList((ban,))}
    assert [one["target"] for one in desk.operations.bans()] == ["203.0.113.7/32"]
    desk.done.clear()
    assert desk.operations.unban("203.0.113.7") == (True, "203.0.113.7/32 is not banned any more")
    assert [a.message for a in desk.actions() if isinstance(a, Send)] == [BanList(())] * 2
    assert desk.kept.bans == []
    is_done, words = desk.operations.unban("203.0.113.7")
    assert not is_done
    assert "not banned" in words


def test_a_ban_that_is_not_kept_holds_and_says_so(desk: Desk) -> None:
    desk.kept.problem = "No space left on device"
    is_done, words = desk.operations.ban("live/a", 0.0, "")
    assert is_done
    assert words.endswith("the next supervisor will not know it: No space left on device")
    is_done, words = desk.operations.ban("nonsense", 0.0, "")
    assert not is_done
    assert words == "'nonsense' must be an address, a network or APP/KEY"


def test_a_supervisor_knows_the_bans_of_the_one_before(rig: Rig) -> None:
    desk = Desk(rig)
    desk.operations.ban("live/a", 0.0, "")
    rig.down(INGEST0)
    assert rig.only(rig.up(INGEST0), BanList, INGEST0).bans == tuple(desk.kept.bans)


def test_who_asked_and_whom_it_met_stand_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tfarm")
    desk.rig.publish("live/a", credentials=Credentials("203.0.113.7", ""))
    desk.operations.kick("live", "a", 60.0)
    desk.operations.unkick("live", "a")
    desk.operations.ban("live/a", 0.0, "spam")
    desk.operations.unban("live/a")
    lines = [record.getMessage() for record in caplog.records if " by=" in record.getMessage()]
    assert len(lines) == 4
    assert all("by=uid 1000" in line for line in lines)
    assert "publisher=203.0.113.7" in lines[0]
    assert not any("live/a" in line for line in lines), "a stream's key is a credential"


def test_a_list_that_was_removed_is_kept_once_more(desk: Desk) -> None:
    desk.operations.keep_bans()
    assert desk.kept.bans == []
    desk.operations.ban("live/a", 0.0, "")
    kept, desk.kept.bans = desk.kept.bans, []
    desk.operations.keep_bans()
    assert desk.kept.bans == kept
