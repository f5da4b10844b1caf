"""ingest/pull/puller.py: one stream that is fetched, from toy servers to a toy ingest."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from common.access.refusal import Refusal, RefusalReason
from common.config.settings import Pull
from common.ipc.remote_status import RemoteState
from common.ipc.unit_messages import (
    LOST,
    VIDEO,
    PublishAccepted,
    PublishAsk,
    PublishFinished,
    PublishHeldBack,
    PublishRefused,
    UnitItem,
)
from common.retries import Retries
from ingest.pull.puller import ANSWER_S, Puller
from ingest.pull.source import Batch, Memory, SourceError
from tests.kit.virtual_time import run_virtually

PULL = Pull("live", "door", "rtsp://u:s3cr3t@camera/live/s3cr3t")
IN_USE = Refusal(RefusalReason.NAME_IN_USE, "the stream key is in use")


class ToySource:
    """A server: what it brings, one by one, then how it ends; None: it waits for ever."""

    peer = "192.0.2.1:554"

    def __init__(self, *brings: bytes | str | None) -> None:
        self.brings = list(brings)
        self.is_closed = False
        self.ended = asyncio.Event()

    async def open(self) -> None:
        if self.brings and self.brings[0] == "closed":
            raise SourceError("no connection: refused")

    async def read(self) -> Batch:
        found = self.brings.pop(0) if self.brings else None
        batch = Batch()
        if found is None:
            await self.ended.wait()
            raise SourceError("it was ended")
        if isinstance(found, str):
            raise SourceError(found)
        batch.put(UnitItem(VIDEO, "h264", 0), found)
        return batch

    def end(self) -> None:
        self.ended.set()

    async def close(self) -> None:
        self.is_closed = True


class ToyWays:
    """An ingest that gives each who asks the next of these answers."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[PublishAsk] = []
        self.sent: list[bytes] = []
        self.kinds: list[str] = []
        self.over_words: list[str] = []
        self.takes = True
        self.holds: list[float] = []  # what the ingest says to each message
        self.publisher: Any = None

    def ask(
        self, publisher: Any, stream: str, make: Callable[[int], Any], payloads: Any = ()
    ) -> "ToyWays | None":
        ask = make(len(self.asked) + 1)
        self.asked.append(ask)
        self.publisher = publisher
        answer = self.answers.pop(0) if self.answers else None
        if answer == "none":
            return None
        if answer is not None:
            asyncio.get_running_loop().call_soon(publisher.on_answer, answer)
        return self

    def send(self, items: Sequence[UnitItem], payloads: Sequence[Any]) -> bool:
        self.kinds += [item.kind for item in items]
        self.sent += [bytes(payload) for payload in payloads]
        if self.holds:
            self.publisher.on_answer(PublishHeldBack(1, self.holds.pop(0)))
        return self.takes

    def over(self, reason: str, *, is_meant: bool = False, goes_on: bool = False) -> None:
        self.over_words.append(reason)


def pulled(
    sources: Sequence[tuple[Any, ...]],
    ways: ToyWays,
    scenario: Callable[[Puller, list[ToySource]], Coroutine[Any, Any, None]],
) -> None:
    """Have it fetched from these servers, one after the other, in virtual time."""

    async def main() -> None:
        made: list[ToySource] = []

        def make(pull: Pull, memory: Memory) -> ToySource:
            made.append(ToySource(*(sources[len(made)] if len(made) < len(sources) else ())))
            return made[-1]

        puller = Puller(PULL, ways, make, Retries(lambda: 1.0), lambda: 1_000.0)
        task = asyncio.get_running_loop().create_task(puller.run())
        try:
            await scenario(puller, made)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert all(source.is_closed for source in made)

    run_virtually(main())


