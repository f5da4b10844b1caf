"""A pool's memory on its way from a worker to an encoder process."""

import asyncio
import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from common.ipc.control_messages import Endpoint
from common.ipc.identity import BootId, ChildId
from tests.kit.waiting import until_async
from worker.pool.layout import lay_out
from worker.pool.memory import MappedPool, PicturePool
from worker.pool.passing import MAGIC, MAX_CONNECTIONS, PoolListener, PoolSender

LAYOUT = lay_out([(64, 32)])
ME = os.getpid()


@pytest.fixture
def address() -> Iterator[str]:
    with TemporaryDirectory(prefix="tf-", dir="/tmp") as name:
        yield f"unix://{name}/pools"


class End:
    """A listener and what it reports; in a running loop."""

    def __init__(self, address: str, kind: str = "worker") -> None:
        """`kind`: what this process is to it."""
        self.lost: list[set[str]] = []
        self.listener = PoolListener(address, lambda _, names: self.lost.append(names))
        self.listener.follow([Endpoint(ChildId(kind), BootId("b"), pid=ME)])

    def take(self, name: str) -> int | None:
        return self.listener.take(ME, name)

    async def wait_lost(self) -> None:
        for _ in range(500):
            if self.lost:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("nothing was reported")


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_what_was_sent_is_there_without_a_wait(address: str) -> None:
    async def main() -> None:
        end, sender = End(address), PoolSender(address)
        one, two = PicturePool("one", LAYOUT), PicturePool("two", LAYOUT)
        one.bytes[:] = 1
        two.bytes[:] = 2
        assert sender.send("one", one.fd)
        assert sender.send("two", two.fd)
        for name, value in (("two", 2), ("one", 1)):
            fd = end.take(name)
            assert fd is not None
            assert (MappedPool(fd).bytes == value).all()
            os.close(fd)
            assert end.take(name) is None, "it is taken once"
        assert end.take("three") is None
        sender.close()
        end.listener.close()

    asyncio.run(main())
    assert not Path(address.removeprefix("unix://")).exists()


def test_the_end_of_a_worker_is_told_with_all_that_it_had_and_nothing_stays_open(
    address: str,
) -> None:
    before = descriptors()

    async def main() -> None:
        end = End(address)
        dead, other = PoolSender(address), PoolSender(address)
        pools = [PicturePool(name, LAYOUT) for name in ("a", "b", "c", "d")]
        for pool in pools[:3]:
            assert dead.send(pool.name, pool.fd)
        assert other.send("d", pools[3].fd)
        fd = end.take("a")
        assert fd is not None
        os.close(fd)
        end.listener.forget(ME, "c")  # its stream was closed
        dead.close()
        await end.wait_lost()
        assert end.lost == [{"a", "b"}]
        assert end.take("b") is None
        kept = end.take("d")
        assert kept is not None
        os.close(kept)
        assert dead.send("a", pools[0].fd), "it may come again"
        end.listener.close()
        for sender in (dead, other):
            sender.close()

    asyncio.run(main())
    assert descriptors() == before


def test_nobody_there_is_said_at_once(address: str) -> None:
    pool = PicturePool("a", LAYOUT)
    sender = PoolSender(address)
    assert not sender.send("a", pool.fd)
    assert not sender.send("a", pool.fd)


@pytest.mark.parametrize(
    ("packet", "count"),
    [(b"nonsense", 1), (MAGIC + b"a", 0), (MAGIC + b"a" * 100, 1), (MAGIC + b"a", 2)],
)
def test_who_sends_something_else_loses_its_connection_alone(
    address: str, packet: bytes, count: int
) -> None:
    before = descriptors()

    async def main() -> None:
        end, good = End(address), PoolSender(address)
        pool = PicturePool("good", LAYOUT)
        assert good.send("good", pool.fd)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as bad:
            bad.connect(address.removeprefix("unix://"))
            socket.send_fds(bad, [packet], [pool.fd] * count)
            assert end.take("a") is None
            bad.settimeout(5)
            assert bad.recv(1) == b"", "it is closed"
        fd = end.take("good")
        assert fd is not None
        os.close(fd)
        assert end.lost == []
        good.close()
        end.listener.close()

    asyncio.run(main())
    assert descriptors() == before


def test_what_one_worker_has_passed_is_no_other_ones_and_no_other_kind_passes_anything(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = descriptors()

    async def main() -> None:
        pool = PicturePool("a", LAYOUT)
        for kind in ("worker", "ingest", "encoder", "audio"):
            end, sender = End(address, kind), PoolSender(address)
            assert sender.send("a", pool.fd)
            assert end.listener.take(ME + 1, "a") is None
            end.listener.forget(ME + 1, "a")
            fd = end.take("a")
            assert (fd is not None) == (kind == "worker")
            if fd is not None:
                os.close(fd)
            sender.close()
            end.listener.close()

    asyncio.run(main())
    assert descriptors() == before
    assert f"process {ME}, ingest:0, is no worker of this farm" in caplog.text


def test_a_worker_that_the_topology_does_not_name_yet_is_waited_for(address: str) -> None:
    async def main() -> None:
        end, sender = End(address), PoolSender(address)
        end.listener.follow([])
        pool = PicturePool("a", LAYOUT)
        assert sender.send("a", pool.fd)
        assert end.take("a") is None
        end.listener.follow([Endpoint(ChildId("worker"), BootId("b"), pid=ME)])
        fd = end.take("a")
        assert fd is not None
        os.close(fd)
        sender.close()
        end.listener.close()

    asyncio.run(main())


def test_a_worker_has_few_connections_and_few_pools_that_wait(address: str) -> None:
    before = descriptors()

    async def main() -> None:
        end = End(address)
        senders = [PoolSender(address) for _ in range(MAX_CONNECTIONS + 3)]
        pool = PicturePool("a", LAYOUT)
        for number, sender in enumerate(senders):
            assert sender.send(f"a{number}", pool.fd)
        fds = [end.take(f"a{number}") for number in range(len(senders))]
        assert [fd is not None for fd in fds] == [True] * MAX_CONNECTIONS + [False] * 3
        for fd in fds:
            if fd is not None:
                os.close(fd)
        for sender in senders:
            sender.close()
        await until_async(lambda: end.lost)
        end.listener.close()

    asyncio.run(main())
    assert descriptors() == before
