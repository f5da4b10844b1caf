"""common/bus.py: ZeroMQ sockets on the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from common import bundle
from common.bus import BATCH, HIGH_WATER_MARK, Bus, Receiver, endpoint
from common.identity import BootId, ChildName


def run(scenario: Callable[[Bus], Awaitable[None]]) -> None:
    async def with_bus() -> None:
        bus = Bus()
        try:
            async with asyncio.timeout(10):
                await scenario(bus)
        finally:
            bus.close()

    asyncio.run(with_bus())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def test_every_message_of_a_long_burst_arrives_in_order(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []
        address = f"ipc://{tmp_path}/a"
        bus.pull(address, lambda frames: got.append(frames[0]))
        push = bus.push(address)
        sent = [str(i).encode() for i in range(3 * BATCH)]
        for message in sent:
            assert push.send([message, b"payload"])
        await until(lambda: len(got) == len(sent))
        assert got == sent

    run(scenario)


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
        await until(lambda: len(answers) == 500)
        assert answers[-1] == [b"re:499"]

    run(scenario)


def test_a_handler_that_fails_does_not_stop_the_socket(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []

        def handle(frames: list[bytes]) -> None:
            if frames[0] == b"bad":
                raise RuntimeError("boom")
            got.append(frames[0])

        address = f"ipc://{tmp_path}/a"
        bus.pull(address, handle)
        push = bus.push(address)
        push.send([b"bad"])
        push.send([b"good"])
        await until(lambda: got == [b"good"])

    run(scenario)
    assert "boom" in caplog.text


def test_a_full_peer_gives_false_and_never_blocks(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        push = bus.push(f"ipc://{tmp_path}/nobody")
        results = [push.send([b"x"]) for _ in range(10_000)]
        assert results[0]
        assert not results[-1]
        push.close()
        assert not push.send([b"x"])

    run(scenario)


def test_endpoint_names_are_of_one_incarnation_and_bounded(tmp_path: Path) -> None:
    child, boot = ChildName("worker:GPU-8f6c1a2b-aaaa-bbbb-cccc-ddddeeeeffff"), BootId("0" * 16)
    name = endpoint(Path("/run/tfarm"), child, boot, "media")
    assert name.startswith("ipc:///run/tfarm/worker-GPU-8f6c1a2b")
    assert name.endswith("-0000000000000000.media")
    with pytest.raises(ValueError, match="too long"):
        endpoint(Path("/" + "x" * 80), child, boot, "media")


def test_what_is_posted_in_one_turn_arrives_in_order_between_sends(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        address = f"ipc://{tmp_path}/a"
        bus.pull(address, got.append)
        push = bus.push(address)
        sent = [[str(i).encode(), b"payload"] for i in range(2 * bundle.MAX_MESSAGES + 3)]
        for message in sent[:-1]:
            assert push.post(message)
        assert push.send(sent[-1])
        await until(lambda: len(got) == len(sent))
        assert got == sent

    run(scenario)


def test_a_full_peer_refuses_posts_and_gets_what_it_took(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        push = bus.push(f"ipc://{tmp_path}/nobody-yet")
        taken = 0
        while taken < 3 * HIGH_WATER_MARK and push.post([str(taken).encode()]):
            taken += 1
            await asyncio.sleep(0)  # each post is a message of its own
        assert HIGH_WATER_MARK <= taken < 3 * HIGH_WATER_MARK
        assert not push.post([b"too much"])
        got: list[bytes] = []
        bus.pull(f"ipc://{tmp_path}/nobody-yet", lambda frames: got.append(frames[0]))
        await until(lambda: len(got) == taken)
        assert got == [str(i).encode() for i in range(taken)]

    run(scenario)


def test_a_broken_bundle_is_handed_on_whole_to_be_counted(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        address = f"ipc://{tmp_path}/a"
        bus.pull(address, got.append)
        push = bus.push(address)
        assert push.send([bundle.MAGIC + b"\x00\x09", b"one"])
        await until(lambda: len(got) == 1)
        assert got == [[bundle.MAGIC + b"\x00\x09", b"one"]]

    run(scenario)
