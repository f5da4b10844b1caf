"""common/ipc/bus.py: ZeroMQ sockets on the loop."""

import asyncio
import os
import select
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from common.ipc import fair_inbox
from common.ipc.bus import (
    BATCH,
    HIGH_WATER_MARK,
    MAX_PARTS,
    TURN_PARTS,
    Bus,
    Received,
    Receiver,
)
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


Consume = Callable[[Receiver], object]


@pytest.mark.parametrize(
    "consume",
    [lambda sender: sender.has_peer, lambda sender: sender.send([b"more"])],
    ids=["a look", "a send"],
)
def test_what_comes_while_a_turn_looks_or_sends_is_read(tmp_path: Path, consume: Consume) -> None:
    """Whoever asks a ZeroMQ socket anything may take the edge; an answer lay there unread."""

    async def scenario(bus: Bus) -> None:
        address, got = f"ipc://{tmp_path}/a", list[list[bytes]]()
        with zmq.Context() as context, context.socket(zmq.ROUTER) as peer:
            peer.bind(address)
            names: list[bytes] = []

            def on_turn() -> None:
                if names and got:
                    peer.send_multipart([names.pop(), b"late"])
                    select.select([sender.fileno()], [], [], 10)  # it has come, at the end of …
                    consume(sender)  # … a turn, whose reading is done

            sender = bus.sender(address, got.append, on_turn)
            await until_async(lambda: sender.has_peer)
            sender.send([b"it is me"])
            name = (await asyncio.to_thread(peer.recv_multipart))[0]
            names.append(name)
            peer.send_multipart([name, b""])  # a turn
            await until_async(lambda: len(got) == 2)
            sender.close()

    run(scenario)


def test_a_peer_that_goes_while_something_is_sent_is_missed(tmp_path: Path) -> None:
    """The send took the edge: nobody heard that the link is down before the next one."""

    async def scenario(bus: Bus) -> None:
        address, turns = f"ipc://{tmp_path}/a", list[bool]()
        context = zmq.Context()
        peer = context.socket(zmq.ROUTER)
        peer.bind(address)
        sender = bus.sender(address, lambda _: None, lambda: turns.append(sender.has_peer))
        await until_async(lambda: turns[-1:] == [True])
        peer.close(linger=0)
        context.term()
        select.select([sender.fileno()], [], [], 10)
        sender.send([b"to nobody"])
        await until_async(lambda: turns[-1:] == [False])

    run(scenario)


# What a peer says before its first message, in the protocols before ZMTP 3; and how that begins.
OLDER = {
    "ZMTP 1": (b"\x01\x00", lambda body: bytes((len(body) + 1, 0)) + body),
    "ZMTP 2": (
        b"\xff" + bytes(7) + b"\x01\x7f" + b"\x01\x05" + b"\x00\x00",
        lambda body: bytes((0, len(body))) + body,
    ),
}


@pytest.mark.parametrize("protocol", OLDER)
def test_nobody_hides_from_the_kernel_behind_an_older_protocol(
    tmp_path: Path, protocol: str
) -> None:
    """libzmq speaks those too, and leaves out who the peer is in some; 0 is nobody, then."""
    greeting, frame = OLDER[protocol]

    async def scenario(bus: Bus) -> None:
        seen: list[tuple[bytes, int, int | None]] = []
        router: list[Receiver] = []

        def take(frames: list[bytes]) -> None:
            seen.append((frames[-1], router[0].peer_pid, router[0].peer_uid))

        router.append(bus.router(f"ipc://{tmp_path}/control", take))
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(tmp_path / "control"))
            peer.send(greeting + frame(b"stop"))
            await until_async(lambda: bool(seen))
        assert seen[0] in {(b"stop", os.getpid(), os.getuid()), (b"stop", 0, None)}

    run(scenario)


def test_the_kernel_names_the_process_of_each_message(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        binds: tuple[Callable[[str, Any], Receiver], ...] = (bus.router, bus.listener)
        for bind in binds:
            seen: list[tuple[int, int | None]] = []
            bound: list[Receiver] = []

            def take(_: Any, seen: Any = seen, bound: list[Receiver] = bound) -> bool:
                seen.append((bound[0].peer_pid, bound[0].peer_uid))
                return True

            address = f"ipc://{tmp_path}/{bind.__name__}"
            bound.append(bind(address, take))
            dealer = bus.dealer(address, b"child", lambda frames: None)
            assert dealer.send([b"hello"])
            await until_async(lambda seen=seen: bool(seen))  # type: ignore[misc]  # bound here
            assert seen == [(os.getpid(), os.getuid())]

    run(scenario)


def test_a_message_of_more_frames_than_a_turn_takes_is_read_in_several(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        sizes: list[int] = []
        address = f"ipc://{tmp_path}/a"
        receiver = bus.router(address, lambda frames: sizes.append(len(frames)))
        dealer = bus.dealer(address, b"child", lambda frames: None)
        floods: list[str] = []
        receiver.on_flood = lambda _, what: floods.append(what)
        for count in (MAX_PARTS - 1, 1, 3 * TURN_PARTS, 3):
            assert dealer.send([b"x"] * count)
        await until_async(lambda: len(sizes) == 3)
        assert sizes == [MAX_PARTS, 2, 4], "with who sent it"
        assert receiver.flooded == 1
        assert floods[0].endswith(f"more than {MAX_PARTS} frames")

    run(scenario)


def test_a_process_that_floods_makes_nobody_wait_for_long_and_keeps_no_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_inbox, "MAX_WAITING", 100_000)

    async def scenario(bus: Bus) -> None:
        address = f"ipc://{tmp_path}/a"
        taken: list[bytes] = []
        late: list[float] = []

        def take(received: Received) -> bool:
            received.rest = (received.rest or 0) + 1
            time.sleep(0.0005)
            if received.rest < 20:
                return False
            taken.append(received.frames[-1])
            return True

        async def look() -> None:
            while True:
                began = time.monotonic()
                await asyncio.sleep(0)
                late.append(time.monotonic() - began)

        receiver = bus.listener(address, take)
        dealer = bus.dealer(address, b"flood", lambda frames: None)
        looking = asyncio.create_task(look())
        for number in range(300):
            assert dealer.send([b"%d" % number, bytes(2000)])
        await until_async(lambda: receiver.flooded > 0)
        await until_async(lambda: len(taken) > 5)
        looking.cancel()
        assert receiver.flooded + len(taken) <= 300
        assert max(late) < 0.25  # a turn has 8 ms of work; the rest is the test machine's

    run(scenario)
    assert f"flooded pid={os.getpid()}" in caplog.text
