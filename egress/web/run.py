"""The `web` child's shell (IO): an egress that is no home, its HTTP listener, and its routes.

Where the address is in use it says its hello anew as soon as it listens.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from common.config.settings import Listen, Settings
from common.http.listener import HttpListener
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint, Heartbeat, Hello
from common.ipc.endpoint import UNIX
from egress.service import ViewerService
from egress.web import passing
from egress.web.decrypted import SOCKET, DecryptedClients
from egress.web.routes import WebContext
from egress.web.server import HttpServer
from egress.web.table import WEB_OUTPUTS, all_routes, quick

KEY = "listen.http"


class WebService(ViewerService):
    """A `ChildService`."""

    def __init__(
        self,
        process: ChildProcess,
        listen: Listen,
        inherited: Sequence[socket.socket] = (),
        *,
        is_shared: bool = False,
    ) -> None:
        """`inherited` are the listening sockets of a process before.

        `is_shared`: other processes of this kind listen there too.
        """
        super().__init__(process, WEB_OUTPUTS, lambda settings: settings.web.max_viewers)
        self._settings = Settings()
        self._listener = HttpListener(listen, KEY, inherited, is_shared=is_shared)
        self._followers: list[Callable[[Sequence[Endpoint]], object]] = []
        context = WebContext(
            self.egress.context,
            self.egress.outputs,
            lambda: self._settings,
            peer=lambda request: self._server.peer_of(request),
            pass_on=lambda request, address: self._server.pass_on(request, address),
            follow=self._followers.append,
        )
        self._routes = all_routes(context)
        self._look = quick(context)
        self._server = HttpServer()
        self._decrypted_at = process.address(SOCKET, UNIX)
        self._decrypted = DecryptedClients(self._decrypted_at, self._server.adopt)
        self._requests_at = process.address(passing.SOCKET, UNIX)
        self._requests = passing.PassedRequests(self._requests_at, self._server.adopt)
        self._followers += [self._decrypted.follow, self._requests.follow]
        self._share = self._share_listener()
        process.retires(self._retire, self._is_empty)

    def hello(self) -> Hello:
        hello = super().hello()
        endpoint = replace(
            hello.endpoint,
            listeners=self._share,
            decrypted=self._decrypted_at,
            requests=self._requests_at,
        )
        return replace(hello, endpoint=endpoint, listen=self._listener.addresses)

    def heartbeat(self) -> Heartbeat:
        self._server.check(time.monotonic())
        with contextlib.suppress(OSError):  # the run directory is not there yet
            self._decrypted.listen_again()
            self._requests.listen_again()
        beat = super().heartbeat()
        return replace(beat, counters={**beat.counters, **self._server.counters})

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        super().configure(settings)
        self._server.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        super().on_topology(endpoints)
        for follow in self._followers:
            follow(endpoints)

    async def end(self) -> None:
        self._decrypted.close()
        self._requests.close()
        await super().end()
        await self._server.end()

    def close(self) -> None:
        super().close()
        self._listener.close()
        self._decrypted.close()
        self._requests.close()

    async def listen(self) -> None:
        await self._server.start(self._routes, self._look)
        had_none = not self._listener.addresses
        sock = await self._listener.wait()
        if had_none:
            self._share = self._share_listener()
            self.process.send(self.hello())
        await self._server.serve(sock)

    def _share_listener(self) -> str:
        """Have a successor listen by the same socket."""
        sock = self._listener.socket
        return self.process.share_listeners((sock,)) if sock is not None else ""

    def _retire(self) -> None:
        self._requests.retire()
        self._server.retire()

    def _is_empty(self) -> bool:
        """Tell if nobody is connected, and nobody would lose by the end of this process."""
        return not self._server.counters["connections"] and not self.egress.serves()
