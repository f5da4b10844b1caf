"""ingest/outputs/worker_output.py: placements, cuts, and workers that come and go."""

from dataclasses import replace

import pytest

from common.config.ladder import AwayPicture, MadeWhen
from common.ipc.control_messages import Placement
from common.ipc.identity import BootId, ChildId, Generation
from common.ipc.media_messages import (
    AccessUnit,
    RenditionsWanted,
    StreamEnd,
    StreamPause,
    StreamSplice,
    StreamStart,
    VideoHeader,
)
from common.media.clock import ClockReference
from common.media.units import VideoUnit
from ingest.outputs.worker_output import SPLICE_GRACE_MS, WorkerOutput
from ingest.streams.source_gop import SourceGop
from tests.kit.children import CPU1
from tests.kit.ingest_ports import (
    ANSWER,
    SPS_720,
    STREAM,
    TEMPLATE,
    WORKER,
    FakePeers,
    RememberingPort,
    config,
    video_unit,
)

OTHER = CPU1
ANCHOR = ClockReference(0, 100.0)


def unit(at_ms: int, *, key: bool = False, composition_ms: int = 0) -> VideoUnit:
    return video_unit(at_ms, key=key, composition_ms=composition_ms)


class Around:
    """A side with two workers, and the cache that it starts from."""

    def __init__(self, max_gop_ms: int = 10_000) -> None:
        self.peers = FakePeers()
        self.peers.workers[OTHER] = RememberingPort(OTHER)
        self.side = WorkerOutput(STREAM, self.peers)
        self.gop = SourceGop(max_ms=max_gop_ms)
        self.gop.add(config())

    def put(self, at_ms: int, *, key: bool = False, composition_ms: int = 0) -> None:
        item = unit(at_ms, key=key, composition_ms=composition_ms)
        self.gop.add(item)
        self.side.unit(item)

    def place(self, placed: Placement) -> None:
        self.side.place(placed, self.gop, ANCHOR)

    def times(self, child: ChildId) -> list[int]:
        return [u.dts_ms for u in self.peers.workers[child].of(AccessUnit)]


def moved(generation: int, **changes: object) -> Placement:
    values: dict[str, object] = {"request_id": 0, "generation": Generation(generation)}
    return replace(ANSWER, **{**values, **changes})  # type: ignore[arg-type] # fields by name


def test_a_placement_begins_with_the_last_gop() -> None:
    around = Around()
    around.put(0, key=True)
    around.put(40)
    around.place(ANSWER)
    around.put(80)
    port = around.peers.workers[WORKER]
    (start,) = port.of(StreamStart)
    assert (start.generation, start.reference) == (Generation(1), ANCHOR)
    assert start.resume_after_ms is None
    assert around.times(WORKER) == [0, 40, 80]
    assert not any(u.replay for u in port.of(AccessUnit)), "nobody was given them before"
    assert around.side.worker == WORKER


def test_the_same_placement_again_changes_nothing() -> None:
    around = Around()
    around.place(ANSWER)
    around.place(ANSWER)
    assert len(around.peers.workers[WORKER].of(StreamStart)) == 1


def test_without_a_worker_nothing_goes_anywhere() -> None:
    around = Around()
    around.put(0, key=True)
    around.place(replace(ANSWER, worker=None))
    around.put(40)
    assert around.peers.workers[WORKER].sent == []
    assert not around.side.is_waiting


def test_a_placement_before_the_first_picture_begins_with_it() -> None:
    around = Around()
    around.side.place(ANSWER, around.gop, None)
    assert around.side.is_waiting
    around.put(5000, key=True)
    around.side.follow(around.gop, ClockReference(5000, 101.0))
    around.put(5040)
    assert around.peers.workers[WORKER].of(StreamStart)[0].reference.stream_ms == 5000
    assert around.times(WORKER) == [5000, 5040]


def test_a_worker_that_is_not_announced_yet_is_waited_for() -> None:
    around = Around()
    port = around.peers.workers.pop(WORKER)
    around.put(0, key=True)
    around.place(ANSWER)
    around.put(40)
    assert around.side.is_waiting
    around.peers.workers[WORKER] = port
    around.side.follow(around.gop, ANCHOR)
    assert around.times(WORKER) == [0, 40]


