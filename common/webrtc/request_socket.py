"""Where the `web` child asks for those who come to it (IO).

A connection for each request, one message there, one back.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from common.errors import EnvelopeError
from common.ipc.control_messages import Endpoint
from common.ipc.envelope import decode_frames, encode
from common.ipc.farm_socket import FarmSocket
from common.ipc.socket_peers import SocketPeers
from common.ipc.whep_messages import WhepAnswer, WhepEnd, WhepOffer, WhipOffer
from common.process.log import RateLimit, more

log = logging.getLogger("tfarm.common.webrtc.request_socket")

MAX_BYTES: Final = 256 * 1024
MAX_AT_ONCE: Final = 500
READ_S: Final = 5.0

Answer = Callable[[WhepOffer | WhipOffer | WhepEnd], Awaitable[WhepAnswer]]


class RequestSocket:
    """Listens until closed."""

    def __init__(self, path: str, name: str, answer: Answer) -> None:
        """`name`: the socket's in `common.ipc.socket_peers.SENDERS`. Raises OSError."""
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._faults = RateLimit(burst=5, interval_s=10.0)
        self._socket = FarmSocket(
            path,
            SocketPeers(name),
            self._take,
            kind=socket.SOCK_SEQPACKET,
            may_accept=lambda: len(self._tasks) < MAX_AT_ONCE,
        )

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        self._socket.follow(endpoints)

    def listen_again(self) -> None:
        self._socket.listen_again()

    def close(self) -> None:
        self._socket.close()
        for task in tuple(self._tasks):
            task.cancel()

    def _take(self, link: socket.socket, pid: int) -> None:
        task = self._loop.create_task(self._serve(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, link: socket.socket) -> None:
        try:
            async with asyncio.timeout(READ_S):
                data = await self._loop.sock_recv(link, MAX_BYTES)
            request, _ = decode_frames([data])
            if not isinstance(request, WhepOffer | WhipOffer | WhepEnd):
                raise EnvelopeError(f"{type(request).__name__} is no request of WebRTC")
            gone = self._loop.create_task(self._loop.sock_recv(link, 1))  # its end, nothing else
            working = asyncio.ensure_future(self._answer(request))
            try:
                await asyncio.wait((gone, working), return_when=asyncio.FIRST_COMPLETED)
                if not working.done():
                    return  # who asked has not waited
                await self._loop.sock_sendall(link, encode(working.result()))
            finally:
                working.cancel()
                gone.cancel()
                await asyncio.gather(gone, working, return_exceptions=True)
        except (EnvelopeError, OSError, TimeoutError) as error:
            if (held := self._faults.allow(time.monotonic())) is not None:
                log.warning("a request by WebRTC was not read reason=%s%s", error, more(held))
        except Exception:
            if (held := self._faults.allow(time.monotonic())) is not None:
                log.exception("a request by WebRTC failed%s", more(held))
        finally:
            link.close()
