"""egress/relay/forwards.py: ingests and links as messages."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from common.access.credentials import Credentials
from common.access.refusal import Refusal, RefusalReason
from common.ipc.control_messages import GopTransfer
from common.ipc.envelope import decode_frames
from common.ipc.forward_messages import ForwardAsk
from common.ipc.gop_items import TransferItem, TransferKind
from common.ipc.identity import Generation, StreamId
from common.ipc.unit_messages import (
    Judged,
    PublishAccepted,
    PublishAsk,
    PublishCutOff,
    PublishFinished,
    PublishHeldBack,
    PublishOver,
    PublishRefused,
    PublishTimed,
    Units,
)
from common.link.forwarding import Forwarding
from common.link.pulling import Pulling
from common.link.receiving import Asked, ReceivedUnits
from common.media.clock import ClockReference, ResumeTime
from egress.relay.forwards import AGAIN_S, CONNECT_S, CUT_S, PAUSE_S, Forwards
from tests.kit.forward_link import CAM, config, video
from tests.kit.host_link import EDGE, LinkRig

JUDGED = Judged(Credentials("203.0.113.7", "key-1"), replaces=7)
IN_USE = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")


class Ingest:
    """The end of the bus that an ingest has."""

    def __init__(self, pid: int = 1) -> None:
        self.pid = pid
        self.told: list[Any] = []

    def answer(self, frames: Sequence[bytes]) -> bool:
        self.told.append(decode_frames(list(frames))[0])
        return True


class Rig(LinkRig):
    """A relay with an ingest, and the host that has its streams."""

    def __init__(self) -> None:
        super().__init__()
        self.ingest = Ingest()
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.received: list[Any] = []
        self.forwards = Forwards(self, lambda: self.edge_now, self.later)
        self.host = Forwarding("host-a", self.forwards.on_event)
        self.pulling = Pulling(EDGE, "host-a", forwarding=self.host)
        self.is_configured = True
        self.serving.receiving.on_received = self.received.append

    def forwarding(self, name: str, address: str, now: float) -> Forwarding | None:
        assert (name, address) == ("host-a", "host-a:1936")
        return self.host if self.is_configured else None

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.timers.append((self.edge_now + seconds, call))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        due = [call for at_s, call in self.timers if at_s <= self.edge_now]
        self.timers = [timer for timer in self.timers if timer[0] > self.edge_now]
        for call in due:
            call()
        self.carry()

    def ask(self, number: int = 3, **more: Any) -> None:
        ask = PublishAsk(number, "live", "cam", "203.0.113.7:5000", "relay", judged=JUDGED, **more)
        self.forwards.on_ask(self.ingest, ForwardAsk(number, "host-a", "host-a:1936", ask), ())
        self.carry()

    @property
    def number(self) -> int:
        """By which the host knows the publisher that asked last."""
        asked = [one.ask for one in self.received if isinstance(one, Asked)]
        return asked[-1].number

    def let_in(self) -> None:
        self.ask()
        self.serving.receiving.answer(self.number, None)
        self.carry()

    def send(self, *items: Any) -> None:
        payloads = [b"u" for _ in items]
        self.forwards.on_units(self.ingest, Units(3, items), payloads)
        self.carry()


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.connect()
    return rig


def test_a_publisher_is_brought_to_its_host(rig: Rig) -> None:
    rig.ask()
    (asked,) = rig.received
    assert (asked.ask.stream_id, asked.ask.address) == (CAM, "203.0.113.7:5000")
    assert (asked.ask.credentials, asked.ask.replaces) == (JUDGED.credentials, 7)
    rig.serving.receiving.answer(rig.number, None)
    rig.carry()
    assert rig.ingest.told == [PublishAccepted(3)]
    rig.send(config(), video(0, is_key=True))
    assert isinstance(rig.received[-1], ReceivedUnits)
    assert rig.forwards.counters["relay forwarded"] == 1
    rig.forwards.on_over(rig.ingest, PublishOver(3, "it stopped", is_meant=True))
    rig.carry()
    assert rig.received.pop().is_meant
    assert len(rig.forwards) == 0


def test_a_stream_that_goes_on_at_another_host_is_said_to(rig: Rig) -> None:
    rig.let_in()
    rig.forwards.on_over(rig.ingest, PublishOver(3, "it goes on at host h3", goes_on=True))
    rig.carry()
    end = rig.received.pop()
    assert (end.is_meant, end.goes_on) == (False, True)


def test_what_the_host_says_reaches_the_ingest(rig: Rig) -> None:
    rig.let_in()
    receiving = rig.serving.receiving
    receiving.timed(rig.number, 0, 1_000, 7)
    receiving.hold_back(rig.number, 0.5)
    receiving.end(rig.number, IN_USE)
    rig.carry()
    assert rig.ingest.told[1:] == [
        PublishTimed(3, 0, 1_000, 7),
        PublishHeldBack(3, 0.5),
        PublishRefused(3, IN_USE),
    ]
    rig.ask(3)
    receiving.refuse(rig.number, IN_USE)
    rig.carry()
    assert rig.ingest.told[-1] == PublishRefused(3, IN_USE)
    rig.let_in()
    receiving.end(rig.number, None, "the server is stopping")
    rig.carry()
    assert rig.ingest.told[-1] == PublishFinished(3, "the server is stopping")


def test_what_goes_on_brings_its_gop_and_its_time(rig: Rig) -> None:
    resume = ResumeTime(ClockReference(9_000, rig.edge_now - 0.5), 9_400, 1_800_000_000_000)
    item = TransferItem(TransferKind.VIDEO, "h264", 9_000, 0, 3, 1.0)
    gop = GopTransfer(StreamId("live/cam"), Generation(2), None, (item,))
    ask = PublishAsk(3, "live", "cam", "p:1", "relay", judged=JUDGED, resume=resume, gop=gop)
    message = ForwardAsk(3, "host-a", "host-a:1936", ask)
    rig.forwards.on_ask(rig.ingest, message, [b"picture"])
    rig.carry()
    (asked,) = rig.received
    time = asked.ask.time
    assert (time.stream_ms, time.end_ms, time.epoch_ms) == (9_000, 9_400, 1_800_000_000_000)
    assert time.age_s == pytest.approx(0.5)
    ((unit, payload),) = asked.gop
    assert (unit.kind, unit.stamp_ms, unit.flags, payload) == ("video", 9_000, 3, b"picture")


def test_a_host_that_cannot_be_reached_is_told_after_a_moment() -> None:
    rig = Rig()
    rig.ask()
    rig.wait(CONNECT_S - 0.1)
    assert rig.ingest.told == []
    rig.wait(0.2)
    assert rig.ingest.told == [PublishCutOff(3, "host host-a cannot be reached")]
    assert len(rig.forwards) == len(rig.host) == 0


def test_a_host_that_is_reached_may_take_its_time(rig: Rig) -> None:
    rig.ask()
    rig.wait(CONNECT_S + 1)
    assert rig.ingest.told == []
    rig.serving.receiving.answer(rig.number, None)
    rig.carry()
    assert rig.ingest.told == [PublishAccepted(3)]


def test_a_link_that_is_back_soon_costs_a_gop(rig: Rig) -> None:
    rig.let_in()
    rig.send(config(), video(0, is_key=True))
    rig.lose()
    rig.send(video(40))
    rig.wait(AGAIN_S / 2)
    rig.connect()
    rig.serving.receiving.answer(rig.number, None)
    rig.carry()
    rig.wait(AGAIN_S)
    rig.send(video(80))
    rig.send(config(), video(120, is_key=True))
    assert rig.ingest.told == [PublishAccepted(3)], "its ingest hears nothing of it"
    units = [one for one in rig.received if isinstance(one, ReceivedUnits)]
    assert [item.stamp_ms for one in units for item in one.items if item.kind == "video"] == [
        0,
        120,
    ]


def test_a_link_that_is_not_back_soon_is_the_ingests_to_know(rig: Rig) -> None:
    rig.let_in()
    rig.lose()
    rig.wait(AGAIN_S + 0.1)
    assert rig.ingest.told[1:] == [PublishCutOff(3, "host host-a cannot be reached")]


def test_a_host_whose_ingest_is_gone_is_asked_again(rig: Rig) -> None:
    rig.let_in()
    for _ in range(2):
        rig.serving.receiving.cut(rig.number, "its ingest is gone")
        rig.carry()
        rig.wait(PAUSE_S + 0.01)
    assert sum(isinstance(one, Asked) for one in rig.received) == 3
    rig.serving.receiving.answer(rig.number, None)
    rig.carry()
    rig.wait(CUT_S)
    assert rig.ingest.told == [PublishAccepted(3)]


def test_an_ingest_that_is_gone_takes_its_publishers_along(rig: Rig) -> None:
    rig.let_in()
    rig.forwards.follow({1, 2})
    assert len(rig.forwards) == 1
    rig.forwards.follow({2})
    rig.carry()
    assert len(rig.forwards) == 0
    assert not rig.received[-1].is_meant


def test_without_a_cluster_nothing_is_forwarded() -> None:
    rig = Rig()
    rig.is_configured = False
    rig.ask()
    assert isinstance(rig.ingest.told[0], PublishCutOff)
