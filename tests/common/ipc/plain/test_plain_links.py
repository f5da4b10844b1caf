"""common/ipc/plain/connection.py and listener.py: media links by plain sockets, on the loop"""

import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest

from common.ipc import farm_socket, media_listener
from common.ipc.bus import Bus
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import plain_path
from common.ipc.envelope import MAX_FRAMES, encode
from common.ipc.identity import BootId, ChildId, StreamId
from common.ipc.media_link import KEPT_BYTES, MediaSender
from common.ipc.media_listener import MediaListener, Sender
from common.ipc.media_messages import Demand
from common.ipc.plain import listener as plain_listener
from common.ipc.socket_peers import SocketPeers
from tests.kit.bus_loop import run
from tests.kit.waiting import until_async

MIB = b"m" * (1 << 20)
RELAY = Endpoint(ChildId("relay"), BootId("b"), pid=os.getpid())


class Rig:
    """A listener for tags with a plain socket, and who sends to it by that."""

    def __init__(self, bus: Bus, folder: Path, *, is_plain: bool = True) -> None:
        self._bus = bus
        self.address = f"ipc://{folder}/a"
        self.got: list[list[bytes]] = []
        self.senders: list[Sender] = []
        self.turns = 0
        self.answers: list[object] = []
        self._links: list[MediaSender] = []
        self.listener = MediaListener(
            bus,
            self.address,
            self._take,
            self._turn,
            peers=SocketPeers("tags"),
            is_plain=is_plain,
        )

    def sender(self) -> MediaSender:
        sender = MediaSender(self._bus, self.address, self.answers.append, is_plain=True)
        self._links.append(sender)
        return sender

    def close(self) -> None:
        self.listener.close()
        for link in self._links:
            link.close()

    def _take(self, frames: list[bytes], sender: Sender) -> None:
        self.got.append(frames)
        self.senders.append(sender)

    def _turn(self) -> None:
        self.turns += 1

    @property
    def by_plain(self) -> bool:
        """Whether what came last came by the plain socket."""
        return isinstance(self.senders[-1]._receiver, plain_listener.PlainPeer)


