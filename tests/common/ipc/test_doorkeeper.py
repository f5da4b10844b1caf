"""common/ipc/doorkeeper.py: who may connect, by what libzmq asks."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from common.ipc.bus import Bus, Received
from common.ipc.doorkeeper import Doorkeeper, credentials
from tests.kit.waiting import until_async


@pytest.mark.parametrize(
    ("address", "expected"),
    [(":0:1:2", (0, 2)), ("localhost:1000:1000:77", (1000, 77)), ("a:b:5:6:7", (5, 7))],
)
def test_user_and_process_are_read_of_an_address(address: str, expected: tuple[int, int]) -> None:
    assert credentials(address) == expected


@pytest.mark.parametrize("address", ["", "localhost", "127.0.0.1", ":a:b:c", "1:2"])
def test_what_names_no_process_is_no_address(address: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any
        credentials(address)


def test_each_socket_is_asked_for_itself_and_nobody_comes_to_one_that_is_not_known() -> None:
    keeper, asked = Doorkeeper(), list[tuple[int, int]]()

    def admit(uid: int, pid: int) -> bool:
        asked.append((uid, pid))
        return True

    one = keeper.add(admit)
    two = keeper.add(lambda uid, pid: False)

    def code(name: bytes, address: bytes = b"localhost:5:5:9") -> bytes:
        request = [b"asks", b"", b"1.0", b"7", name, address, b"", b"NULL"]
        answer = keeper.answer(request)
        assert answer[:4] == [b"asks", b"", b"1.0", b"7"]
        assert len(answer) == 8
        return answer[4]

    assert code(one) == b"200"
    assert asked == [(5, 9)]
    assert code(two) == code(b"other") == b"400"
    assert code(one, b"127.0.0.1") == code(one, b"") == b"400"
    assert asked == [(5, 9)]


def test_whoever_is_refused_gets_nothing_across_and_others_do(tmp_path: Path) -> None:
    async def scenario() -> None:
        bus, may, got = Bus(), False, list[bytes]()
        address = f"ipc://{tmp_path}/a"

        def take(received: Received) -> bool:
            got.append(received.frames[-1])
            return True

        bus.listener(address, take, admit=lambda uid, pid: may and pid == os.getpid())
        bus.listener(f"ipc://{tmp_path}/b", lambda received: True)  # another one, for anybody
        refused = bus.sender(address, lambda frames: None)
        with socket.socket(socket.AF_UNIX) as old:  # ZMTP 1
            old.connect(str(tmp_path / "a"))
            old.send(b"\x01\x00" + b"\x05\x00stop")
            await asyncio.sleep(0.1)
        assert not refused.has_peer
        may = True
        admitted = bus.sender(address, lambda frames: None)
        await until_async(lambda: admitted.has_peer)
        assert admitted.send([b"in"])
        await until_async(lambda: got == [b"in"])
        bus.close()

    asyncio.run(scenario())
