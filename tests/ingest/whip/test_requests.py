"""Who asks to publish by WHIP, what an ingest says to that, and what becomes of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from common.access.refusal import Cause, Refusal, RefusalReason
from common.config.ladder import Template
from common.config.settings import Settings
from common.ipc.unit_messages import (
    PublishAccepted,
    PublishAsk,
    PublishFinished,
    PublishRefused,
)
from common.ipc.whep_messages import WhepAnswer, WhepEnd, WhepOffer, WhipOffer
from common.media.units import Data
from common.webrtc.peer import CONNECT_S
from common.webrtc.udp import bound
from ingest.whip.publisher import ASK_ANEW_S
from ingest.whip.requests import MAX_PUBLISHERS, WhipRequests
from ingest.whip.sessions import Sessions
from tests.kit.sdp import SMALL

OFFER = SMALL.replace("a=recvonly", "a=sendonly")
ASK = WhipOffer("live", "cam", {"key": "sesame"}, "192.0.2.1:5000", OFFER, "127.0.0.1", "Toy 1.0")
DENIED = Refusal(RefusalReason.DENIED, "the key is wrong")
IN_USE = Refusal(RefusalReason.NAME_IN_USE, "another one publishes it")
NO_APP = Refusal(RefusalReason.DENIED, "there is no such app", cause=Cause.NO_APP)


class ToyWay:
    """A way to a toy ingest."""

    def __init__(self) -> None:
        self.overs: list[tuple[str, bool]] = []
        self.items: list[Any] = []

    def send(self, items: Sequence[Any], payloads: Sequence[Data]) -> bool:
        self.items += items
        return True

    def over(self, reason: str, *, is_meant: bool = False, goes_on: bool = False) -> None:
        self.overs.append((reason, is_meant))


class ToyIngest:
    """Answers each request at once, if it has an answer."""

    def __init__(self) -> None:
        self.is_there = True
        self.answer: Callable[[int], Any] | None = PublishAccepted
        self.asked: list[PublishAsk] = []
        self.ways: list[ToyWay] = []
        self.publishers: list[Any] = []

    def ask(
        self, publisher: Any, stream: str, make: Callable[[int], Any], payloads: Sequence[Data] = ()
    ) -> ToyWay | None:
        if not self.is_there:
            return None
        self.asked.append(make(len(self.asked)))
        self.ways.append(ToyWay())
        self.publishers.append(publisher)
        if self.answer is not None:
            asyncio.get_running_loop().call_soon(
                publisher.on_answer, self.answer(self.asked[-1].number)
            )
        return self.ways[-1]


class Rig:
    def __init__(self) -> None:
        self.now = 100.0
        self.ingest = ToyIngest()
        self.sessions = Sessions(lambda: self.now)
        self.sessions.take(bound("127.0.0.1", 0))
        self.requests = WhipRequests(self.sessions, self.ingest)
        self.requests.configure(Settings(templates=(Template("live", ()),)))

    async def ask(self, request: Any = ASK) -> WhepAnswer:
        return await self.requests.answer(request)


def in_loop(scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def run() -> None:
        rig = Rig()
        try:
            await scenario(rig)
        finally:
            rig.sessions.end_all("over")
            rig.sessions.close()

    asyncio.run(run())


def test_who_is_let_in_has_an_answer_and_a_session_that_delete_ends_as_meant() -> None:
    async def scenario(rig: Rig) -> None:
        answer = await rig.ask()
        assert answer.status == 201
        assert "a=recvonly" in answer.words
        (asked,) = rig.ingest.asked
        assert (asked.app, asked.key, asked.peer) == ("live", "cam", "192.0.2.1:5000")
        assert (asked.protocol, asked.encoder) == ("whip", "Toy 1.0")
        assert asked.query == {"key": "sesame"}
        assert (await rig.ask(WhepEnd("another"))).status == 404
        assert (await rig.ask(WhepEnd(answer.session))).status == 200
        (way,) = rig.ingest.ways
        assert [is_meant for _, is_meant in way.overs] == [True]
        assert not len(rig.sessions)
        assert (await rig.ask(WhepEnd(answer.session))).status == 404

    in_loop(scenario)


@pytest.mark.parametrize(
    ("refusal", "status", "reason"),
    [(DENIED, 0, "denied"), (IN_USE, 0, "name-in-use"), (NO_APP, 404, "")],
)
def test_an_ingests_refusal_is_told_in_its_words(
    refusal: Refusal, status: int, reason: str
) -> None:
    async def scenario(rig: Rig) -> None:
        rig.ingest.answer = lambda number: PublishRefused(number, refusal)
        answer = await rig.ask()
        assert (answer.status, answer.reason, answer.words) == (status, reason, refusal.words)
        assert not len(rig.sessions)

    in_loop(scenario)


def test_what_cannot_be_taken_asks_no_ingest() -> None:
    async def scenario(rig: Rig) -> None:
        for offer, status in ((OFFER.replace("H264", "VP8"), 406), ("hello", 400), (SMALL, 406)):
            request = WhipOffer("live", "cam", {}, "192.0.2.1:5000", offer)
            assert (await rig.ask(request)).status == status
        viewer = WhepOffer("live", "cam", "", {}, "192.0.2.1:5000", SMALL)
        assert (await rig.ask(viewer)).status == 404
        assert rig.ingest.asked == []

    in_loop(scenario)


def test_without_an_ingest_a_port_or_room_one_may_try_again() -> None:
    async def scenario(rig: Rig) -> None:
        rig.ingest.is_there = False
        assert (await rig.ask()).reason == "unavailable"
        rig.ingest.is_there = True
        rig.requests._publishers = set(range(MAX_PUBLISHERS))  # type: ignore[arg-type]  # so many
        assert (await rig.ask()).reason == "unavailable"
        rig.requests._publishers = set()
        rig.requests.is_leaving = True
        assert (await rig.ask()).reason == "unavailable"
        assert rig.ingest.asked == []

    in_loop(scenario)


def test_who_does_not_connect_is_lost_and_not_over() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.ask()
        rig.sessions.check(rig.now + CONNECT_S - 1)
        assert len(rig.sessions) == 1
        rig.sessions.check(rig.now + CONNECT_S + 1)
        assert not len(rig.sessions)
        ((reason, is_meant),) = rig.ingest.ways[0].overs
        assert (reason, is_meant) == ("it has not connected", False)

    in_loop(scenario)


def test_who_does_not_wait_for_the_answer_leaves_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        rig.ingest.answer = None
        asking = asyncio.ensure_future(rig.ask())
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert len(rig.ingest.ways[0].overs) == 1
        assert rig.requests._asking == 0

    in_loop(scenario)


@pytest.mark.parametrize("answer", ["refused", "finished"])
def test_the_session_ends_when_the_ingest_says_so(answer: str) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.ask()
        (publisher,) = rig.ingest.publishers
        words = PublishFinished(0, "kicked") if answer == "finished" else PublishRefused(0, DENIED)
        publisher.on_answer(words)
        assert not len(rig.sessions)
        assert rig.ingest.ways[0].overs == [], "it knows"
        assert rig.requests._publishers == set()

    in_loop(scenario)


def test_one_whose_ingest_is_gone_asks_anew_for_a_while() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.ask()
        (publisher,) = rig.ingest.publishers
        (session,) = rig.sessions
        rig.ingest.is_there = False
        publisher.on_cut_off("ingest:0 is gone")
        begin_s = publisher._asks_since_s
        rig.requests.look(begin_s + 1)
        assert (len(rig.ingest.asked), session.way) == (1, None)
        rig.ingest.is_there = True
        rig.requests.look(begin_s + 2)
        await asyncio.sleep(0)
        assert len(rig.ingest.asked) == 2
        assert session.way is rig.ingest.ways[1]
        rig.ingest.is_there = False
        publisher.on_cut_off("ingest:0 is gone")
        rig.requests.look(publisher._asks_since_s + ASK_ANEW_S + 1)
        assert not len(rig.sessions)

    in_loop(scenario)