def test_after_a_loss_the_new_worker_gets_the_gop_as_a_replay_with_the_resume_point() -> None:
    around = Around()
    around.place(ANSWER)
    around.put(0, key=True)
    around.put(40)
    lost = around.peers.workers.pop(WORKER)
    around.side.follow(around.gop, ANCHOR)
    assert around.side.worker is None
    around.put(80)
    around.place(moved(2, worker=OTHER, resume_after_ms=40))
    around.put(120)
    other = around.peers.workers[OTHER]
    assert other.of(StreamStart)[0].resume_after_ms == 40
    assert [(u.dts_ms, u.replay) for u in other.of(AccessUnit)] == [
        (0, True),
        (40, True),
        (80, True),
        (120, False),
    ]
    assert {u.generation for u in other.of(AccessUnit)} == {Generation(2)}
    assert [u.dts_ms for u in lost.of(AccessUnit)] == [0, 40]
    assert not lost.of(StreamEnd)


def test_a_new_incarnation_of_the_same_worker_is_another_peer() -> None:
    around = Around()
    around.place(ANSWER)
    around.put(0, key=True)
    around.peers.workers[WORKER] = RememberingPort(WORKER, BootId("next"))
    around.side.follow(around.gop, ANCHOR)
    assert around.side.worker is None, "until the supervisor places it"
    around.place(moved(2))
    assert around.times(WORKER) == [0]


def test_a_move_without_a_cut_ends_the_old_placement_at_once() -> None:
    around = Around()
    around.place(ANSWER)
    around.put(0, key=True)
    around.place(moved(2, worker=OTHER))
    around.put(40)
    old = around.peers.workers[WORKER]
    assert old.kinds()[-1] == "StreamEnd"
    assert around.times(WORKER) == [0]
    assert around.times(OTHER) == [0, 40]
    around.side.tick(0)
    assert not around.side.has_unsent


def test_in_a_drain_both_get_all_that_may_be_shown_before_the_cut() -> None:
    around = Around()
    around.place(ANSWER)
    around.put(0, key=True, composition_ms=80)
    around.put(40, composition_ms=-10)
    around.place(moved(2, worker=OTHER, splice_ms=120))
    old = around.peers.workers[WORKER]
    assert old.of(StreamSplice)[0].splice_ms == 120
    around.put(80)
    around.put(120, key=True)  # pictures after it may still be shown 10 ms before their DTS
    assert not old.of(StreamEnd)
    around.put(160)
    assert old.of(StreamEnd)[0].generation == Generation(1)
    around.put(200)
    assert around.times(WORKER) == [0, 40, 80, 120, 160]
    assert around.times(OTHER) == [0, 40, 80, 120, 160, 200]
    assert around.peers.workers[OTHER].of(StreamStart)[0].splice_ms == 120


def test_a_cut_that_no_picture_reaches_ends_by_the_clock() -> None:
    around = Around()
    around.place(ANSWER)
    around.put(0, key=True)
    around.place(moved(2, worker=OTHER, splice_ms=1000))
    old = around.peers.workers[WORKER]
    around.side.tick(1000)
    assert not old.of(StreamEnd)
    around.side.tick(1000 + SPLICE_GRACE_MS)
    assert old.of(StreamEnd)


def test_new_parameter_sets_go_to_every_placement_and_equal_ones_to_none() -> None:
    around = Around()
    around.place(ANSWER)
    around.put(0, key=True)
    around.place(moved(2, worker=OTHER, splice_ms=5000))
    around.side.header(config())
    assert not around.peers.workers[OTHER].of(VideoHeader)
    around.side.header(config(SPS_720))
    for child, generation in ((WORKER, 1), (OTHER, 2)):
        (found,) = around.peers.workers[child].of(VideoHeader)
        assert found.generation == Generation(generation)


def test_the_end_reaches_every_placement_once_it_can() -> None:
    around = Around()
    around.place(ANSWER)
    around.put(0, key=True)
    around.place(moved(2, worker=OTHER, splice_ms=5000))
    around.peers.workers[OTHER].full = True
    around.side.end("over")
    around.side.tick(0)
    assert around.side.has_unsent
    assert around.peers.workers[WORKER].of(StreamEnd)
    around.peers.workers[OTHER].full = False
    around.side.tick(0)
    assert around.peers.workers[OTHER].of(StreamEnd)
    assert not around.side.has_unsent


def test_an_end_owed_to_a_worker_that_is_gone_is_forgotten() -> None:
    around = Around()
    around.place(ANSWER)
    around.peers.workers[WORKER].full = True
    around.side.end("over")
    del around.peers.workers[WORKER]
    around.side.tick(0)
    assert not around.side.has_unsent


