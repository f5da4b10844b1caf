"""FLV by HTTP as an output of the egress (IO): viewers come by handover from the `web` child."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from common.config.settings import Settings
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import UNIX, socket_path
from common.ipc.identity import StreamId
from egress.flv.from_units import PROTOCOL
from egress.flv.viewers import FlvViewers
from egress.output import Audience, OutputContext, ViewerStatus
from egress.sockets.handover import HandoverServer
from egress.streams.stream import Stream

SOCKET = "flv"


class FlvOutput:
    """An `Output`: the socket for handovers and the viewers that came by it."""

    protocol = PROTOCOL

    def __init__(self, context: OutputContext) -> None:
        handover = context.endpoint(SOCKET, UNIX)
        self.endpoints: Mapping[str, str] = {SOCKET: handover}
        self._viewers = FlvViewers(context)
        self._handover = HandoverServer(socket_path(handover), self._viewers.adopt, SOCKET)

    @property
    def counters(self) -> Mapping[str, int]:
        return {**self._viewers.counters, "flv viewers": len(self._viewers)}

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        return self._viewers.channels.audience(stream_id, PROTOCOL)

    def viewers(self) -> Iterable[ViewerStatus]:
        return self._viewers.viewers()

    def end_viewer(self, number: int, reason: str) -> None:
        self._viewers.end_viewer(number, reason)

    def serves(self) -> bool:
        return bool(len(self._viewers))

    def configure(self, settings: Settings) -> None:
        self._viewers.configure(settings)

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._handover.follow(endpoints)

    def on_stream(self, stream: Stream) -> None:
        """Nothing: viewers ask for what they watch."""

    def check(self, now: float) -> None:
        self._viewers.check(now)
        with contextlib.suppress(OSError):  # the run directory is not there yet
            self._handover.listen_again()

    async def stop(self, reason: str) -> None:
        self._handover.close()
        await self._viewers.stop(reason)

    def close(self, reason: str) -> None:
        self._viewers.close(reason)
        self._handover.close()
