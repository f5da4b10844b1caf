"""RTMP as an input of the ingest (IO): its listeners, its connections, and players on their way.

The `tls` child connects on a Unix socket, with what it has taken TLS off.
"""

import contextlib
import socket
from collections.abc import Mapping, Sequence

from common.config.settings import Settings
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import UNIX, socket_path
from common.ipc.farm_socket import FarmSocket
from common.ipc.socket_peers import SocketPeers
from common.process.listening import bind, join_address
from ingest.input import InputContext
from ingest.rtmp.listener import Server
from ingest.rtmp.player_handover import Players, handovers_of


class RtmpInput:
    """An `Input`. Publishers and players come to one port, and are told apart by what they ask."""

    def __init__(self, context: InputContext) -> None:
        listeners = list(context.inherited) or _bind(context)
        self.listeners: Sequence[socket.socket] = tuple(listeners)
        self.listen: Sequence[str] = tuple(
            join_address(*sock.getsockname()[:2]) for sock in listeners
        )
        self._players = Players(context.spawn)
        self._server = Server(
            listeners,
            Settings(),
            context.admission,
            context.streams,
            self._players,
            context.recorder,
        )
        decrypted = context.endpoint("decrypted", UNIX)
        self.endpoints: Mapping[str, str] = {"decrypted": decrypted}
        self._decrypted = FarmSocket(
            socket_path(decrypted),
            SocketPeers("decrypted"),
            lambda link, _: self._server.take_decrypted(link),
        )

    @property
    def connections(self) -> int:
        return self._server.connections

    @property
    def counters(self) -> Mapping[str, int]:
        server, players = self._server, self._players
        return {
            "connections": server.connections,
            "accepted": server.accepted,
            "refused connections": server.refused,
            "refused players": players.refused,
            "players handed over": players.handed_over,
            "players waiting": len(players),
            "protocol errors": server.faults,
        }

    def start(self) -> None:
        self._server.start()

    def configure(self, settings: Settings) -> None:
        self._server.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        retiring = {end.child for end in endpoints if end.is_retiring}
        self._players.follow(handovers_of(endpoints), retiring)
        self._decrypted.follow(endpoints)

    def check(self) -> None:
        self._server.look_again()
        with contextlib.suppress(OSError):  # the run directory is not there yet
            self._decrypted.listen_again()

    def retire(self) -> None:
        self._server.retire()

    def stop(self, reason: str) -> None:
        self._decrypted.close()
        self._players.close(reason)
        self._server.stop(reason)

    async def emptied(self, timeout_s: float) -> None:
        await self._server.emptied(timeout_s)

    def close(self) -> None:
        self._decrypted.close()
        self._server.close()


def _bind(context: InputContext) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    try:
        for host, port in context.addresses:
            listeners += bind(host, port, is_shared=context.is_shared)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners
