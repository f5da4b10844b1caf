"""ingest/streams/forward.py: an ingest whose relay only exists as messages."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import (
    EndStream,
    Placement,
    PublishEnd,
    PublishRequest,
    SourceEstimate,
    SourceFormatReport,
)
from common.ipc.forward_messages import ForwardAsk, ForwardLost, ForwardTo
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import AccessUnit, StreamClosed, StreamOpen, StreamStart, Tags
from common.ipc.unit_messages import (
    PublishAccepted,
    PublishCutOff,
    PublishFinished,
    PublishHeldBack,
    PublishRefused,
    PublishTimed,
)
from common.ipc.unit_ways import UnitPublisher
from common.media.clock import ClockReference
from common.media.units import Data
from ingest.streams.forward import REPORT_AGAIN_S, Forwards
from tests.ingest.outputs.test_forward_output import RememberingWay
from tests.kit.ingest_ports import ANSWER, TEMPLATE, WORKER, header, picture
from tests.kit.registry_rig import FakeConnection, RegistryRig

CAM = StreamId("live/cam")
IN_USE = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")


class KnownWay(RememberingWay):
    """One publisher's, and what was said of its end."""

    ended: tuple[str, bool] | None = None
    goes_on = False

    def over(self, reason: str, *, is_meant: bool = False, goes_on: bool = False) -> None:
        self.ended, self.goes_on = (reason, is_meant), goes_on


class FakeWays:
    """The relay: what it was asked, and the ways that it gave."""

    def __init__(self) -> None:
        self.is_there = True
        self.asked: list[ForwardAsk] = []
        self.payloads: list[Sequence[Data]] = []
        self.publishers: list[UnitPublisher] = []
        self.ways: list[KnownWay] = []

    def ask(
        self,
        publisher: UnitPublisher,
        stream: str,
        make: Callable[[int], Any],
        payloads: Sequence[Data] = (),
    ) -> KnownWay | None:
        if not self.is_there:
            return None
        self.asked.append(make(len(self.asked)))
        self.payloads.append(payloads)
        self.publishers.append(publisher)
        self.ways.append(KnownWay())
        return self.ways[-1]


class ForwardRig(RegistryRig):
    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ways = FakeWays()
        self.streams.forwards = Forwards(self.streams, self.ways, self.tell, lambda: self.now)
        self.peer = FakeConnection()

    def to(self, generation: int = 1, *, request: int = 0, replaces: int = 0) -> None:
        template = replace(TEMPLATE, hold_ms=10_000)
        place = "host-a", "host-a:1936"
        message = ForwardTo(request, CAM, Generation(generation), template, *place, replaces)
        self.from_supervisor.forward_to(message, self.now)

    def ask(self) -> None:
        """A publisher asks, and its stream is at another host."""
        self.publish(peer=self.peer)
        self.to(request=self.last(PublishRequest).request_id)

    def say(self, answer: Any, at: int = -1) -> None:
        self.ways.publishers[at].on_answer(answer)

    def live(self, now: float = 100.0, path: str = "live/cam") -> FakeConnection:
        self.ask()
        self.say(PublishAccepted(0))
        self.media(self.peer, [header(), picture(0, key=True), picture(40)], self.now)
        return self.peer

    @property
    def way(self) -> KnownWay:
        return self.ways.ways[-1]


@pytest.fixture
def rig() -> ForwardRig:
    return ForwardRig()


def test_a_publisher_is_let_in_when_the_host_takes_it(rig: ForwardRig) -> None:
    rig.ask()
    (asked,) = rig.ways.asked
    assert (asked.host, asked.relay, asked.ask.app, asked.ask.key) == (
        "host-a",
        "host-a:1936",
        "live",
        "cam",
    )
    assert asked.ask.peer == rig.peer.peer
    assert asked.ask.judged is not None
    assert asked.ask.judged.credentials.address == rig.peer.host
    assert rig.peer.accepted == []
    rig.say(PublishAccepted(0))
    assert rig.peer.accepted == [7]
    rig.media(rig.peer, [header(), picture(0, key=True), picture(40)], 100.0)
    assert rig.way.times() == [0, 40]
    # nothing of it goes to an egress or a worker of this farm, and nothing is booked for it
    assert rig.peers.running[0].sent == []
    assert rig.count(SourceFormatReport) + rig.count(SourceEstimate) == 0
    rig.tick(104.0)
    (status,) = rig.streams.statuses(104.0)
    assert (status.forwarded_to, status.worker, status.frames) == ("host-a", None, 2)


