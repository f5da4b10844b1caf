"""ingest/outputs/links.py: links that follow the topology."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from common.ipc.bus import Bus
from common.ipc.control_messages import Endpoint
from common.ipc.envelope import decode
from common.ipc.identity import BootId, Generation, StreamId
from common.ipc.media_listener import MediaListener, OnFrames
from common.ipc.media_messages import StreamEnd
from ingest.outputs.links import Links
from tests.kit.children import CPU0, EGRESS0, INGEST0
from tests.kit.waiting import until_async

WORKER, EGRESS = CPU0, EGRESS0
END = StreamEnd(StreamId("live/cam"), Generation(1), "over")


def run(scenario: Callable[[Bus, Links], Awaitable[None]]) -> None:
    async def with_links() -> None:
        bus = Bus()
        links = Links(bus)
        try:
            async with asyncio.timeout(10):
                await scenario(bus, links)
        finally:
            links.close()
            bus.close()

    asyncio.run(with_links())


def endpoints(directory: Path, boot: str) -> tuple[Endpoint, ...]:
    return (
        Endpoint(WORKER, BootId(boot), media=f"ipc://{directory}/w-{boot}"),
        Endpoint(
            EGRESS,
            BootId(boot),
            tags=f"ipc://{directory}/e-{boot}",
            handover=f"unix://{directory}/h-{boot}",
        ),
        Endpoint(INGEST0, BootId(boot)),
    )


def test_messages_reach_the_incarnation_that_runs_and_no_other(tmp_path: Path) -> None:
    async def scenario(bus: Bus, links: Links) -> None:
        got: dict[str, list[list[bytes]]] = {"w-a": [], "w-b": [], "e-a": []}

        def note(messages: list[list[bytes]]) -> OnFrames:
            return lambda frames, _: messages.append(frames)

        inlets = [MediaListener(bus, f"ipc://{tmp_path}/{name}", note(got[name])) for name in got]
        links.follow(endpoints(tmp_path, "a"))
        first = links.worker(WORKER)
        assert first is not None
        assert first.send(END, (b"payload",))
        assert [link.child for link in links.egresses()] == [EGRESS]
        assert links.egresses()[0].send(END)
        await until_async(lambda: bool(got["w-a"] and got["e-a"]))
        assert (decode(got["w-a"][0][0]), got["w-a"][0][1]) == (END, b"payload")

        links.follow(endpoints(tmp_path, "a"))
        assert links.worker(WORKER) is first, "what is there stays"
        links.follow(endpoints(tmp_path, "b"))
        second = links.worker(WORKER)
        assert second is not None
        assert second is not first
        assert not first.send(END)
        assert second.send(END)
        await until_async(lambda: bool(got["w-b"]))
        assert len(got["w-a"]) == 1
        for listener in inlets:
            listener.close()

    run(scenario)


def test_who_is_gone_is_gone(tmp_path: Path) -> None:
    async def scenario(bus: Bus, links: Links) -> None:
        links.follow(endpoints(tmp_path, "a"))
        link = links.egresses()[0]
        links.follow(())
        assert links.worker(WORKER) is None
        assert not links.egresses()
        assert not link.send(END)
        assert link.refused == 1

    run(scenario)
