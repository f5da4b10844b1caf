"""common/ipc/bus.py: ZeroMQ sockets on the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from common.ipc.bus import BATCH, HIGH_WATER_MARK, Bus, Receiver
from tests.kit.waiting import until_async


def run(scenario: Callable[[Bus], Awaitable[None]]) -> None:
    async def with_bus() -> None:
        bus = Bus()
        try:
            async with asyncio.timeout(10):
                await scenario(bus)
        finally:
            bus.close()

    asyncio.run(with_bus())


def test_request_and_answer_cross_a_router_and_a_dealer(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        address = f"ipc://{tmp_path}/control"
        answers: list[list[bytes]] = []
        router: list[Receiver] = []

        def answer(frames: list[bytes]) -> None:
            router[0].send([frames[0], b"re:" + frames[1]])

        router.append(bus.router(address, answer))
        dealer = bus.dealer(address, b"child", answers.append)
        for i in range(500):  # each send may eat the edge of an answer that is coming in
            assert dealer.send([str(i).encode()])
        await until_async(lambda: len(answers) == 500)
        assert answers[-1] == [b"re:499"]

    run(scenario)


def test_every_message_of_a_long_burst_arrives_in_order(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []
        address = f"ipc://{tmp_path}/a"
        bus.router(address, lambda frames: got.append(frames[1]))
        dealer = bus.dealer(address, b"child", lambda frames: None)
        sent = [str(i).encode() for i in range(3 * BATCH)]
        for message in sent:
            assert dealer.send([message, b"payload"])
        await until_async(lambda: len(got) == len(sent))
        assert got == sent

    run(scenario)


def test_a_handler_that_fails_does_not_stop_the_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []

        def handle(frames: list[bytes]) -> None:
            if frames[1] == b"bad":
                raise RuntimeError("boom")
            got.append(frames[1])

        address = f"ipc://{tmp_path}/a"
        bus.router(address, handle)
        dealer = bus.dealer(address, b"child", lambda frames: None)
        dealer.send([b"bad"])
        dealer.send([b"good"])
        await until_async(lambda: got == [b"good"])

    run(scenario)
    assert "boom" in caplog.text


def test_a_peer_that_is_away_gives_false_in_the_end_and_never_blocks(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        dealer = bus.dealer(f"ipc://{tmp_path}/nobody", b"child", lambda frames: None)
        results = [dealer.send([b"x"]) for _ in range(2 * HIGH_WATER_MARK)]
        assert results[0]
        assert not results[-1]
        dealer.close()
        assert not dealer.send([b"x"])

    run(scenario)