def test_its_times_are_those_of_the_stream(rig: ForwardRig) -> None:
    rig.ask()
    rig.say(PublishAccepted(0, ClockReference(60_000, 99.0), 60_900))
    rig.media(rig.peer, [header(), picture(5, key=True)], 100.0)
    assert rig.way.times() == [61_000]


def test_a_refusal_is_told_in_its_words_and_given_back(rig: ForwardRig) -> None:
    rig.ask()
    rig.say(PublishRefused(0, IN_USE))
    assert rig.peer.told == [("NetStream.Publish.BadName", "the stream key is in use")]
    assert rig.last(PublishEnd).stream_id == CAM
    assert rig.streams.requests.all() == []


def test_who_left_meanwhile_is_taken_back(rig: ForwardRig) -> None:
    rig.ask()
    rig.streams.lost(rig.peer, "reset", 100.0)
    rig.say(PublishAccepted(0))
    assert rig.way.ended == ("its publisher left", False)
    assert len(rig.streams) == 0


@pytest.mark.parametrize("is_meant", [True, False])
def test_the_end_of_a_publisher_crosses_as_it_was(rig: ForwardRig, *, is_meant: bool) -> None:
    rig.live()
    if is_meant:
        rig.streams.ended(rig.peer, "FCUnpublish")
    else:
        rig.streams.lost(rig.peer, "reset", 100.0)
    assert rig.way.ended is not None
    assert rig.way.ended[1] is is_meant
    assert len(rig.streams) == 0, "its owner holds it, if somebody does"
    assert rig.last(PublishEnd).stream_id == CAM


def test_the_host_ends_it_and_holds_it_back(rig: ForwardRig) -> None:
    rig.live()
    rig.say(PublishHeldBack(0, 0.5))
    assert rig.peer.held_back == [0.5]
    rig.say(PublishRefused(0, IN_USE))
    assert rig.peer.told == [("NetStream.Publish.BadName", "the stream key is in use")]
    other = ForwardRig()
    other.live()
    other.say(PublishFinished(0, "the server is stopping"))
    assert other.peer.told[0][1] == "the server is stopping"
    assert len(rig.streams) + len(other.streams) == 0


def test_a_way_that_does_not_come_to_be_is_for_the_supervisor(rig: ForwardRig) -> None:
    rig.ways.is_there = False
    rig.ask()
    lost = rig.last(ForwardLost)
    assert (lost.stream_id, lost.generation, lost.is_here) == (CAM, 1, True)
    assert lost.request_id == rig.last(PublishRequest).request_id
    # it may be let in here then
    rig.place()
    assert rig.peer.accepted == [7]


def test_a_lost_way_ends_no_publisher_and_is_told_until_something_comes_of_it(
    rig: ForwardRig,
) -> None:
    rig.live()
    rig.say(PublishCutOff(0, "host host-a cannot be reached"), at=0)
    assert rig.last(ForwardLost) == ForwardLost(
        0, CAM, Generation(1), "host host-a cannot be reached"
    )
    rig.media(rig.peer, [picture(80), picture(120, key=True)], 100.1)
    assert rig.way.times() == [0, 40]
    rig.tick(100.0 + REPORT_AGAIN_S)
    assert rig.count(ForwardLost) == 2
    assert rig.peer.told == []


def test_the_stream_goes_on_here_from_its_gop(rig: ForwardRig) -> None:
    rig.live()
    rig.say(PublishTimed(0, 0, 1_000))  # the owner had it at 1000 ms
    rig.say(PublishCutOff(0, "host host-a cannot be reached"), at=0)
    rig.media(rig.peer, [picture(80)], 100.08)
    placed = replace(ANSWER, request_id=0, generation=Generation(5), template=rig.template)
    rig.from_supervisor.placed(placed, 100.1)
    opened = rig.peers.running[0].of(StreamOpen)[-1]
    assert (opened.generation, opened.worker) == (5, WORKER)
    report = rig.last(SourceFormatReport)
    assert report.generation == 5
    rig.from_supervisor.placed(replace(placed, request_id=report.request_id), 100.1)
    worker = rig.peers.workers[WORKER]
    start = worker.of(StreamStart)[0]
    assert (start.resume_after_ms, start.generation) == (1_080, 5)
    assert [unit.dts_ms for unit in worker.of(AccessUnit)] == [1_000, 1_040, 1_080]
    # no keyframe is needed for the next picture, and its time follows
    rig.media(rig.peer, [picture(120)], 100.12)
    assert worker.of(AccessUnit)[-1].dts_ms == 1_120
    (status,) = rig.streams.statuses(100.2)
    assert (status.forwarded_to, status.generation) == ("", 5)
    rig.streams.lost(rig.peer, "reset", 100.2)
    assert len(rig.streams) == 1, "it is held here now"