def test_messages_come_in_order_whatever_their_sizes_and_are_answered(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        rig = Rig(bus, tmp_path)
        rig.listener.follow([RELAY])
        sender = rig.sender()
        sent = [[str(i).encode(), b"payload" * (i % 900)] for i in range(3000)]
        sent += [[b"", b"x"], [b"large", 8 * MIB, b"", MIB], [b"many"] * MAX_FRAMES, [b"last"]]
        sent = [frames for frames in sent if frames[0]]  # an empty one begins a batch
        for message in sent:
            while not sender.send(message):
                await asyncio.sleep(0.01)
        await until_async(lambda: len(rig.got) == len(sent))
        assert rig.got == sent
        assert rig.by_plain
        assert 0 < rig.turns < len(sent)
        assert rig.senders[-1].child == ChildId("relay")
        demand = Demand(StreamId("live/cam"), ("720p",))
        assert rig.senders[-1].answer([encode(demand)])
        await until_async(lambda: rig.answers == [demand])
        sender.close()
        await until_async(lambda: not rig.senders[-1].answer([encode(demand)]))
        rig.close()

    run(scenario)
    assert not list(tmp_path.iterdir()), "the sockets' files are removed"


def test_who_has_no_plain_socket_is_reached_by_zeromq(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        rig = Rig(bus, tmp_path, is_plain=False)
        rig.listener.follow([RELAY])
        assert rig.sender().send([b"x"])
        await until_async(lambda: rig.got == [[b"x"]])
        assert not rig.by_plain
        rig.close()

    run(scenario)


def test_a_listener_that_does_not_read_costs_no_more_than_the_limit(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        rig = Rig(bus, tmp_path)
        rig.listener.follow([RELAY])
        sender = rig.sender()
        await until_async(lambda: sender._is_up)
        taken = size = 0  # the loop, and so the listener, has no turn in between
        while taken < 100 and sender.send([b"%d" % taken, MIB]):
            size += len(MIB) + len(b"%d" % taken)
            taken += 1
        assert KEPT_BYTES < size < KEPT_BYTES + 2 * len(MIB)
        await until_async(lambda: len(rig.got) == taken)
        assert [int(frames[0]) for frames in rig.got] == list(range(taken))
        await until_async(lambda: sender.send([b"more"]))
        rig.close()

    run(scenario)


def test_who_is_not_known_waits_and_who_may_not_send_is_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(farm_socket, "UNKNOWN_S", 60.0)

    async def scenario(bus: Bus) -> None:
        rig = Rig(bus, tmp_path)
        sender = rig.sender()
        for number in range(5):
            assert sender.send([b"%d" % number])
            await asyncio.sleep(0.005)
        assert rig.got == []
        rig.listener.follow([RELAY])
        await until_async(lambda: len(rig.got) == 5)
        assert rig.by_plain
        sender.close()
        rig.listener.follow([Endpoint(ChildId("srt"), BootId("b"), pid=os.getpid())])
        stranger = rig.sender()
        stranger.send([b"x"])
        await until_async(lambda: rig.listener.denied > 0)
        await until_async(lambda: not stranger.is_there)
        assert len(rig.got) == 5
        rig.close()

    run(scenario)
    assert "denied pid=" in caplog.text


def test_a_process_has_so_many_plain_connections_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_listener, "MAX_CONNECTIONS", 2)

    async def scenario(bus: Bus) -> None:
        rig = Rig(bus, tmp_path)
        rig.listener.follow([RELAY])
        senders = [rig.sender() for _ in range(2)]
        for number, sender in enumerate(senders):
            assert sender.send([b"%d" % number])
        await until_async(lambda: len(rig.got) == 2)
        third = rig.sender()
        await until_async(lambda: rig.listener.denied > 0)
        third.close()
        senders[0].close()
        again = rig.sender()
        await until_async(lambda: again.send([b"again"]) and [b"again"] in rig.got)
        rig.close()

    run(scenario)


def test_what_cannot_be_read_ends_that_connection_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bus: Bus) -> None:
        rig = Rig(bus, tmp_path)
        rig.listener.follow([RELAY])
        sender = rig.sender()
        assert sender.send([b"fine"])
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as broken:
            broken.setblocking(False)
            broken.connect(plain_path(rig.address))
            broken.send(b"\xff" * 100)
            ends: list[bytes] = []

            def read() -> bool:
                with contextlib.suppress(BlockingIOError):
                    ends.append(broken.recv(1))
                return ends == [b""]

            await until_async(read)
        assert sender.send([b"goes on"])
        await until_async(lambda: rig.got == [[b"fine"], [b"goes on"]])
        rig.close()

    run(scenario)
    assert caplog.text.count("unreadable message on a media link error=a frame of") == 1


def test_a_sender_hears_of_the_end_and_goes_to_who_is_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_listener, "LOOK_S", 0.05)

    async def scenario(bus: Bus) -> None:
        rig = Rig(bus, tmp_path)
        rig.listener.follow([RELAY])
        sender = rig.sender()
        assert sender.send([b"x"])
        await until_async(lambda: rig.got == [[b"x"]])
        before = os.listdir(tmp_path)
        for name in before:
            os.unlink(tmp_path / name)
        rig.listener.listen_again()
        assert sorted(os.listdir(tmp_path)) == sorted(before) == ["a", "a_plain"]
        assert sender.send([b"y"]), "links that stand are kept"
        await until_async(lambda: len(rig.got) == 2)
        rig.listener.close()
        await until_async(lambda: not sender.is_there)
        assert not sender.send([b"z"])
        next_one = Rig(bus, tmp_path)
        next_one.listener.follow([RELAY])
        await until_async(lambda: sender.send([b"z"]))
        await until_async(lambda: next_one.got == [[b"z"]])
        assert next_one.by_plain
        next_one.close()
        rig.close()

    run(scenario)
