"""Viewers whose connection is judged where it was handed over to (IO): HTTP-FLV and SRT.

The egress answers on the connection from its first byte on, as the protocol has it.
"""

import asyncio
import logging
import socket
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from common.access.refusal import Refusal, RefusalReason
from common.ipc.api_messages import ViewRequest
from common.process.log import more
from common.process.socket_end import taken_bytes
from egress.access import PlayWanted, Wish
from egress.entrance import Asker
from egress.http.connection import Host as ConnectionHost
from egress.http.connection import ViewerConnection, prepare
from egress.http.handover_output import HandoverOutput
from egress.output import OutputContext, ViewerStatus
from egress.sockets.queue_writer import SendQueue, Timer
from egress.streams.rendition import Rendition
from egress.streams.subscribers import Start


class Host(ConnectionHost, Protocol):
    """The server, as a viewer calls it."""

    def on_ended(self, viewer: "AskingViewer", reason: str, /) -> None:
        """It watches or asks for nothing any more."""


class AskingViewer(ViewerConnection):
    """A viewer's connection that is an `Asker`; what it is sent is the protocol's."""

    def __init__(
        self,
        tcp: socket.socket,
        queue: SendQueue,
        request: ViewRequest,
        number: int,
        host: Host,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.wish: Wish | Refusal | None = None
        self.wanted: PlayWanted | None = None
        self.is_asking = False
        self.headers: Mapping[str, str] = request.headers  # the answer's, besides its own
        self._asking_host = host
        self._timer = Timer(loop)
        super().__init__(tcp, queue, request.address, number, host, loop)

    # ---- the protocol's -----------------------------------------------------------------------

    @property
    @abstractmethod
    def protocol(self) -> str:
        """What it watches by."""

    @property
    @abstractmethod
    def is_watching(self) -> bool:
        """Whether it has been let in, and takes a rendition."""

    @property
    @abstractmethod
    def dropped(self) -> int:
        """What it missed because it was slow."""

    @abstractmethod
    def begin(self, rendition: Rendition, start: Start) -> None:
        """Answer with the rendition from now on."""

    @abstractmethod
    def put_refusal(self, refusal: Refusal) -> None:
        """Queue the answer to who is refused; nothing was said before."""

    @abstractmethod
    def leave(self, *, discard: bool) -> None:
        """Take nothing more; `discard`: what is queued is not sent either."""

    # ---- the asker ----------------------------------------------------------------------------

    @property
    def taken_bytes(self) -> int:
        return taken_bytes(self.peer)

    def takes_video(self, codec: str, /) -> bool:
        return True  # HTTP has no word for it: what cannot play it says so itself

    def wait(self, seconds: float, on_timeout: Callable[[Asker], None], /) -> None:
        self.is_asking = True
        self._timer.set(seconds, on_timeout, self)

    def accept(self, rendition: Rendition, start: Start, /) -> None:
        self._answered()
        self.begin(rendition, start)

    def refuse(self, refusal: Refusal, /) -> None:
        if self.is_ending:
            return
        self._answered()
        self.on_leaving(f"refused: {refusal.reason}: {refusal.words}")
        self.put_refusal(refusal)
        self.end(f"refused: {refusal.reason}: {refusal.words}")

    def finish(self, reason: str, /, *, is_over: bool = True) -> None:
        if self.is_ending:
            return
        if self.is_asking:
            self.refuse(Refusal(RefusalReason.NOT_FOUND, reason))
            return
        self._leave(reason, discard=False)
        self.end(reason)

    def on_leaving(self, reason: str) -> None:
        self._timer.cancel()
        self._leave(reason, discard=True)

    def _answered(self) -> None:
        self.is_asking = False
        self._timer.cancel()

    def _leave(self, reason: str, *, discard: bool) -> None:
        self.leave(discard=discard)
        self._asking_host.on_ended(self, reason)


AskingT = TypeVar("AskingT", bound=AskingViewer)


class AskingOutput(HandoverOutput[AskingT], Generic[AskingT]):
    """An `Output` whose viewers ask at the entrance of all; a `Host` of theirs."""

    def __init__(
        self, context: OutputContext, protocol: str, socket_name: str, log: logging.Logger
    ) -> None:
        super().__init__(context, protocol, socket_name)
        self._entrance = context.entrance()
        self._log = log

    @abstractmethod
    def new_viewer(self, tcp: socket.socket, request: ViewRequest) -> AskingT:
        """One on a connection that was handed over."""

    def let_in(self, tcp: socket.socket, request: object) -> str:
        if not isinstance(request, ViewRequest):
            return f"{type(request).__name__} is no request to view"
        limits = self.settings.egress
        if self._entrance.is_stopping:
            return "this egress is stopping"
        if limits.processes > 1 and len(self._entrance) >= limits.max_players:
            return f"this egress has the {limits.max_players} players that it takes"
        if problem := prepare(tcp, limits.send_buffer_bytes):
            return problem
        viewer = self.new_viewer(tcp, request)
        self.add(viewer)
        self._entrance.arrived(viewer)
        viewer.watch()
        wish = Wish(request.app, request.key, request.rendition, request.query)
        self._entrance.ask(viewer, wish)
        return ""

    def on_ended(self, viewer: AskingViewer, reason: str, /) -> None:
        self._entrance.ended(viewer, reason)

    def on_left(self, viewer: AskingT, reason: str) -> None:
        self._entrance.left(viewer)
        if (held := self._entrance.may_log(viewer)) is not None:
            self._log.info(
                "player closed stream=%s address=%s seconds=%.1f dropped=%d reason=%s%s",
                self._entrance.label(viewer) or "?",
                viewer.address,
                self.now() - viewer.opened_s,
                viewer.dropped,
                reason,
                more(held),
            )

    def status_of(self, viewer: AskingT) -> ViewerStatus | None:
        if not viewer.is_watching or viewer.wanted is None:
            return None
        return ViewerStatus(
            viewer.number,
            viewer.wanted.stream_id,
            viewer.wanted.rendition,
            viewer.protocol,
            viewer.address,
            self.now() - viewer.opened_s,
            viewer.dropped,
        )