def test_the_stream_goes_on_at_another_host_with_its_gop_and_time(rig: ForwardRig) -> None:
    rig.live()
    rig.say(PublishTimed(0, 0, 1_000))
    rig.say(PublishCutOff(0, "host host-a cannot be reached"), at=0)
    rig.to(9, replaces=77)
    again = rig.ways.asked[-1].ask
    assert again.resume is not None
    assert again.gop is not None
    assert again.judged is not None
    assert (again.resume.end_ms, again.judged.replaces) == (1_040, 77)
    assert [item.dts_ms for item in again.gop.items if item.kind.value == "video"] == [1_000, 1_040]
    assert len(again.gop.items) == len(rig.ways.payloads[-1])
    rig.say(PublishAccepted(1))
    rig.media(rig.peer, [picture(80), picture(120, key=True)], 100.1)
    assert rig.way.times() == [1_120]
    # the way before means nothing any more
    rig.say(PublishRefused(0, IN_USE), at=0)
    assert rig.peer.told == []
    rig.say(PublishCutOff(1, "it is gone, too"))
    assert rig.last(ForwardLost).generation == 9


def test_a_way_for_nobody_is_given_back(rig: ForwardRig) -> None:
    rig.to(3, request=55)
    rig.to(4)
    assert [end.generation for end in rig.told if isinstance(end, PublishEnd)] == [3, 4]
    assert rig.ways.asked == []


def test_a_newcomer_here_takes_over_by_the_rules_of_the_owner(rig: ForwardRig) -> None:
    rig.live()
    rig.now = 110.0  # the first one is silent
    second = rig.publish(now=rig.now)
    assert rig.ways.ways[0].ended is not None
    assert rig.ways.ways[0].ended[1] is False
    rig.to(2, request=rig.last(PublishRequest).request_id)
    rig.say(PublishAccepted(1))
    assert second.accepted == [7]


def test_an_operator_ends_it(rig: ForwardRig) -> None:
    rig.live()
    kicked = Refusal(RefusalReason.KICKED, "an operator has ended it")
    rig.from_supervisor.end_stream(EndStream(CAM, kicked), 100.0)
    assert rig.way.ended is not None
    assert rig.peer.told[0][1] == "an operator has ended it"


def test_a_placement_comes_in_place_of_a_way(rig: ForwardRig) -> None:
    """The owner was lost before it answered: the stream begins here."""
    rig.ask()
    rig.say(PublishCutOff(0, "host host-a cannot be reached"), at=0)
    rig.place()
    assert rig.count(Placement) == 0
    assert rig.peer.accepted == [7]
    (status,) = rig.streams.statuses(100.0)
    assert status.forwarded_to == ""


def test_a_host_that_is_full_leaves_it_to_the_supervisor(rig: ForwardRig) -> None:
    full = Refusal(RefusalReason.FULL, "there is no room")
    rig.ask()
    rig.say(PublishRefused(0, full))
    lost = rig.last(ForwardLost)
    assert (lost.request_id, lost.refusal) == (rig.last(PublishRequest).request_id, full)
    assert rig.peer.told == []
    rig.to(2, request=lost.request_id)
    rig.say(PublishAccepted(1))
    assert rig.peer.accepted == [7]