def test_drops_are_counted_over_all_placements() -> None:
    around = Around()
    around.place(ANSWER)
    around.put(0, key=True)
    around.peers.workers[WORKER].full = True
    around.put(40)
    around.put(80)
    around.place(moved(2, worker=OTHER))
    around.put(120)
    around.side.lose()
    around.put(160)
    assert around.side.dropped == 2
    assert [u.number for u in around.peers.workers[OTHER].of(AccessUnit)] == [0, 1, 2, 3, 5]


def test_a_publisher_that_is_away_is_told_and_its_successor_begins_at_a_keyframe() -> None:
    around = Around()
    around.put(0, key=True)
    around.place(ANSWER)
    around.put(40)
    around.side.leave()
    around.side.pause(ClockReference(80, 101.0))
    around.put(5000)
    around.put(5040, key=True)
    around.put(5080)
    assert around.times(WORKER) == [0, 40, 5040, 5080]
    (pause,) = around.peers.workers[WORKER].of(StreamPause)
    assert (pause.generation, pause.reference) == (Generation(1), ClockReference(80, 101.0))


def test_a_worker_that_is_placed_while_nobody_publishes_waits_for_a_keyframe_too() -> None:
    around = Around()
    around.put(0, key=True)
    around.place(ANSWER)
    around.side.leave()
    around.place(moved(2, worker=OTHER))
    around.put(5000)
    around.put(5040, key=True)
    around.put(5080)
    assert around.times(OTHER) == [0, 5040, 5080]


def test_a_publisher_that_is_only_silent_goes_on_with_its_next_picture() -> None:
    around = Around()
    around.put(0, key=True)
    around.place(ANSWER)
    around.put(40)
    around.side.pause(ClockReference(40, 101.0), may_go_on=True)
    around.place(moved(2, worker=OTHER))
    around.put(80)
    assert around.times(OTHER) == [0, 40, 80]
    for worker in (WORKER, OTHER):
        (pause,) = around.peers.workers[worker].of(StreamPause)
        assert pause.may_go_on


def test_a_worker_that_takes_over_meanwhile_is_told_behind_the_last_gop() -> None:
    around = Around()
    around.put(0, key=True)
    around.place(ANSWER)
    around.side.pause(ANCHOR)
    around.place(moved(2, worker=OTHER))
    assert around.peers.workers[OTHER].kinds() == ["StreamStart", "AccessUnit", "StreamPause"]
    around.put(5000, key=True)
    around.place(moved(3))
    assert around.peers.workers[WORKER].kinds()[-1] == "AccessUnit", "it is back"


@pytest.mark.parametrize("resume_after_ms", [None, 280])
@pytest.mark.parametrize("composition_ms", [0, 80])
def test_of_a_gop_that_is_too_long_a_new_worker_repeats_the_keyframe_until_the_next_one(
    resume_after_ms: int | None, composition_ms: int
) -> None:
    around = Around(max_gop_ms=100)
    around.put(0, key=True, composition_ms=composition_ms)
    around.place(ANSWER)
    for at_ms in range(40, 300, 40):
        around.put(at_ms)
    around.place(moved(2, worker=OTHER, resume_after_ms=resume_after_ms))
    port = around.peers.workers[OTHER]
    assert port.kinds() == ["StreamStart", "AccessUnit", "StreamPause"]
    (start,), (pause,) = port.of(StreamStart), port.of(StreamPause)
    assert start.resume_after_ms == (resume_after_ms or composition_ms), "not shown by itself"
    assert (pause.reference, pause.may_go_on) == (ANCHOR, False)
    around.put(320)
    around.put(360, key=True)
    around.put(400)
    units = port.of(AccessUnit)
    assert [(unit.dts_ms, unit.replay) for unit in units] == [(0, True), (360, False), (400, False)]
    assert units[1].number > units[0].number + 1, "a gap"
    assert around.side.dropped == 1


def test_a_template_without_freeze_frames_gets_none_of_a_gop_that_is_too_long() -> None:
    around = Around(max_gop_ms=100)
    for at_ms in range(0, 300, 40):
        around.put(at_ms, key=at_ms == 0)
    template = replace(ANSWER.template, away_picture=AwayPicture.NONE)
    around.place(moved(2, template=template))
    assert around.peers.workers[WORKER].kinds() == ["StreamStart"]