def test_media_that_come_are_passed_on_once_the_ingest_agrees() -> None:
    ways = ToyWays(PublishAccepted(1))

    async def scenario(puller: Puller, made: list[ToySource]) -> None:
        await asyncio.sleep(1)
        (ask,) = ways.asked
        assert (ask.app, ask.key, ask.peer) == ("live", "door", "192.0.2.1:554")
        assert (ask.protocol, ask.is_ordered) == ("pull", True)
        assert ways.sent == [b"one", b"two"], "with what came before the answer"
        status = puller.status
        assert (status.state, status.attempts, status.connected) == (RemoteState.RUNNING, 1, 1)
        assert (status.bytes, status.reason) == (6, "")
        assert "s3cr3t" not in repr(status)

    pulled([(b"one", b"two")], ways, scenario)
    assert ways.over_words == ["it is not pulled any more"]


@pytest.mark.parametrize(
    ("source", "answer", "reason"),
    [
        (("closed",), None, "no connection: refused"),
        (("nothing came for 15 s",), None, "nothing came for 15 s"),
        ((b"one",), PublishRefused(1, IN_USE), IN_USE.words),
        ((b"one",), "none", "no ingest is there"),
        ((b"one",), None, "the ingest did not answer"),
        ((b"one", "the server closed"), PublishAccepted(1), "the server closed"),
    ],
)
def test_whatever_ends_it_is_told_and_it_is_tried_again(
    source: Any, answer: Any, reason: str
) -> None:
    ways = ToyWays(answer, PublishAccepted(2))

    async def scenario(puller: Puller, made: list[ToySource]) -> None:
        status = puller.status
        while status.state is not RemoteState.WAITING:
            await asyncio.sleep(0.1)
            status = puller.status
        assert (status.reason, status.attempts) == (reason, 1)
        assert status.retry_unix == 1_001.0
        ways.answers[:] = [PublishAccepted(2)]
        await asyncio.sleep(1.5)
        assert puller.status.state is RemoteState.RUNNING
        assert len(made) == 2
        assert puller.status.reason == ""

    pulled([source, (b"two",)], ways, scenario)
    assert ANSWER_S > 8, "as long as ingest has one wait for room"


def test_waits_grow_while_nobody_answers() -> None:
    async def scenario(puller: Puller, made: list[ToySource]) -> None:
        await asyncio.sleep(1 + 2 + 4 + 8 + 16 + 30 + 1)
        assert puller.status.attempts == 7

    pulled([("closed",)] * 9, ToyWays(), scenario)


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_an_ingest_that_takes_no_more_ends_the_connection_too(is_cut_off: bool) -> None:
    ways = ToyWays(PublishAccepted(1))

    async def scenario(puller: Puller, made: list[ToySource]) -> None:
        await asyncio.sleep(0.5)
        if is_cut_off:
            ways.publisher.on_cut_off("ingest:0 is gone")
        else:
            ways.publisher.on_answer(PublishFinished(1, "ended by the operator"))
        await asyncio.sleep(0.1)
        assert puller.status.state is RemoteState.WAITING
        assert puller.status.reason in ("ingest:0 is gone", "ended by the operator")
        assert made[0].is_closed

    pulled([(b"one",)], ways, scenario)
    assert ways.over_words == [], "it knows"


def test_what_was_not_taken_is_a_loss_for_what_follows() -> None:
    ways = ToyWays(PublishAccepted(1))
    ways.takes = False

    async def scenario(puller: Puller, made: list[ToySource]) -> None:
        await asyncio.sleep(0.1)
        assert ways.kinds == [VIDEO, LOST, VIDEO, LOST, VIDEO]
        assert puller.skipped == 5

    pulled([(b"one", b"two", b"three")], ways, scenario)


def test_what_comes_too_fast_is_read_later() -> None:
    ways = ToyWays(PublishAccepted(1))
    ways.holds = [5.0]

    async def scenario(puller: Puller, made: list[ToySource]) -> None:
        await asyncio.sleep(4.9)
        assert ways.sent == [b"one"]
        await asyncio.sleep(0.2)
        assert ways.sent == [b"one", b"two"]

    pulled([(b"one", b"two")], ways, scenario)
