"""common/ipc/tag_link.py: tags at once where they are watched, else lazily."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from common.ipc.bus import Bus
from common.ipc.envelope import encode
from common.ipc.identity import StreamId
from common.ipc.media_link import BATCH_S
from common.ipc.media_listener import MediaListener, Sender
from common.ipc.media_messages import SHARED, Demand
from common.ipc.tag_link import TagLink
from tests.kit.waiting import until_async

CAM = StreamId("live/cam")


def run(
    scenario: Callable[[MediaListener, TagLink, list[bytes], list[Sender]], Awaitable[None]],
) -> None:
    async def bounded(folder: Path) -> None:
        got: list[bytes] = []
        senders: list[Sender] = []

        def take(frames: list[bytes], sender: Sender) -> None:
            got.append(frames[0])
            senders.append(sender)

        bus = Bus()
        listener = MediaListener(bus, f"ipc://{folder}/tags", take)
        link = TagLink(
            bus, f"ipc://{folder}/tags", lambda stream_id: got.append(stream_id.encode())
        )
        try:
            async with asyncio.timeout(10):
                await scenario(listener, link, got, senders)
        finally:
            link.close()
            listener.close()
            bus.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(bounded(Path(folder)))


def test_what_is_sent_lazily_comes_with_the_next_message_and_in_order() -> None:
    async def scenario(
        listener: MediaListener, link: TagLink, got: list[bytes], _: list[Sender]
    ) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert link.send([b"1"], batched=True)
        assert link.send([b"2"], batched=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not got
        assert link.send([b"3"])
        await until_async(lambda: len(got) == 3)
        assert got == [b"1", b"2", b"3"]
        assert loop.time() - began_s < BATCH_S

    run(scenario)


def test_what_is_sent_lazily_comes_in_the_end() -> None:
    async def scenario(
        listener: MediaListener, link: TagLink, got: list[bytes], _: list[Sender]
    ) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        assert link.send([b"1"], batched=True)
        await until_async(lambda: got == [b"1"])
        assert loop.time() - began_s >= BATCH_S * 0.9

    run(scenario)


def test_an_egress_says_what_is_watched_and_gets_at_once_what_had_waited() -> None:
    async def scenario(
        listener: MediaListener, link: TagLink, got: list[bytes], senders: list[Sender]
    ) -> None:
        assert link.send([b"open"])
        await until_async(lambda: bool(senders))
        assert not link.has_players(CAM, "360p")
        link.send([b"waits"], batched=True)
        began_s = asyncio.get_running_loop().time()
        assert senders[0].answer([encode(Demand(CAM, ("360p",)))])
        await until_async(lambda: b"waits" in got)
        assert asyncio.get_running_loop().time() - began_s < BATCH_S
        assert got.count(b"live/cam") == 1, "who sends is told"
        assert senders[0].answer([encode(Demand(CAM, ("240p", "360p")))])
        await until_async(lambda: link.has_players(CAM, "240p"))
        assert got.count(b"live/cam") == 1, "once"
        assert link.has_players(CAM, "360p")
        assert link.has_players(CAM, SHARED)
        assert not link.has_players(CAM, "720p")
        assert not link.has_players(StreamId("live/other"), "360p")
        assert senders[0].answer([encode(Demand(CAM, ()))])
        await until_async(lambda: not link.has_players(CAM, "360p"))

    run(scenario)


def test_an_answer_that_cannot_be_read_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(
        listener: MediaListener, link: TagLink, got: list[bytes], senders: list[Sender]
    ) -> None:
        link.send([b"open"])
        await until_async(lambda: bool(senders))
        assert senders[0].answer([b"nonsense"])
        assert senders[0].answer([encode(Demand(CAM, ("360p",)))])
        await until_async(lambda: link.has_players(CAM, "360p"))

    run(scenario)
    assert "unreadable answer" in caplog.text


def test_a_sender_that_is_gone_takes_no_answer() -> None:
    async def scenario(
        listener: MediaListener, link: TagLink, got: list[bytes], senders: list[Sender]
    ) -> None:
        link.send([b"open"])
        await until_async(lambda: bool(senders))
        link.close()
        await until_async(lambda: senders[0].closed)
        assert not senders[0].answer([b"x"])

    run(scenario)