def test_a_stream_is_cut_at_a_keyframe_and_goes_on_at_another_host(rig: ForwardRig) -> None:
    peer = RegistryRig.live(rig)
    place = TEMPLATE, "host-c", "host-c:1936", 21, True
    rig.from_supervisor.forward_to(ForwardTo(0, CAM, Generation(7), *place), 100.1)
    ask = rig.ways.asked[-1].ask
    assert ask.resume is not None
    assert ask.gop is None
    assert ask.judged is not None
    assert ask.judged.replaces == 21
    egress = rig.peers.running[0]
    rig.media(peer, [picture(40)], 100.04)
    rig.say(PublishAccepted(0))
    rig.media(peer, [picture(80)], 100.08)
    here = [tag.dts_ms for message in egress.of(Tags) for tag in message.tags]
    assert here == [0, 40, 80]
    assert rig.count(PublishEnd) == 0
    rig.media(peer, [picture(120, key=True), picture(160)], 100.12)
    assert rig.way.times() == [120, 160], "each picture is at one of both hosts"
    assert [tag.dts_ms for message in egress.of(Tags) for tag in message.tags] == here
    assert egress.of(StreamClosed)[-1].hold_ms > 0
    assert rig.last(PublishEnd).last is not None
    (status,) = rig.streams.statuses(100.2)
    assert (status.forwarded_to, status.generation) == ("host-c", 7)
    rig.streams.lost(peer, "reset", 100.3)
    assert rig.way.ended is not None
    assert len(rig.streams) == 0


@pytest.mark.parametrize(
    "reason", [RefusalReason.FULL, RefusalReason.NAME_IN_USE, RefusalReason.BANNED]
)
def test_a_stream_that_no_host_takes_stays(rig: ForwardRig, reason: RefusalReason) -> None:
    peer = RegistryRig.live(rig)
    place = TEMPLATE, "host-c", "host-c:1936", 21, True
    rig.from_supervisor.forward_to(ForwardTo(0, CAM, Generation(7), *place), 100.1)
    rig.say(PublishRefused(0, Refusal(reason, "no")))
    assert rig.last(ForwardLost).generation == 7
    rig.media(peer, [picture(40, key=True)], 100.04)
    assert peer.told == []
    (status,) = rig.streams.statuses(100.2)
    assert status.forwarded_to == ""
    # it may be asked for again; and what its publisher's end takes along
    rig.from_supervisor.forward_to(ForwardTo(0, CAM, Generation(8), *place), 100.3)
    rig.say(PublishAccepted(1))
    rig.streams.ended(peer, "FCUnpublish")
    assert rig.way.ended is not None
    rig.from_supervisor.forward_to(ForwardTo(0, CAM, Generation(9), *place), 100.4)
    assert len(rig.ways.asked) == 2


def test_a_host_that_is_drained_leaves_its_publisher_to_this_one(rig: ForwardRig) -> None:
    rig.live()
    rig.say(PublishRefused(0, Refusal(RefusalReason.FULL, "it is being drained")))
    assert rig.last(ForwardLost).request_id == 0
    assert rig.peer.told == []


def test_a_host_is_asked_shortly_before_the_keyframe_of_the_cut(rig: ForwardRig) -> None:
    peer = RegistryRig.live(rig)
    for number in range(1, 51):  # keyframes are 1 s apart
        rig.media(peer, [picture(40 * number, key=number % 25 == 0)], 100 + 0.04 * number)
    place = TEMPLATE, "host-c", "host-c:1936", 21, True
    rig.now = 102.1
    rig.from_supervisor.forward_to(ForwardTo(0, CAM, Generation(7), *place), rig.now)
    assert rig.ways.asked == []
    rig.tick(102.6)
    assert rig.ways.asked == []
    rig.tick(102.75)
    rig.tick(102.85)
    assert len(rig.ways.asked) == 1
    rig.say(PublishAccepted(0))
    rig.media(peer, [picture(3000, key=True)], 103.0)
    assert rig.way.times() == [3000]


def test_it_is_told_when_this_hosts_own_relay_is_gone(rig: ForwardRig) -> None:
    rig.live()
    rig.ways.publishers[0].on_cut_off("relay:0 is gone")
    assert rig.last(ForwardLost).is_here


def move(rig: ForwardRig, generation: int = 7) -> None:
    """The owner is drained: the stream is to go on at a third host."""
    place = TEMPLATE, "host-c", "host-c:1936", 21, True
    rig.from_supervisor.forward_to(ForwardTo(0, CAM, Generation(generation), *place), 100.1)


