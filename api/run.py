"""The API process's shell (IO): its listener, the HTTP server and the link to the supervisor.

An address in use is no reason to end: the process stays, says so once, and tries again. Then it
says its hello anew, which has the address.
"""

import asyncio
import errno
import logging
import os
import socket
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from api.answers import Answers
from api.farm_link import FarmLink
from api.live import LiveStreams
from api.questions import Questions
from api.server import HttpServer
from common.config.settings import Listen, Settings
from common.config.values import ListenAddress
from common.ipc.api_messages import PlayerList, Snapshot
from common.ipc.child import ChildProcess
from common.ipc.command_messages import Answer
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.ipc.identity import ChildId
from common.version import VERSION

log = logging.getLogger("tfarm.api.run")

RETRY_S: Final = 10.0  # an address that is in use


class Api:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, listen: Listen) -> None:
        self._process = process
        self._listen = listen
        self._link = FarmLink(process.send, lambda: process.supervisor_silent_s)
        self._egresses: set[ChildId] = set()
        self._questions = Questions(process.child, process.send, lambda: self._egresses)
        self._live = LiveStreams()
        answers = Answers(self._link, self._questions, self._live, VERSION)
        self._server = HttpServer(answers)
        self._endpoint = Endpoint(process.child, process.boot_id)
        self._listener: socket.socket | None = None
        self._try_to_listen(is_first=True)
        process.is_idle = lambda: True  # nothing here is due sooner than once a second

    def hello(self) -> Hello:
        return self._process.new_hello(self._endpoint, listen=self._addresses())

    def heartbeat(self) -> Heartbeat:
        self._server.check(time.monotonic())
        return self._process.new_heartbeat(counters=dict(self._server.counters))

    def configure(self, settings: Settings) -> None:
        self._server.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._egresses = {each.child for each in endpoints if each.child.kind == "egress"}
        self._live.follow(endpoints)

    def on_welcome(self) -> None:
        self._link.on_new_supervisor()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        match message:
            case Answer():
                self._link.on_answer(message)
            case PlayerList():
                self._questions.on_players(message)
            case Snapshot():
                self._questions.on_snapshot(message, payloads[0] if payloads else b"")
            case _:
                pass  # whatever a newer supervisor says: nothing to do here

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (self._serve(),)

    async def end(self) -> None:
        await self._server.end()

    def close(self) -> None:
        self._link.close()
        if self._listener is not None:
            self._listener.close()

    async def _serve(self) -> None:
        while self._listener is None:
            await asyncio.sleep(RETRY_S)
            if self._try_to_listen(is_first=False):
                self._process.send(self.hello())
        await self._server.serve(self._listener)
        await asyncio.Event().wait()

    def _try_to_listen(self, *, is_first: bool) -> bool:
        where = ListenAddress().write(self._listen)
        try:
            self._listener = listening_socket(self._listen)
        except OSError as error:
            if is_first:
                reason = os.strerror(error.errno) if error.errno else str(error)
                reason += ": give another address as api.listen"
                log.warning("no API yet address=%s again_s=%.0f reason=%s", where, RETRY_S, reason)
            return False
        log.info("API listens address=%s", self._addresses()[0])
        return True

    def _addresses(self) -> tuple[str, ...]:
        if self._listener is None:
            return ()
        host, port = self._listener.getsockname()[:2]
        return (ListenAddress().write(Listen(host, port)),)


def listening_socket(listen: Listen) -> socket.socket:
    """A socket that listens at an address. Raises OSError."""
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)) from error
    family, _, _, _, address = found[0]
    is_any = family == socket.AF_INET6 and address[0] == "::"
    return socket.create_server(
        address[:2], family=family, dualstack_ipv6=is_any and socket.has_dualstack_ipv6()
    )