def test_a_keyframe_that_stands_for_a_publisher_who_is_away_is_repeated_too() -> None:
    around = Around(max_gop_ms=100)
    for at_ms in range(0, 300, 40):
        around.put(at_ms, key=at_ms == 0)
    around.side.leave()
    around.side.pause(ANCHOR)
    around.place(moved(2))
    assert around.peers.workers[WORKER].kinds() == ["StreamStart", "AccessUnit", "StreamPause"]


WATCHED = replace(TEMPLATE, renditions_when=MadeWhen.DEMANDED, gop_ms=1000)
COLD = replace(ANSWER, template=WATCHED)


def test_of_a_stream_that_nobody_plays_a_worker_gets_a_keyframe_now_and_then() -> None:
    around = Around()
    port = around.peers.workers[WORKER]
    around.put(0, key=True)
    around.side.want((), around.gop, ANCHOR)
    around.place(COLD)
    assert port.kinds() == ["StreamStart", "AccessUnit", "RenditionsWanted"]
    assert port.of(StreamStart)[0].wanted == ()
    for second in range(1, 20):
        key = replace(unit(1000 * second, key=True), received_s=1.0 + second)
        around.side.unit(key)
        around.side.unit(unit(1000 * second + 40))
    around.side.pause(ANCHOR)
    assert around.times(WORKER) == [0, 5000, 10_000, 15_000]
    assert all(each.replay and each.is_key for each in port.of(AccessUnit))
    assert [each.number for each in port.of(AccessUnit)] == [0, 1, 2, 3]
    assert {each.renditions for each in port.of(RenditionsWanted)} == {()}
    assert not port.of(StreamPause)
    assert around.side.dropped == 0


def test_the_first_player_gets_the_last_gop_from_the_grid_on_and_what_comes() -> None:
    around = Around()
    port = around.peers.workers[WORKER]
    around.side.want((), around.gop, ANCHOR)
    for at_ms in (0, 400, 800, 1200, 1600):
        around.put(at_ms, key=at_ms == 0)
    around.place(COLD)
    port.sent.clear()
    around.side.want(("360p",), around.gop, ANCHOR)
    around.side.want(("360p",), around.gop, ANCHOR)
    around.put(2000)
    wanted = port.of(RenditionsWanted)
    assert [(each.renditions, each.after_ms) for each in wanted] == [(("360p",), 999)]
    assert around.times(WORKER) == [0, 400, 800, 1200, 1600, 2000]
    assert [each.replay for each in port.of(AccessUnit)] == [True] * 5 + [False]
    # another rendition, and one less: nothing is sent again
    port.sent.clear()
    around.side.want(("360p", "480p"), around.gop, ANCHOR)
    around.side.want(("480p",), around.gop, ANCHOR)
    assert port.kinds() == ["RenditionsWanted", "RenditionsWanted"]
    # the worker that comes after a loss makes the same
    around.place(replace(COLD, request_id=0, generation=Generation(2), resume_after_ms=1700))
    assert port.of(StreamStart)[0].wanted == ("480p",)
    assert port.of(StreamStart)[0].resume_after_ms == 1700


def test_a_player_who_comes_while_the_publisher_is_away_sees_the_last_picture() -> None:
    around = Around()
    port = around.peers.workers[WORKER]
    around.side.want((), around.gop, ANCHOR)
    around.put(0, key=True)
    around.put(40)
    around.place(COLD)
    around.side.leave()
    around.side.pause(ANCHOR)
    port.sent.clear()
    around.side.want(("360p",), around.gop, ANCHOR)
    assert port.kinds() == ["RenditionsWanted", "AccessUnit", "AccessUnit", "StreamPause"]
    around.put(80)  # another publisher's, without a keyframe
    assert around.times(WORKER) == [0, 40]


def test_a_drain_of_a_stream_that_nobody_plays_ends_at_its_splice_point() -> None:
    around = Around()
    around.side.want((), around.gop, ANCHOR)
    around.put(0, key=True)
    around.place(COLD)
    around.place(replace(COLD, generation=Generation(2), worker=OTHER, splice_ms=2000))
    around.side.want(("360p",), around.gop, ANCHOR)
    around.put(1000)
    assert around.times(WORKER)[-1] == around.times(OTHER)[-1] == 1000
    around.side.want((), around.gop, ANCHOR)
    around.put(2000)
    assert around.peers.workers[WORKER].of(StreamEnd)
    assert not around.peers.workers[OTHER].of(StreamEnd)
