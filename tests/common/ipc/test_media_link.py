"""common/ipc/media_link.py: ZeroMQ links between processes, on the loop."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import zmq

from common.ipc import media_listener
from common.ipc.bus import HIGH_WATER_MARK, Bus
from common.ipc.envelope import MAX_FRAMES, MAX_PAYLOAD_BYTES
from common.ipc.media_link import CONNECT_S, KEPT_BYTES, MediaSender
from common.ipc.media_listener import MediaListener, Sender
from tests.kit.bus_loop import run
from tests.kit.media_link import BlockingListener
from tests.kit.waiting import until_async

MIB = b"m" * (1 << 20)


def test_every_message_of_a_long_burst_arrives_in_order(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(frames))
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        sent = [[str(i).encode(), b"payload" * (i % 900)] for i in range(3000)]
        for message in sent:
            assert sender.send(message)
        await until_async(lambda: len(got) == len(sent))
        assert got == sent
        sender.close()
        listener.close()

    run(scenario)
    assert not list(tmp_path.iterdir()), "the socket's file is removed"


def test_several_senders_share_a_listener(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(frames))
        senders = [MediaSender(bus, f"ipc://{tmp_path}/a") for _ in range(3)]
        for number, sender in enumerate(senders):
            assert sender.send([str(number).encode()])
        await until_async(lambda: len(got) == 3)
        assert sorted(got) == [[b"0"], [b"1"], [b"2"]]
        senders[0].close()
        assert senders[1].send([b"still"])
        await until_async(lambda: [b"still"] in got)
        listener.close()
        for sender in senders:
            sender.close()

    run(scenario)


def test_a_peer_that_does_not_read_costs_no_more_than_the_limit_and_gets_what_was_taken(
    tmp_path: Path,
) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[int] = []
        listener = MediaListener(
            bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(int(frames[0]))
        )
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        taken = size = 0  # the loop, and so the listener, has no turn in between
        while taken < 100 and sender.send([str(taken).encode(), MIB]):
            size += len(MIB) + len(str(taken))
            taken += 1
        assert KEPT_BYTES < size < KEPT_BYTES + 2 * len(MIB)
        assert not sender.send([b"0"])
        await until_async(lambda: len(got) == taken)
        assert got == list(range(taken))
        assert sender.send([str(taken).encode()]), "there is room again"
        await until_async(lambda: len(got) == taken + 1)
        sender.close()
        listener.close()

    run(scenario)


def test_the_limit_counts_what_is_in_zeromqs_queues_until_the_peer_has_taken_it(
    tmp_path: Path,
) -> None:
    async def scenario(bus: Bus) -> None:
        listener = BlockingListener(f"ipc://{tmp_path}/a")  # its process hangs
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        taken = 0
        while sender.send([str(taken).encode(), MIB]):
            taken += 1
            await asyncio.sleep(0.002)
        assert taken == KEPT_BYTES // len(MIB)
        await asyncio.sleep(0.1)
        assert not sender.send([b"0"])
        got = [int(frames[0]) for frames in listener.receive(0.1)]
        await until_async(lambda: sender.send([b"there is room again"]))
        while len(got) < taken:
            got += [int(frames[0]) for frames in listener.receive(0.1)][: taken - len(got)]
        assert got == list(range(taken))
        sender.close()
        listener.close()

    run(scenario)


def test_a_peer_that_does_not_read_many_small_messages_has_all_of_them_in_the_end(
    tmp_path: Path,
) -> None:
    async def scenario(bus: Bus) -> None:
        listener = BlockingListener(f"ipc://{tmp_path}/a")
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        sent = 3 * HIGH_WATER_MARK
        for i in range(sent):
            assert sender.send([str(i).encode()])
            sender.flush()  # each is a ZeroMQ message, as long as there is room for one
            if i % 100 == 0:
                await asyncio.sleep(0.001)
        got: list[int] = []
        while len(got) < sent:
            got += [int(frames[0]) for frames in listener.receive(0)]
            await asyncio.sleep(0.002)
        assert got == list(range(sent))
        sender.close()
        listener.close()

    run(scenario)


def test_a_handler_that_fails_does_not_stop_the_link(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []

        def handle(frames: list[bytes], _: Sender) -> None:
            if frames[0] == b"bad":
                raise RuntimeError("boom")
            got.append(frames[0])

        listener = MediaListener(bus, f"ipc://{tmp_path}/a", handle)
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        sender.send([b"bad"])
        sender.send([b"good"])
        await until_async(lambda: got == [b"good"])
        sender.close()
        listener.close()

    run(scenario)
    assert "boom" in caplog.text


def test_a_sender_without_a_peer_refuses_until_there_is_one(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        sender = MediaSender(bus, f"ipc://{tmp_path}/late")
        assert not sender.send([b"x"])
        got: list[list[bytes]] = []
        listener = MediaListener(
            bus, f"ipc://{tmp_path}/late", lambda frames, _: got.append(frames)
        )
        await until_async(lambda: sender.send([b"y"]))
        await until_async(lambda: bool(got))
        listener.close()
        await until_async(lambda: not sender.send([b"z"]))  # it is told that nobody reads any more
        sender.close()
        assert not sender.send([b"z"])

    run(scenario)


def test_bytes_of_another_protocol_cost_their_own_connection_alone(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(frames))
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        with socket.socket(socket.AF_UNIX) as broken, socket.socket(socket.AF_UNIX) as stray:
            loop = asyncio.get_running_loop()
            stray.connect(str(tmp_path / "a"))
            stray.send(b"GET / HTTP/1.1\r\n\r\n" * 10)
            broken.connect(str(tmp_path / "a"))
            broken.setblocking(False)
            broken.send(b"\xff" * 512)  # begins as ZeroMQ does
            with suppress(ConnectionResetError):
                while await loop.sock_recv(broken, 4096):
                    pass  # what it is greeted with; then it is closed
            assert sender.send([b"fine"])
            await until_async(lambda: got == [[b"fine"]])
        sender.close()
        listener.close()

    run(scenario)


@contextmanager
def stranger(address: str) -> Iterator["zmq.Socket[bytes]"]:
    """A ZeroMQ socket that speaks as it likes to a listener."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.connect(address)
    try:
        yield socket
    finally:
        context.destroy(linger=0)


