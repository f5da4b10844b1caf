"""A UDP proxy that loses and delays datagrams, the same ones for the same seed.

Netem of the kernel may be missing, and needs root. One socket for clients, one for each of them
towards the server, so that both ends see one address each.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Line:
    """What a line does to datagrams."""

    loss: float = 0.0  # the share that is lost
    jitter_s: float = 0.0  # each is delayed by something up to this
    delay_s: float = 0.0  # and by this
    bits_per_second: float | None = None  # towards the client; what is too much is lost …
    queue_s: float = 0.3  # … beyond this


class LossyUdp:
    """A proxy on the running loop; `async with` starts and ends it."""

    def __init__(self, server: tuple[str, int], line: Line, seed: int = 1) -> None:
        self.line = line
        self.sent = self.lost = 0
        self.address = ("", 0)
        self._server = server
        self._random = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._front: Any = None
        self._backs: dict[tuple[str, int], Any] = {}
        self._free_s = 0.0  # when the line towards the client has sent all that it has

    async def __aenter__(self) -> "LossyUdp":
        self._front, _ = await self._loop.create_datagram_endpoint(
            lambda: _End(self._from_client), local_addr=("127.0.0.1", 0)
        )
        self.address = self._front.get_extra_info("sockname")
        return self

    async def __aexit__(self, *error: object) -> None:
        self._front.close()
        for back in self._backs.values():
            back.close()

    def _from_client(self, data: bytes, client: tuple[str, int]) -> None:
        if client not in self._backs:
            self._backs[client] = None
            self._loop.create_task(self._connect(client, data))
        elif (back := self._backs[client]) is not None:
            self._pass(lambda: back.sendto(data))

    async def _connect(self, client: tuple[str, int], data: bytes) -> None:
        back, _ = await self._loop.create_datagram_endpoint(
            lambda: _End(lambda data, _: self._from_server(data, client)),
            remote_addr=self._server,
        )
        self._backs[client] = back
        self._pass(lambda: back.sendto(data))

    def _from_server(self, data: bytes, client: tuple[str, int]) -> None:
        rate, now = self.line.bits_per_second, self._loop.time()
        queued_s = 0.0
        if rate is not None:
            self._free_s = max(self._free_s, now)
            queued_s = self._free_s - now
            if queued_s > self.line.queue_s:
                self.lost += 1
                return
            self._free_s += 8 * len(data) / rate
        self._pass(lambda: self._front.sendto(data, client), queued_s)

    def _pass(self, send: Any, later_s: float = 0.0) -> None:
        self.sent += 1
        if self._random.random() < self.line.loss:
            self.lost += 1
            return
        delay_s = self.line.delay_s + self._random.random() * self.line.jitter_s + later_s

        def deliver() -> None:
            if not self._front.is_closing():
                send()

        if delay_s:
            self._loop.call_later(delay_s, deliver)
        else:
            deliver()


class _End(asyncio.DatagramProtocol):
    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, address: Any) -> None:
        self._take(data, address[:2])


@contextlib.contextmanager
def lossy(port: int, line: Line) -> Iterator[LossyUdp]:
    """A proxy before that port of the loopback, on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> LossyUdp:
        return await LossyUdp(("127.0.0.1", port), line).__aenter__()

    proxy = asyncio.run_coroutine_threadsafe(begin(), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
