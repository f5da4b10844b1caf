"""The UDP port goes from one process to the next, and the sessions stay where they are."""

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import UNIX
from common.ipc.identity import BootId, ChildId
from common.webrtc import port_handover
from common.webrtc.port_handover import PortGiver, PortTaker, pack, unpack
from common.webrtc.udp import Address, UdpPort, bound
from tests.kit.waiting import until_async

OLD, NEW, NEXT = (ChildId("rtc", index=index) for index in range(3))
BOOT = BootId("b" * 16)


class Process:
    """What of an `rtc` process has to do with the port. What it takes, it answers."""

    def __init__(self, child: ChildId, folder: Path) -> None:
        self.child, self.path = child, f"{folder}/{child.index}-{os.urandom(2).hex()}"
        self.port: UdpPort | None = None
        self.own: set[Address] = set()  # the viewers that are its own
        self.taken: list[bytes] = []
        self.foreign: list[bytes] = []
        self.is_absent = self.has_ended = self.is_retiring = False
        self.taker = PortTaker(child, self.take, lambda: None)
        self.giver = PortGiver(self.path, self.give, self.on_datagram, self.on_absent)

    def take(self, sock: socket.socket) -> bool:
        if self.port is None:
            self.port = UdpPort(sock, self.on_datagram)
            return True
        return False

    def give(self) -> socket.socket | None:
        self.taker.close()
        return self.port.give() if self.port is not None else None

    def on_absent(self) -> None:
        self.is_absent = True

    def on_datagram(self, datagram: bytes, address: Address) -> None:
        if address in self.own and self.port is not None:
            self.taken.append(datagram)
            self.port.send(b"to " + datagram, address)
        else:
            self.foreign.append(datagram)
            self.taker.relay(datagram, address)

    def end(self) -> None:
        self.has_ended = True
        self.giver.close()
        self.taker.close()
        if self.port is not None:
            self.port.close()


