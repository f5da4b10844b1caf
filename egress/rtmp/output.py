"""RTMP play as an output of the egress (IO): players come by handover from ingest."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from common.config.settings import Settings
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import UNIX, socket_path
from common.ipc.identity import StreamId
from egress.output import Audience, OutputContext, ViewerStatus
from egress.rtmp.players import Players
from egress.sockets.handover import HandoverServer
from egress.streams.stream import Stream


class RtmpOutput:
    """An `Output`: the handover socket and the players that came by it."""

    protocol = "rtmp"

    def __init__(self, context: OutputContext) -> None:
        handover = context.endpoint("handover", UNIX)
        self.endpoints: Mapping[str, str] = {"handover": handover}
        self._players = Players(context)
        self._handover = HandoverServer(socket_path(handover), self._players.adopt, "handover")

    @property
    def counters(self) -> Mapping[str, int]:
        return {**self._players.counters, "players": len(self._players)}

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        return self._players.channels.audience(stream_id, self.protocol)

    def viewers(self) -> Iterable[ViewerStatus]:
        return self._players.viewers()

    def end_viewer(self, number: int, reason: str) -> None:
        self._players.end_viewer(number, reason)

    def serves(self) -> bool:
        return bool(len(self._players))

    def configure(self, settings: Settings) -> None:
        self._players.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._handover.follow(endpoints)

    def on_stream(self, stream: Stream) -> None:
        """Nothing: players ask for what they play."""

    def check(self, now: float) -> None:
        self._players.check(now)
        with contextlib.suppress(OSError):  # the run directory is not there yet
            self._handover.listen_again()

    async def stop(self, reason: str) -> None:
        self._handover.close()
        await self._players.stop(reason)

    def close(self, reason: str) -> None:
        self._players.close(reason)
        self._handover.close()
