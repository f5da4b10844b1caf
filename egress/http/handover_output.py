"""An output whose viewers come from another process with their sockets (IO): what all share.

The socket for handovers, the viewers that came by it, and their end. Who is let in, and what he is
sent, is the output's.
"""

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from common.access.fair_turns import Budget
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.control_messages import Endpoint
from common.ipc.endpoint import UNIX, socket_path
from common.ipc.envelope import decode_frames
from common.ipc.identity import StreamId
from common.process.fair_reading import FairReading
from egress.http.connection import STALLED
from egress.output import Audience, OutputContext, ViewerStatus
from egress.sockets.handover import HandoverServer
from egress.streams.stream import Stream

# Viewers have nothing more to say: a small part of a core for all of them.
READING_SHARE: Final = 0.05
VIEWER_CPU_S: Final = 0.000_1
VIEWER_BYTES: Final = 1024
STOP_S: Final = 1.0  # to tell all that it is over …
LOOK_S: Final = 0.02  # … and a look whether they have it


class HandedOver(Protocol):
    """A viewer, as the output ends him."""

    @property
    def number(self) -> int: ...

    def finish(self, reason: str, *, is_over: bool) -> None:
        """Say that nothing follows; `is_over`: and that asking again is of no use."""

    def check(self, now: float, stall_timeout_s: float) -> None: ...

    def close(self, reason: str) -> None: ...


ViewerT = TypeVar("ViewerT", bound=HandedOver)


class HandoverOutput(ABC, Generic[ViewerT]):
    """An `Output`, and the `Host` of its viewers."""

    def __init__(self, context: OutputContext, protocol: str, socket_name: str) -> None:
        """`socket_name`: the field of `Endpoint`. Counters begin with the protocol's name."""
        self.protocol = protocol
        handover = context.endpoint(socket_name, UNIX)
        self.endpoints: Mapping[str, str] = {socket_name: handover}
        self.now: Callable[[], float] = context.clock
        self.settings = Settings()
        self.loop = asyncio.get_running_loop()
        each = Budget(VIEWER_CPU_S, VIEWER_BYTES)
        self.reading = FairReading(self.loop, READING_SHARE, each, self.now)
        self.is_stopping = False
        self._counts = dict.fromkeys(("adopted", "declined", "stalled"), 0)
        self._viewers: set[ViewerT] = set()
        self._last_number = 0
        self._handover = HandoverServer(socket_path(handover), self._adopt, socket_name)

    def __len__(self) -> int:
        return len(self._viewers)

    def __iter__(self) -> Iterator[ViewerT]:
        return iter(tuple(self._viewers))

    # ---- what is the output's own -------------------------------------------------------------

    @abstractmethod
    def let_in(self, tcp: socket.socket, request: object) -> str:
        """Take a connection over for a request; why not, "" if it was."""

    @abstractmethod
    def on_left(self, viewer: ViewerT, reason: str) -> None:
        """A viewer's connection is closed."""

    @abstractmethod
    def status_of(self, viewer: ViewerT) -> ViewerStatus | None:
        """What the operator is told of a viewer; None: he does not watch yet, or any more."""

    @abstractmethod
    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]: ...

    def new_number(self) -> int:
        """For a viewer."""
        self._last_number += 1
        return self._last_number

    def add(self, viewer: ViewerT) -> None:
        """He is here from now on, until his connection is closed."""
        self._viewers.add(viewer)

    def on_closed(self, viewer: ViewerT, reason: str, /) -> None:
        """Of the `Host`."""
        self._viewers.discard(viewer)
        self._counts["stalled"] += reason == STALLED
        self.on_left(viewer, reason)

    # ---- an output ----------------------------------------------------------------------------

    @property
    def counters(self) -> Mapping[str, int]:
        counts = {f"{self.protocol} {name}": count for name, count in self._counts.items()}
        return {**counts, f"{self.protocol} viewers": len(self)}

    def viewers(self) -> Iterable[ViewerStatus]:
        return [found for one in self if (found := self.status_of(one)) is not None]

    def end_viewer(self, number: int, reason: str) -> None:
        for viewer in self:
            if viewer.number == number:
                viewer.finish(reason, is_over=True)

    def serves(self) -> bool:
        return bool(len(self))

    def configure(self, settings: Settings) -> None:
        self.settings = settings

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._handover.follow(endpoints)

    def on_stream(self, stream: Stream) -> None:
        """Nothing: viewers ask for what they watch."""

    def check(self, now: float) -> None:
        self._look(now)
        with contextlib.suppress(OSError):  # the run directory is not there yet
            self._handover.listen_again()

    async def stop(self, reason: str) -> None:
        """Take no more; tell all that it is over here, and let their last bytes go out."""
        self._handover.close()
        self.is_stopping = True
        for viewer in self:
            viewer.finish(reason, is_over=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while self._viewers:
                    self._look(self.now())
                    await asyncio.sleep(LOOK_S)

    def close(self, reason: str) -> None:
        for viewer in self:
            viewer.close(reason)
        self.reading.close()
        self._handover.close()

    # ---- inside -------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Look for viewers who take nothing or have ended."""
        self.reading.check()
        for viewer in self:
            viewer.check(now, self.settings.egress.stall_timeout_s)

    def _adopt(self, tcp: socket.socket, data: bytes) -> str | None:
        problem = self._why_not(tcp, data)
        self._counts["declined" if problem else "adopted"] += 1
        return problem or None

    def _why_not(self, tcp: socket.socket, data: bytes) -> str:
        try:
            request, _ = decode_frames([data])
        except EnvelopeError as error:
            return str(error)
        if self.is_stopping:
            return "this egress is stopping"
        return self.let_in(tcp, request)
