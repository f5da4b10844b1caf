"""common/ipc/media_link.py: Unix sockets between processes, on the loop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from common.ipc.media_link import KEPT_BYTES, MediaListener, MediaSender, Sender

MIB = b"m" * (1 << 20)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def test_every_message_of_a_long_burst_arrives_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(f"unix://{tmp_path}/a", lambda frames, _: got.append(frames))
        sender = MediaSender(f"unix://{tmp_path}/a")
        sent = [[str(i).encode(), b"payload" * (i % 900)] for i in range(3000)]
        for message in sent:
            assert sender.send(message)
        await until(lambda: len(got) == len(sent))
        assert got == sent
        sender.close()
        listener.close()

    run(scenario)
    assert not list(tmp_path.iterdir()), "the socket's file is removed"


def test_several_senders_share_an_inlet(tmp_path: Path) -> None:
    async def scenario() -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(f"unix://{tmp_path}/a", lambda frames, _: got.append(frames))
        outlets = [MediaSender(f"unix://{tmp_path}/a") for _ in range(3)]
        for number, sender in enumerate(outlets):
            assert sender.send([str(number).encode()])
        await until(lambda: len(got) == 3)
        assert sorted(got) == [[b"0"], [b"1"], [b"2"]]
        outlets[0].close()
        assert outlets[1].send([b"still"])
        await until(lambda: [b"still"] in got)
        listener.close()
        for sender in outlets:
            sender.close()

    run(scenario)


def test_a_peer_that_does_not_read_costs_no_more_than_the_limit_and_gets_what_was_taken(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        got: list[int] = []
        listener = MediaListener(
            f"unix://{tmp_path}/a", lambda frames, _: got.append(int(frames[0]))
        )
        sender = MediaSender(f"unix://{tmp_path}/a")
        taken = 0  # the loop, and so the inlet, has no turn in between
        while taken < 100 and sender.send([str(taken).encode(), MIB]):
            taken += 1
        assert KEPT_BYTES < taken * len(MIB) < KEPT_BYTES + 4 * len(MIB)
        assert not sender.send([b"0"])
        await until(lambda: len(got) == taken)
        assert got == list(range(taken))
        assert sender.send([str(taken).encode()]), "there is room again"
        await until(lambda: len(got) == taken + 1)
        sender.close()
        listener.close()

    run(scenario)


def test_a_handler_that_fails_does_not_stop_the_link(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        got: list[bytes] = []

        def handle(frames: list[bytes], _: Sender) -> None:
            if frames[0] == b"bad":
                raise RuntimeError("boom")
            got.append(frames[0])

        listener = MediaListener(f"unix://{tmp_path}/a", handle)
        sender = MediaSender(f"unix://{tmp_path}/a")
        sender.send([b"bad"])
        sender.send([b"good"])
        await until(lambda: got == [b"good"])
        sender.close()
        listener.close()

    run(scenario)
    assert "boom" in caplog.text


def test_an_outlet_without_a_peer_refuses_until_there_is_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        sender = MediaSender(f"unix://{tmp_path}/late")
        assert not sender.send([b"x"])
        got: list[list[bytes]] = []
        listener = MediaListener(f"unix://{tmp_path}/late", lambda frames, _: got.append(frames))
        await until(lambda: sender.send([b"y"]))
        await until(lambda: bool(got))
        listener.close()
        await until(lambda: not sender.send([b"z"]))  # it is told that nobody reads any more
        sender.close()
        assert not sender.send([b"z"])

    run(scenario)


def test_bytes_that_are_no_message_end_their_own_connection_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(f"unix://{tmp_path}/a", lambda frames, _: got.append(frames))
        sender = MediaSender(f"unix://{tmp_path}/a")
        with socket.socket(socket.AF_UNIX) as stray:
            stray.connect(str(tmp_path / "a"))
            stray.setblocking(False)
            stray.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await asyncio.get_running_loop().sock_recv(stray, 1) == b""
        assert sender.send([b"fine"])
        await until(lambda: got == [[b"fine"]])
        sender.close()
        listener.close()

    run(scenario)
    assert "no message" in caplog.text


def test_a_name_that_is_bound_is_not_bound_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        listener = MediaListener(f"unix://{tmp_path}/a", lambda frames, _: None)
        with pytest.raises(OSError, match="in use"):
            MediaListener(f"unix://{tmp_path}/a", lambda frames, _: None)
        listener.close()
        listener.close()

    run(scenario)


def test_what_is_gathered_leaves_in_one_write(tmp_path: Path) -> None:
    async def scenario() -> None:
        got: list[bytes] = []
        reads: list[int] = []
        listener = MediaListener(
            f"unix://{tmp_path}/a",
            lambda frames, _: got.append(frames[0]),
            lambda: reads.append(len(got)),
        )
        sender = MediaSender(f"unix://{tmp_path}/a")
        sender.gather()
        for name in (b"1", b"2", b"3"):
            assert sender.send([name])
            await asyncio.sleep(0.002)
        assert not got
        sender.flush()
        await until(lambda: len(got) == 3)
        assert (got, reads) == ([b"1", b"2", b"3"], [3])
        assert sender.send([b"4"])
        await until(lambda: len(got) == 4)
        sender.close()
        listener.close()

    run(scenario)