def test_a_forwarded_publisher_goes_to_another_host_at_a_keyframe(rig: ForwardRig) -> None:
    rig.live()
    rig.say(PublishTimed(0, 0, 1_000, 1_800_000_000_000))
    move(rig)
    ask = rig.ways.asked[-1].ask
    assert ask.gop is None
    assert ask.judged is not None
    assert ask.judged.replaces == 21
    # in the owner's time
    assert ask.resume is not None
    assert (ask.resume.end_ms, ask.resume.epoch_ms) == (1_040, 1_800_000_000_000)
    rig.media(rig.peer, [picture(80)], 100.08)
    rig.say(PublishAccepted(1))
    first = rig.ways.ways[0]
    rig.media(rig.peer, [picture(120)], 100.12)
    assert (first.times(), rig.way.times()) == ([0, 40, 80, 120], [])
    rig.media(rig.peer, [picture(160, key=True), picture(200)], 100.16)
    assert (first.times(), rig.way.times()) == ([0, 40, 80, 120], [1_160, 1_200])
    assert first.ended == ("it goes on at host host-c", False)
    assert first.goes_on
    (status,) = rig.streams.statuses(100.2)
    assert (status.forwarded_to, status.generation) == ("host-c", 7)
    assert status.epoch_ms == 1_800_000_000_000
    assert rig.count(ForwardLost) + rig.count(PublishEnd) == 0
    # what the one before says means nothing any more
    rig.say(PublishRefused(0, IN_USE), at=0)
    assert rig.peer.told == []


def test_a_host_that_does_not_take_it_leaves_it_where_it_is(rig: ForwardRig) -> None:
    rig.live()
    move(rig)
    rig.say(PublishRefused(1, IN_USE))
    lost = rig.last(ForwardLost)
    assert (lost.request_id, lost.generation) == (0, 7)
    rig.media(rig.peer, [picture(80), picture(120, key=True)], 100.1)
    assert rig.ways.ways[0].times() == [0, 40, 80, 120]
    move(rig, 9)
    rig.say(PublishAccepted(2))
    rig.media(rig.peer, [picture(160, key=True)], 100.16)
    assert rig.way.times() == [160]


def test_a_stream_whose_host_is_drained_goes_on_here_at_a_keyframe(rig: ForwardRig) -> None:
    rig.live()
    rig.say(PublishTimed(0, 0, 1_000, 1_800_000_000_000))
    placed = replace(ANSWER, request_id=0, generation=Generation(5), template=rig.template)
    rig.from_supervisor.placed(placed, 100.06)
    rig.media(rig.peer, [picture(80)], 100.08)
    assert rig.way.times() == [0, 40, 80]
    egress = rig.peers.running[0]
    assert egress.of(StreamOpen) == []
    rig.media(rig.peer, [picture(120, key=True)], 100.12)
    opened = egress.of(StreamOpen)[-1]
    assert (opened.generation, opened.epoch_ms) == (5, 1_800_000_000_000)
    assert rig.way.ended == ("it goes on at its publisher's host", False)
    assert rig.way.goes_on
    report = rig.last(SourceFormatReport)
    rig.from_supervisor.placed(replace(placed, request_id=report.request_id), 100.13)
    worker = rig.peers.workers[WORKER]
    assert worker.of(StreamStart)[0].resume_after_ms is None
    made = [unit.dts_ms for unit in worker.of(AccessUnit)]
    assert made == [1_120], "what came before is the other host's"
    rig.media(rig.peer, [picture(160)], 100.16)
    assert [tag.dts_ms for m in egress.of(Tags) for tag in m.tags] == [1_120, 1_160]
    assert worker.of(AccessUnit)[-1].dts_ms == 1_160
    (status,) = rig.streams.statuses(100.2)
    assert (status.forwarded_to, status.generation) == ("", 5)


def test_one_that_waits_for_a_keyframe_begins_at_once_when_its_way_is_lost(rig: ForwardRig) -> None:
    rig.live()
    placed = replace(ANSWER, request_id=0, generation=Generation(5), template=rig.template)
    rig.from_supervisor.placed(placed, 100.06)
    rig.say(PublishCutOff(0, "host host-a cannot be reached"), at=0)
    assert rig.peers.running[0].of(StreamOpen)[-1].generation == 5
    rig.media(rig.peer, [picture(80)], 100.08)
    (status,) = rig.streams.statuses(100.1)
    assert status.forwarded_to == ""


def test_a_publisher_that_leaves_before_the_keyframe_is_gone(rig: ForwardRig) -> None:
    rig.live()
    placed = replace(ANSWER, request_id=0, generation=Generation(5), template=rig.template)
    rig.from_supervisor.placed(placed, 100.06)
    rig.streams.ended(rig.peer, "deleteStream")
    assert rig.way.ended is not None
    assert len(rig.streams) == 0
    assert rig.count(PublishEnd) == 1
