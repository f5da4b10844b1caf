"""egress/relay/publishers.py: ingests as messages, and hosts by both ends of a link."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.ipc.unit_messages import (
    PublishAccepted,
    PublishAsk,
    PublishFinished,
    PublishHeldBack,
    PublishRefused,
    PublishTimed,
    UnitItem,
    check,
)
from common.ipc.unit_ways import UnitPublisher
from common.link.forwarding import Forwarding, ForwardLost
from common.link.publish_messages import (
    LinkPublishAnswer,
    LinkPublishEnded,
    LinkPublishHeld,
    LinkPublishTimed,
    LinkTime,
)
from common.link.pulling import Pulling
from common.media.clock import ClockReference
from common.media.units import Data
from egress.relay.publishers import NO_INGEST, Publishers
from tests.kit.forward_link import WHO, asking, config, video
from tests.kit.host_link import EDGE, LinkRig

IN_USE = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")


class Way:
    def __init__(self) -> None:
        self.full = False
        self.sent: list[tuple[Sequence[UnitItem], Sequence[Data]]] = []
        self.ended: tuple[str, bool] | None = None
        self.goes_on = False

    def send(self, items: Sequence[UnitItem], payloads: Sequence[Data]) -> bool:
        if not self.full:
            self.sent.append((items, payloads))
        return not self.full

    def over(self, reason: str, *, is_meant: bool = False, goes_on: bool = False) -> None:
        self.ended, self.goes_on = (reason, is_meant), goes_on


class Rig(LinkRig):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.forwarding = Forwarding("host-a", self.told.append)
        self.pulling = Pulling(EDGE, "host-a", forwarding=self.forwarding)
        self.asked: list[PublishAsk] = []
        self.ingests: list[UnitPublisher] = []
        self.ways: list[Way] = []
        self.has_ingest = True
        self.publishers = Publishers(self, lambda: self.now)
        self.publishers.arrived(self.serving)
        self.connect()

    def ask(
        self,
        publisher: UnitPublisher,
        stream: str,
        make: Callable[[int], Any],
        payloads: Sequence[Data] = (),
    ) -> Way | None:
        if not self.has_ingest:
            return None
        ask = make(50 + len(self.asked))
        check(ask, list(map(bytes, payloads)))
        self.asked.append(ask)
        self.ingests.append(publisher)
        self.ways.append(Way())
        return self.ways[-1]

    def publish(self, number: int = 1, **more: Any) -> None:
        self.forwarding.ask(asking(number, **more))
        self.carry()

    def say(self, answer: Any) -> None:
        self.ingests[-1].on_answer(answer)
        self.carry()

    def send(self, *items: UnitItem) -> None:
        self.forwarding.units(1, items, [b"u" for _ in items], self.edge_now)
        self.carry()


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_an_ingest_is_asked_for_a_publisher_that_was_let_in_elsewhere(rig: Rig) -> None:
    rig.publish()
    (ask,) = rig.asked
    assert (ask.app, ask.key, ask.peer) == ("live", "cam", "203.0.113.7:5000")
    assert ask.protocol == "host host-b"
    assert ask.judged is not None
    assert ask.judged.credentials == WHO
    rig.say(PublishAccepted(50, ClockReference(5_000, rig.now - 0.25), 5_200))
    assert rig.told == [LinkPublishAnswer(1, None, LinkTime(5_000, 0.25, 5_200))]
    rig.send(config(), video(0, is_key=True))
    ((items, payloads),) = rig.ways[0].sent
    assert [item.kind for item in items] == ["video-config", "video"]
    assert payloads == [b"u", b"u"]
    assert rig.publishers.counters["relay publishers"] == 1


def test_what_the_ingest_says_goes_back(rig: Rig) -> None:
    rig.publish()
    rig.say(PublishRefused(50, IN_USE))
    assert rig.told == [LinkPublishAnswer(1, IN_USE)]
    rig.publish(2)
    rig.say(PublishAccepted(51))
    rig.say(PublishTimed(51, 0, 1_000, 7))
    rig.say(PublishHeldBack(51, 0.5))
    rig.say(PublishRefused(51, IN_USE))
    assert rig.told[1:] == [
        LinkPublishAnswer(2),
        LinkPublishTimed(2, 0, 1_000, 7),
        LinkPublishHeld(2, 0.5),
        LinkPublishEnded(2, IN_USE),
    ]
    rig.publish(3)
    rig.say(PublishAccepted(52))
    rig.say(PublishFinished(52, "the server is stopping"))
    assert rig.told[-1] == LinkPublishEnded(3, None, "the server is stopping")


@pytest.mark.parametrize("is_meant", [True, False])
def test_the_end_of_a_publisher_is_the_ingests_to_know(rig: Rig, *, is_meant: bool) -> None:
    rig.publish()
    rig.say(PublishAccepted(50))
    rig.forwarding.end(1, "it went", is_meant=is_meant)
    rig.carry()
    assert rig.ways[0].ended == ("it went", is_meant)


def test_a_lost_link_is_the_end_of_its_publishers(rig: Rig) -> None:
    rig.publish()
    rig.say(PublishAccepted(50))
    rig.publishers.left(rig.serving)
    assert rig.ways[0].ended == ("the link to host host-b broke", False)


def test_without_an_ingest_the_other_host_asks_again(rig: Rig) -> None:
    rig.has_ingest = False
    rig.publish()
    assert rig.told == [ForwardLost(1, NO_INGEST, is_linked=True)]
    rig.has_ingest = True
    rig.publish(2)
    rig.say(PublishAccepted(50))
    rig.ingests[0].on_cut_off("ingest:0 is gone")
    rig.carry()
    assert rig.told[-1] == ForwardLost(2, "ingest:0 is gone", is_linked=True)
    rig.publishers.left(rig.serving)
    assert rig.ways[0].ended is None


def test_what_an_ingest_does_not_take_is_dropped_up_to_a_keyframe(rig: Rig) -> None:
    rig.publish()
    rig.say(PublishAccepted(50))
    rig.send(config(), video(0, is_key=True))
    rig.ways[0].full = True
    rig.send(video(40))
    rig.ways[0].full = False
    rig.send(video(80))
    rig.send(config(), video(120, is_key=True))
    sent = [[item.stamp_ms for item in items] for items, _ in rig.ways[0].sent]
    assert sent == [[0, 0], [0, 120]], "with its headers"


def test_what_goes_on_comes_with_its_gop(rig: Rig) -> None:
    ask = asking(1, LinkTime(9_000, 0.5, 9_400, 1_800_000_000_000))
    rig.forwarding.ask(ask, [(config(), b"record"), (video(9_000, is_key=True), b"picture")])
    rig.carry()
    (asked,) = rig.asked
    assert asked.resume is not None
    assert asked.resume.reference.stream_ms == 9_000
    assert asked.resume.reference.monotonic_s == pytest.approx(rig.now - 0.5)
    assert asked.gop is not None
    assert [item.kind.value for item in asked.gop.items] == ["video-config", "video"]
