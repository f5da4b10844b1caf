"""The `whip` child put together (IO): its UDP port, its sessions, and the links to the ingests."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from common.config.settings import Listen, Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.ipc.endpoint import UNIX, socket_path
from common.ipc.unit_link import UnitLinks
from common.process.listening import join_address
from common.webrtc.port_handover import PortGiver, PortTaker
from common.webrtc.request_socket import RequestSocket
from ingest.whip.requests import WhipRequests
from ingest.whip.sessions import Sessions

log = logging.getLogger("tfarm.ingest.whip.run")

SOCKET: Final = "whip"
PORT_SOCKET: Final = "whip_datagrams"
CHECK_S: Final = 1.0
STOP_S: Final = 0.2  # for the last datagrams, and for the ingests to hear of it


class WhipService:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, listen: Listen) -> None:
        self._process, self._listen_at = process, listen
        self._links = UnitLinks(process.bus)
        self._sessions = Sessions(time.monotonic)
        self._requests = WhipRequests(self._sessions, self._links)
        self._requests_at = process.address(SOCKET, UNIX)
        self._port_at = process.address(PORT_SOCKET, UNIX)
        self._socket = RequestSocket(socket_path(self._requests_at), SOCKET, self._requests.answer)
        self._taker = PortTaker(
            process.child, self._sessions.take, self._sessions.look_again, PORT_SOCKET
        )
        self._sessions.relay = self._taker.relay
        self._giver = PortGiver(
            socket_path(self._port_at),
            self._give,
            self._sessions.on_datagram,
            self._on_absent,
            PORT_SOCKET,
        )
        process.retires(self._retire, lambda: not len(self._sessions))

    def hello(self) -> Hello:
        endpoint = Endpoint(
            self._process.child,
            self._process.boot_id,
            whip=self._requests_at,
            whip_datagrams=self._port_at,
        )
        port = self._sessions.port
        listen = (join_address(*port.address),) if port is not None else ()
        return self._process.new_hello(endpoint, listen=listen)

    def heartbeat(self) -> Heartbeat:
        with contextlib.suppress(OSError):  # the run directory is not there yet
            self._socket.listen_again()
            self._giver.listen_again()
        port = self._sessions.port
        return self._process.new_heartbeat(
            counters={
                **self._sessions.counters,
                "connections": len(self._sessions),
                "whip datagrams dropped": self._taker.dropped + (port.dropped if port else 0),
            }
        )

    def configure(self, settings: Settings) -> None:
        self._requests.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._links.follow(endpoints)
        self._socket.follow(endpoints)
        self._giver.follow(endpoints)
        self._taker.follow(endpoints)

    def on_welcome(self) -> None:
        """Its hello says all."""

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._listen(), self._check())

    async def end(self) -> None:
        had_some = len(self._sessions)
        self._requests.is_leaving = True
        self._sessions.end_all("the server is stopping")
        if had_some:
            await asyncio.sleep(STOP_S)

    def close(self) -> None:
        self._socket.close()
        self._giver.close()
        self._taker.close()
        self._sessions.close()
        self._links.close()

    # ---- inside -------------------------------------------------------------------------------

    async def _listen(self) -> None:
        host, port = self._listen_at.host, self._listen_at.port
        await self._sessions.listen(host, port, lambda: self._taker.may_bind)
        self._process.send(self.hello())  # with where it listens
        await asyncio.Event().wait()

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            try:
                now = time.monotonic()
                self._sessions.check(now)
                self._requests.look(now)
            except Exception:
                log.exception("a look at all sessions failed")

    def _retire(self) -> None:
        self._requests.is_leaving = True

    def _give(self) -> socket.socket | None:
        """Let a successor read the port."""
        self._taker.close()  # whoever retired before hears from the successor from now on
        port = self._sessions.port
        return port.give() if port is not None else None

    def _on_absent(self) -> None:
        """Nobody reads the port: let go of it, so that the next one can have it."""
        self._sessions.end_all("the process that took the port over has ended")
        self._sessions.close()
