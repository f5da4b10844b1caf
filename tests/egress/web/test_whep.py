"""Which `rtc` process is asked, while one retires beside its successor."""

import asyncio
import socket
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import UNIX
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import BootId, ChildId
from common.ipc.whep_messages import WhepAnswer, WhepEnd, WhepOffer
from egress.web.answers import Refused
from egress.web.rtc_door import RtcDoor
from egress.web.whep import _absent

OFFER = WhepOffer("live", "cam", "", {}, "192.0.2.1:5000", "v=0", "127.0.0.1")


class Rtc:
    """An `rtc` process with one session, of its own name."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.path = name, str(folder / name)
        self.asked: list[object] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.path)
        self._listener.listen()
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._on_connection)

    def _on_connection(self) -> None:
        link, _ = self._listener.accept()
        with link:
            request, _ = decode_frames([link.recv(65536)])
            self.asked.append(request)
            is_other = isinstance(request, WhepEnd) and request.session != self.name
            link.send(encode(WhepAnswer(404 if is_other else 200, self.name)))

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener.fileno())
        self._listener.close()

    def endpoint(self, index: int, *, is_retiring: bool) -> Endpoint:
        child = ChildId("rtc", index=index)
        return Endpoint(child, BootId("b"), whep=UNIX + self.path, is_retiring=is_retiring)


def in_loop(scenario: Callable[[RtcDoor, Rtc, Rtc], Awaitable[None]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="tfarm-") as folder, ExitStack() as stack:
            old, new = (Rtc(Path(folder), name) for name in ("old", "new"))
            stack.callback(old.close)
            stack.callback(new.close)
            await scenario(RtcDoor("whep", _absent), old, new)

    asyncio.run(run())


def test_viewers_are_led_to_the_process_that_takes_new_ones() -> None:
    async def scenario(door: RtcDoor, old: Rtc, new: Rtc) -> None:
        door.follow([old.endpoint(0, is_retiring=True), new.endpoint(1, is_retiring=False)])
        assert (await door.begin(OFFER)).words == "new"
        assert old.asked == []
        door.follow([old.endpoint(0, is_retiring=False)])
        assert (await door.begin(OFFER)).words == "old"

    in_loop(scenario)


@pytest.mark.parametrize(("session", "status"), [("old", 200), ("new", 200), ("none", 404)])
def test_a_session_is_ended_wherever_it_is(session: str, status: int) -> None:
    async def scenario(door: RtcDoor, old: Rtc, new: Rtc) -> None:
        door.follow([old.endpoint(0, is_retiring=True), new.endpoint(1, is_retiring=False)])
        assert (await door.end(WhepEnd(session))).status == status

    in_loop(scenario)


def test_without_such_a_process_it_is_said_what_to_do() -> None:
    async def ask() -> None:
        with pytest.raises(Refused, match="WebRTC"):
            await RtcDoor("whep", _absent).begin(OFFER)

    asyncio.run(ask())
