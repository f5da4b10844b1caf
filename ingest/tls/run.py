"""The `tls` child put together (IO): its listener, its certificate, and the way to those it serves.

Its death ends its own connections and nothing else. It runs in a sandbox: it reads the directories
of its certificate, and makes Unix sockets alone.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.process.descriptors import raise_limit
from common.process.listening import bind, join_address
from ingest.tls.certificate import Certificates
from ingest.tls.front import Front

log = logging.getLogger("tfarm.ingest.tls.run")

CHECK_S: Final = 1.0
RESERVED_DESCRIPTORS: Final = 64


class TlsFront:
    """A `ChildService`."""

    def __init__(
        self,
        process: ChildProcess,
        listen: tuple[str, int],
        certificates: Certificates,
        inherited: Sequence[socket.socket] = (),
        serves: str = "ingest",
    ) -> None:
        """Bind the listener, or use that of a process before; clients go to the kind it `serves`.

        Raises:
            OSError: somebody else listens there, or nobody can.
        """
        self._process = process
        self._is_welcome = False
        self._serves = serves
        self._certificates = certificates
        listeners = list(inherited) or bind(*listen)
        self._share = process.share_listeners(listeners)
        self._listen = tuple(join_address(*sock.getsockname()[:2]) for sock in listeners)
        self._front = Front(listeners, Settings(), lambda: self._certificates.context, _room())
        process.retires(self._front.retire, lambda: self._front.is_empty)

    def hello(self) -> Hello:
        return self._process.new_hello(
            Endpoint(self._process.child, self._process.boot_id, listeners=self._share),
            listen=self._listen,
        )

    def heartbeat(self) -> Heartbeat:
        return self._process.new_heartbeat(
            counters={**self._front.counters, "bad messages": self._process.unreadable},
            refusals=self._front.refusals.take(),
        )

    def configure(self, settings: Settings) -> None:
        self._front.configure(settings)
        if self._is_welcome:  # not at the start, when it was read a moment ago
            self._certificates.load()

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        taking = [end for end in endpoints if end.child.kind == self._serves]
        self._front.follow(
            [end.decrypted for end in taking if end.decrypted and not end.is_retiring]
        )

    def on_welcome(self) -> None:
        if not self._is_welcome:
            self._is_welcome = True
            self._front.start()
            log.info("tls listens address=%s", ", ".join(self._listen))

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._check(),)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                self._certificates.check(time.time())
                self._front.check()
            except Exception:
                log.exception("a look at all connections failed")

    async def end(self) -> None:
        log.info("tls ends connections=%d", self._front.counters["connections"])
        await self._front.stop()

    def close(self) -> None:
        self._front.close()


def _room() -> int:
    """How many clients there may be: each has a descriptor here, and one to its ingest."""
    limit = raise_limit()
    return max(1, (limit - min(RESERVED_DESCRIPTORS, limit // 2)) // 2)
