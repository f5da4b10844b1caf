"""common/link/forwarding.py, with `Receiving` at the other end"""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.refusal import Refusal, RefusalReason
from common.errors import LinkError
from common.ipc.unit_messages import AUDIO_CONFIG, VIDEO, VIDEO_CONFIG
from common.link.forwarding import MAX_FORWARDED, Forwarding, ForwardLost
from common.link.messages import LinkGreeting
from common.link.publish_messages import (
    LinkPublishAnswer,
    LinkPublishEnd,
    LinkPublishEnded,
    LinkPublishHeld,
    LinkPublishTimed,
    LinkTime,
    LinkUnit,
    LinkUnits,
)
from common.link.pulling import Pulling
from common.link.receiving import MAX_ASK_BYTES, Asked, ReceivedUnits
from tests.kit.forward_link import asking, config, video
from tests.kit.host_link import EDGE, OWNER, LinkRig

IN_USE = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")


class ForwardRig(LinkRig):
    """A publisher at the edge, whose stream the owner has."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.received: list[Any] = []
        self.serving.receiving.on_received = self.received.append
        self.forwarding = Forwarding("host-a", self.told.append)
        self.pulling = Pulling(EDGE, "host-a", forwarding=self.forwarding)

    def let_in(self, number: int = 1) -> None:
        self.forwarding.ask(asking(number))
        self.carry()
        self.serving.receiving.answer(number, None)
        self.carry()

    def send(self, *items: Any, size: int = 100, number: int = 1) -> None:
        payloads = [b"u" * size for _ in items]
        self.forwarding.units(number, items, payloads, self.edge_now)
        self.carry()

    def times(self, number: str = "1") -> list[int]:
        return [
            item.stamp_ms
            for one in self.received
            if isinstance(one, ReceivedUnits) and str(one.number) == number
            for item in one.items
            if item.kind == VIDEO
        ]


@pytest.fixture
def rig() -> ForwardRig:
    rig = ForwardRig()
    rig.connect()
    return rig


def test_a_publisher_is_asked_for_and_then_its_units_go(rig: ForwardRig) -> None:
    rig.forwarding.ask(asking())
    rig.send(video(0, is_key=True))  # it was not let in yet
    assert rig.received == [Asked(asking(), [])]
    rig.serving.receiving.answer(1, None)
    rig.carry()
    assert rig.told == [LinkPublishAnswer(1)]
    rig.send(config(), video(0, is_key=True, came_s=rig.edge_now - 0.25), size=7)
    (units,) = [one for one in rig.received if isinstance(one, ReceivedUnits)]
    assert [item.kind for item in units.items] == [VIDEO_CONFIG, VIDEO]
    assert units.payloads == [b"u" * 7, b"u" * 7]
    # its age has crossed, and is a time of the other host's clock
    assert units.items[1].received_s == pytest.approx(rig.now - 0.25)
    rig.forwarding.end(1, "it stopped", is_meant=True)
    rig.carry()
    assert rig.received[-1] == LinkPublishEnd(1, "it stopped", True)
    assert len(rig.forwarding) == 0
    assert rig.serving.receiving.numbers == ()


def test_a_refusal_comes_back_with_its_words(rig: ForwardRig) -> None:
    rig.forwarding.ask(asking())
    rig.carry()
    rig.serving.receiving.answer(1, IN_USE)
    rig.carry()
    assert rig.told == [LinkPublishAnswer(1, IN_USE)]
    rig.send(video(0, is_key=True))
    assert rig.received == [Asked(asking(), [])]


def test_the_owner_ends_a_publisher(rig: ForwardRig) -> None:
    rig.let_in()
    rig.serving.receiving.end(1, IN_USE)
    rig.send(video(0, is_key=True))  # on its way already
    assert rig.told[-1] == LinkPublishEnded(1, IN_USE)
    assert rig.times() == []


def test_the_owner_says_which_time_is_the_streams_and_who_is_too_fast(rig: ForwardRig) -> None:
    rig.let_in()
    rig.serving.receiving.timed(1, 40, 1040)
    rig.serving.receiving.hold_back(1, 0.5)
    rig.serving.receiving.timed(2, 40, 1040)  # of one that is not there
    rig.serving.receiving.end(1, None, "the server is stopping")
    rig.carry()
    assert rig.told[1:] == [
        LinkPublishTimed(1, 40, 1040),
        LinkPublishHeld(1, 0.5),
        LinkPublishEnded(1, None, "the server is stopping"),
    ]


@given(st.lists(st.integers(0, 900_000), min_size=1, max_size=600))
def test_who_goes_on_with_a_stream_brings_all_of_its_gop_first(sizes: list[int]) -> None:
    rig = ForwardRig()
    rig.connect()
    total = itertools.accumulate(sizes)
    sizes = [size for size, sum_ in zip(sizes, total, strict=True) if sum_ < MAX_ASK_BYTES]
    gop = [(video(n, is_key=n == 0), b"u" * size) for n, size in enumerate(sizes)]
    ask = asking(1, LinkTime(5000, 0.1, 5040, 1_800_000_000_000))
    rig.forwarding.ask(ask, gop)
    rig.carry()
    (asked,) = rig.received
    assert asked == Asked(replace(ask, gop_items=len(gop)), gop)


def test_a_gop_is_what_it_was_said_to_be(rig: ForwardRig) -> None:
    receiving = rig.serving.receiving
    ask = replace(asking(1, LinkTime(0, 0.0, 0)), gop_items=1)
    receiving.take(ask, [], 10, 0.0)
    assert rig.received == []
    unit = LinkUnit(VIDEO, "h264", 0, 0, 0, 0.0)
    with pytest.raises(LinkError, match="more of a stream"):
        receiving.take(LinkUnits(1, (unit, unit)), [b"u", b"u"], 10, 0.0)


def test_headers_in_force_are_no_news(rig: ForwardRig) -> None:
    rig.let_in()
    for dts_ms in (0, 1000):
        rig.send(config(), config(AUDIO_CONFIG), video(dts_ms, is_key=True))
    rig.send(config(), video(2000, is_key=True), size=8)  # others
    found = [
        [item.kind for item in one.items] for one in rig.received if isinstance(one, ReceivedUnits)
    ]
    heads = [VIDEO_CONFIG, AUDIO_CONFIG]
    assert found == [
        [*heads, VIDEO],
        [VIDEO],
        [heads[0], VIDEO],
    ]


def test_who_asks_before_there_is_a_connection_waits_for_it() -> None:
    rig = ForwardRig()
    rig.forwarding.ask(asking(1))
    rig.forwarding.ask(asking(2))
    rig.forwarding.end(2, "it went", is_meant=False)
    assert rig.told == []
    assert not rig.to_owner
    rig.connect()
    assert rig.received == [Asked(asking(1), [])]


def test_a_lost_connection_is_the_end_of_all_that_had_asked(rig: ForwardRig) -> None:
    rig.let_in(1)
    rig.forwarding.ask(asking(2))
    rig.carry()
    rig.lose()
    assert rig.told[1:] == [ForwardLost(1, "it broke"), ForwardLost(2, "it broke")]
    rig.forwarding.ask(asking(3))
    rig.lose("again")  # an attempt that came to nothing
    assert len(rig.told) == 3
    assert not rig.forwarding.is_asked(3)
    rig.connect()
    assert rig.received[-1] == Asked(asking(3), [])
    assert rig.forwarding.is_asked(3)
    rig.serving.receiving.cut(3, "its ingest is gone")
    rig.carry()
    assert rig.told[-1] == ForwardLost(3, "its ingest is gone", is_linked=True)
    assert len(rig.forwarding) == 0


def test_nothing_goes_before_a_keyframe(rig: ForwardRig) -> None:
    rig.let_in()
    rig.send(video(0))
    rig.send(config(), video(40, is_key=True))
    rig.send(video(80))
    assert rig.times() == [40, 80]
    assert rig.forwarding.dropped == 1


def test_a_host_of_an_older_version_is_asked_for_nothing() -> None:
    rig = ForwardRig()
    rig.serving._own = LinkGreeting(1, OWNER.cluster, OWNER.host, OWNER.boot)  # its greeting
    rig.forwarding.ask(asking())
    rig.connect()
    (answer,) = rig.told
    assert "older version" in answer.refusal.words
    assert rig.received == []


def test_a_publisher_too_many_is_refused_here() -> None:
    rig = ForwardRig()
    for number in range(MAX_FORWARDED + 1):
        rig.forwarding.ask(asking(number))
    (answer,) = rig.told
    assert (answer.number, answer.refusal.reason) == (MAX_FORWARDED, RefusalReason.UNAVAILABLE)


def test_who_breaks_the_rules_loses_the_link(rig: ForwardRig) -> None:
    receiving = rig.serving.receiving
    receiving.take(asking(), [], 10, 0.0)
    with pytest.raises(LinkError, match="one number"):
        receiving.take(asking(), [], 10, 0.0)
    rig.forwarding.ask(asking(2))
    rig.carry()
    rig.forwarding.take(LinkPublishAnswer(2))  # nobody said so
    with pytest.raises(LinkError, match="not let in"):
        rig.send(video(0, is_key=True), number=2)


@given(st.lists(st.tuples(st.integers(1, 3_000_000), st.booleans()), min_size=1, max_size=60))
def test_a_link_that_takes_nothing_is_owed_whole_gops_alone(sizes: list[tuple[int, bool]]) -> None:
    """What arrives is in order, and each picture follows the one before it or begins a GOP."""
    rig = ForwardRig()
    rig.connect()
    rig.let_in()
    keys = set()
    for number, (size, carries) in enumerate(sizes):
        is_key = number % 10 == 0
        if is_key:
            keys.add(number)
        items = (config(), video(number, is_key=True)) if is_key else (video(number),)
        rig.forwarding.units(1, items, [b"u" * size for _ in items], rig.edge_now)
        if carries:
            rig.carry()
            rig.now += 1.5
            rig.serving.tick()
    rig.carry()
    came = rig.times()
    assert all(now == before + 1 or now in keys for before, now in itertools.pairwise(came))
    assert came[:1] == [0]