def test_what_is_no_message_of_ours_is_counted_and_costs_itself_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(frames))
        bad: Sequence[list[bytes]] = (
            [b""],
            [b"", b"\0\1\0\2", b"one", b"of two"],
            [b"", b"\0\0\0\1", b"none"],
            [b"", b"\0\0\0", b"odd"],
            [b"", b"\0\1", b"a single one"],
        )
        with stranger(f"ipc://{tmp_path}/a") as peer:
            for frames in bad:
                peer.send_multipart(frames)
            peer.send_multipart([b"fine"])
            await until_async(lambda: got == [[b"fine"]])
        assert listener.unreadable == len(bad)
        listener.close()

    run(scenario)
    assert "unreadable message" in caplog.text


def test_a_frame_that_is_too_large_is_not_read_and_ends_its_connection(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(frames))
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        large = bytes(MAX_PAYLOAD_BYTES + 1)
        assert not sender.send([b"x", large]), "it is not even tried"
        with (
            stranger(f"ipc://{tmp_path}/a") as peer,
            peer.get_monitor_socket(zmq.EVENT_DISCONNECTED) as monitor,
        ):
            peer.send_multipart([b"\0\1", large])
            await until_async(lambda: bool(monitor.poll(0)))
        assert sender.send([b"fine"])
        await until_async(lambda: got == [[b"fine"]])
        sender.close()
        listener.close()

    run(scenario)


def test_a_name_that_is_bound_is_not_bound_again(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: None)
        with pytest.raises(OSError, match="in use"):
            MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: None)
        listener.close()
        listener.close()

    run(scenario)


def test_what_is_sent_before_the_peer_is_connected_arrives_and_to_who_is_dead_is_refused_soon(
    tmp_path: Path,
) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[list[bytes]] = []
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(frames))
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        assert sender.send([b"first"])
        await until_async(lambda: got == [[b"first"]])
        sender.close()
        listener.close()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead"))  # a process that was killed leaves its file
        sender = MediaSender(bus, f"ipc://{tmp_path}/dead")
        began_s = asyncio.get_running_loop().time()
        await until_async(lambda: not sender.send([b"x"]))
        assert asyncio.get_running_loop().time() - began_s < CONNECT_S + 1.0
        sender.close()

    run(scenario)


def test_what_is_gathered_leaves_in_one_write(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[bytes] = []
        reads: list[int] = []
        listener = MediaListener(
            bus,
            f"ipc://{tmp_path}/a",
            lambda frames, _: got.append(frames[0]),
            lambda: reads.append(len(got)),
        )
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        sender.gather()
        for name in (b"1", b"2", b"3"):
            assert sender.send([name])
            await asyncio.sleep(0.002)
        assert not got
        sender.flush()
        await until_async(lambda: len(got) == 3)
        assert (got, reads) == ([b"1", b"2", b"3"], [3])
        assert sender.send([b"4"])
        await until_async(lambda: len(got) == 4)
        sender.close()
        listener.close()

    run(scenario)


def test_a_turns_messages_have_no_more_frames_than_a_listener_takes(tmp_path: Path) -> None:
    async def scenario(bus: Bus) -> None:
        got: list[int] = []
        listener = MediaListener(
            bus, f"ipc://{tmp_path}/a", lambda frames, _: got.append(len(frames))
        )
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        assert not sender.send([b""] * (MAX_FRAMES + 1))
        sizes = [1000, 3000, 1, MAX_FRAMES, MAX_FRAMES - 1, 2, 5]
        sender.gather()
        for size in sizes:
            assert sender.send([b"x"] * size)
        sender.flush()
        await until_async(lambda: len(got) == len(sizes))
        assert got == sizes
        assert listener.flooded == 0

    run(scenario)


def test_where_nothing_comes_nobody_is_woken_to_be_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media_listener, "LOOK_S", 0.02)
    monkeypatch.setattr(media_listener, "QUIET_LOOK_S", 30.0)
    acknowledged: list[int] = []
    acknowledge = media_listener.Sender.acknowledge

    def counted(sender: media_listener.Sender) -> None:
        acknowledged.append(sender._messages)
        acknowledge(sender)

    monkeypatch.setattr(media_listener.Sender, "acknowledge", counted)

    async def scenario(bus: Bus) -> None:
        listener = MediaListener(bus, f"ipc://{tmp_path}/a", lambda frames, _: None)
        sender = MediaSender(bus, f"ipc://{tmp_path}/a")
        for number in range(1, 4):
            assert sender.send([b"one"])
            await until_async(lambda number=number: len(acknowledged) >= number)  # type: ignore[misc]  # bound at once
            await asyncio.sleep(0.1)
        assert [count for count in acknowledged if count] == [1, 1, 1]
        assert len(acknowledged) <= 6  # one more look may find nothing, then all is quiet
        listener.close()

    run(scenario)
