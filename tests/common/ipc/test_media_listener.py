"""common/ipc/media_listener.py: who is heard on a media link, and how much of it."""

import asyncio
import os
from pathlib import Path

import pytest

from common.ipc import media_listener
from common.ipc.bus import Bus
from common.ipc.control_messages import Endpoint
from common.ipc.identity import BootId, ChildId
from common.ipc.media_link import MediaSender
from common.ipc.media_listener import MediaListener, Sender
from common.ipc.socket_peers import SocketPeers
from common.process.log import PEER_BURST
from tests.kit.bus_loop import run
from tests.kit.waiting import until_async

MIB = b"m" * (1 << 20)


def endpoint_here(kind: str) -> Endpoint:
    return Endpoint(ChildId(kind), BootId("b"), pid=os.getpid())


def test_who_is_not_known_yet_waits_until_the_topology_names_it(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []
        children: list[ChildId | None] = []

        def take(frames: list[bytes], sender: Sender) -> None:
            got.append(frames[0])
            children.append(sender.child)

        listener = MediaListener(bus, f"ipc://{tmp_path}/a", take, peers=SocketPeers("media"))
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        for number in range(20):
            sender.send([b"%d" % number])
            await asyncio.sleep(0.005)
        assert got == []
        listener.follow([endpoint_here("ingest")])
        sender.send([b"last"])
        await until_async(lambda: got[-1:] == [b"last"])
        assert got == [*(b"%d" % number for number in range(20)), b"last"]
        assert set(children) == {ChildId("ingest")}
        listener.follow([])  # it has ended, for the supervisor; its last words are still to come
        sender.send([b"goodbye"])
        await until_async(lambda: got[-1:] == [b"goodbye"])
        assert listener.denied == 0

    run(scenario)


def test_who_may_not_send_is_not_let_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        answers: list[object] = []
        listener = MediaListener(
            bus,
            f"ipc://{tmp_path}/a",
            lambda frames, _: got.append(frames),
            peers=SocketPeers("media"),
        )
        listener.follow([endpoint_here("worker")])
        sender = MediaSender(bus, f"ipc://{tmp_path}/a", answers.append)
        assert sender.send([b"x"])
        await until_async(lambda: listener.denied >= 2)  # it tries again
        assert not sender.is_there
        assert (got, answers) == ([], [])
        listener.follow([endpoint_here("ingest")])
        await until_async(lambda: sender.send([b"now"]))
        await until_async(lambda: got == [[b"now"]])

    run(scenario)
    assert f"denied pid={os.getpid()} socket=a" in caplog.text
    assert caplog.text.count("denied pid") <= PEER_BURST


def test_what_waits_of_processes_that_nobody_names_is_bounded_in_time_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_listener, "UNKNOWN_S", 0.2)
    monkeypatch.setattr(media_listener, "LOOK_S", 0.1)

    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []
        listener = MediaListener(
            bus,
            f"ipc://{tmp_path}/a",
            lambda frames, _: got.append(frames[0]),
            peers=SocketPeers("media"),
        )
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        for _ in range(2 * media_listener.UNKNOWN_BYTES // len(MIB)):
            assert sender.send([MIB])
        await until_async(lambda: listener.denied == 2 * media_listener.UNKNOWN_BYTES // len(MIB))
        listener.follow([endpoint_here("ingest")])  # at last
        assert sender.send([b"late"])
        await until_async(lambda: got == [b"late"])

    run(scenario)


def test_a_process_has_so_many_connections_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_listener, "MAX_SENDERS", 3)
    monkeypatch.setattr(media_listener, "LOOK_S", 0.05)

    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []
        floods: list[tuple[ChildId, str]] = []
        listener = MediaListener(
            bus,
            f"ipc://{tmp_path}/a",
            lambda frames, _: got.append(*frames),
            peers=SocketPeers("media"),
            on_flood=lambda child, what: floods.append((child, what)),
        )
        listener.follow([endpoint_here("ingest")])
        senders = [MediaSender(bus, f"ipc://{tmp_path}/a") for _ in range(5)]
        for number, sender in enumerate(senders):
            assert sender.send([b"%d" % number])
            await until_async(lambda: len(got) + listener.denied > number)  # noqa: B023 - at once
        assert got == [b"0", b"1", b"2"]
        assert listener.denied == 2
        assert floods == [(ChildId("ingest"), "more than 3 connections")] * 2
        senders[0].close()
        await until_async(lambda: len(listener._senders) == 2)
        assert senders[4].send([b"again"])
        await until_async(lambda: got[-1:] == [b"again"])

    run(scenario)


def test_an_envelope_that_is_far_too_long_is_counted_and_costs_itself_alone(
    tmp_path: Path,
) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(frames))
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        assert sender.send([bytes(media_listener.MAX_ENVELOPE_BYTES + 1), MIB])
        assert sender.send([b"fine", MIB])
        await until_async(lambda: len(got) == 1)
        assert got[0][0] == b"fine"
        assert listener.unreadable == 1

    run(scenario)