class Rig:
    """Processes, and the topology that they are told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[Process] = []

    def start(self, child: ChildId) -> Process:
        self.processes.append(Process(child, self.folder))
        self.tell()
        return self.processes[-1]

    def retire(self, process: Process) -> None:
        process.is_retiring = True
        self.tell()

    def end(self, process: Process) -> None:
        process.end()
        self.processes.remove(process)
        self.tell()

    def tell(self) -> None:
        endpoints = [
            Endpoint(
                one.child,
                BOOT,
                pid=os.getpid(),
                datagrams=UNIX + one.path,
                is_retiring=one.is_retiring,
            )
            for one in self.processes
        ]
        for one in self.processes:
            one.giver.follow(endpoints)
            one.taker.follow(endpoints)


def in_loop(scenario: Callable[[Rig], Awaitable[None]]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory(prefix="tfarm-") as folder:
            rig = Rig(Path(folder))
            try:
                await scenario(rig)
            finally:
                for process in rig.processes:
                    process.end()

    asyncio.run(run())


class Viewer:
    """Sends to the port, and takes what comes back."""

    def __init__(self, port: tuple[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(port)
        self.address: Address = self._socket.getsockname()
        self.got: list[bytes] = []

    async def says(self, word: bytes) -> None:
        self._socket.send(word)

        def has_come() -> bool:
            with contextlib.suppress(BlockingIOError):
                self.got.append(self._socket.recv(100))
            return b"to " + word in self.got

        await until_async(has_come)

    def close(self) -> None:
        self._socket.close()


async def handed_over(rig: Rig, port: socket.socket) -> tuple[Process, Process]:
    old = rig.start(OLD)
    assert old.taker.may_bind
    old.take(port)
    new = rig.start(NEW)
    assert not new.taker.may_bind, "the other has the port"
    rig.retire(old)
    await until_async(lambda: new.port is not None)
    return old, new


def test_each_viewer_stays_with_its_process_and_the_port_has_one_reader() -> None:
    async def scenario(rig: Rig) -> None:
        port = bound("127.0.0.1", 0)
        one, other = Viewer(port.getsockname()), Viewer(port.getsockname())
        old, new = await handed_over(rig, port)
        old.own.add(one.address)
        new.own.add(other.address)
        for word in (b"a", b"b", b"c"):
            await one.says(word)
            await other.says(word)
        assert old.taken == new.taken == [b"a", b"b", b"c"]
        assert new.foreign == [b"a", b"b", b"c"], "it reads for both"
        assert old.foreign == []
        rig.end(old)
        await other.says(b"d")
        for viewer in (one, other):
            viewer.close()

    in_loop(scenario)


def test_the_next_upgrade_finds_two_generations_and_serves_both() -> None:
    async def scenario(rig: Rig) -> None:
        port = bound("127.0.0.1", 0)
        viewers = [Viewer(port.getsockname()) for _ in range(3)]
        old, new = await handed_over(rig, port)
        last = rig.start(NEXT)
        rig.retire(new)
        await until_async(lambda: last.port is not None)
        for process, viewer in zip((old, new, last), viewers, strict=True):
            process.own.add(viewer.address)
        for viewer in viewers:
            await viewer.says(b"hello")
        assert [one.taken for one in (old, new, last)] == [[b"hello"]] * 3
        for viewer in viewers:
            viewer.close()

    in_loop(scenario)


def test_a_successor_that_ends_is_followed_by_one_that_is_given_the_port_anew() -> None:
    async def scenario(rig: Rig) -> None:
        port = bound("127.0.0.1", 0)
        viewer = Viewer(port.getsockname())
        old, new = await handed_over(rig, port)
        old.own.add(viewer.address)
        rig.end(new)
        again = rig.start(NEW)
        await until_async(lambda: again.port is not None)
        await viewer.says(b"hello")
        assert not old.is_absent
        viewer.close()

    in_loop(scenario)


def test_without_a_successor_the_port_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_handover, "ABSENT_S", 0.01)

    async def scenario(rig: Rig) -> None:
        old, new = await handed_over(rig, bound("127.0.0.1", 0))
        assert not old.is_absent
        rig.end(new)
        await until_async(lambda: old.is_absent)

    in_loop(scenario)


def test_who_has_no_port_says_so_and_the_successor_may_bind() -> None:
    async def scenario(rig: Rig) -> None:
        old, new = rig.start(OLD), rig.start(NEW)
        assert not new.taker.may_bind
        rig.retire(old)
        await until_async(lambda: new.taker.may_bind)
        assert new.port is None

    in_loop(scenario)


@pytest.mark.parametrize("others", [(), (NEW,), (NEW, NEXT)])
def test_nothing_is_bound_before_it_is_known_who_else_runs(others: Sequence[ChildId]) -> None:
    async def scenario(rig: Rig) -> None:
        taker = PortTaker(OLD, lambda sock: False, lambda: None)
        assert not taker.may_bind
        taker.follow([Endpoint(child, BOOT, datagrams=UNIX + "/x") for child in (OLD, *others)])
        assert taker.may_bind == (not others)
        taker.follow([Endpoint(OLD, BOOT, datagrams=UNIX + "/x")])
        assert taker.may_bind, "the others have ended"

    in_loop(scenario)


ADDRESSES = st.tuples(st.ip_addresses(v=4).map(str), st.integers(0, 65535)) | st.tuples(
    st.ip_addresses(v=6).map(str), st.integers(0, 65535), st.integers(0, 2**20), st.integers(0, 9)
)


@given(st.binary(max_size=1500), ADDRESSES)
def test_what_is_passed_on_arrives_with_its_sender(datagram: bytes, address: Address) -> None:
    family = socket.AF_INET6 if len(address) > 2 else socket.AF_INET
    assert unpack(pack(datagram, address), family) == (datagram, address)


@given(st.binary(max_size=100))
def test_whatever_comes_instead_does_no_harm(message: bytes) -> None:
    found = unpack(message, socket.AF_INET)
    assert found is None or len(found[0]) < len(message)


def test_a_port_of_another_kind_is_none_of_its_own() -> None:
    """Two kinds of processes have a port each, and know of both."""

    async def scenario() -> None:
        changes: list[None] = []
        taker = PortTaker(
            ChildId("whip", index=1),
            lambda sock: True,
            lambda: changes.append(None),
            "whip_datagrams",
        )
        viewers = Endpoint(OLD, BOOT, datagrams=UNIX + "/nowhere", is_retiring=True)
        taker.follow([viewers])
        assert taker.may_bind
        own = ChildId("whip", index=0)
        taker.follow([viewers, Endpoint(own, BOOT, whip_datagrams=UNIX + "/nowhere")])
        assert not taker.may_bind, "that one has the port, and does not retire"
        taker.close()

    asyncio.run(scenario())
