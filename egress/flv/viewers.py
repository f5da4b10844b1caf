"""All viewers of FLV here (IO): adopted with their sockets from the `web` child, judged, ended."""

import asyncio
import contextlib
import logging
import socket
from typing import Final

from common.access.fair_turns import Budget
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.api_messages import ViewRequest
from common.ipc.envelope import decode_frames
from common.process.fair_reading import FairReading
from common.process.log import more
from egress.access import Wish
from egress.fanout.channel import Channels
from egress.flv.from_units import PROTOCOL
from egress.flv.viewer import FlvViewer
from egress.http.connection import STALLED, prepare
from egress.output import OutputContext, ViewerStatus

log = logging.getLogger("tfarm.egress.flv.viewers")

# Viewers have nothing more to say: a small part of a core for all of them.
READING_SHARE: Final = 0.05
VIEWER_CPU_S: Final = 0.000_1
VIEWER_BYTES: Final = 1024
STOP_S: Final = 1.0  # to tell all that it is over …
LOOK_S: Final = 0.02  # … and a look whether they have it


class FlvViewers:
    """Every viewer here; they call it back as their `Host`."""

    def __init__(self, context: OutputContext) -> None:
        self.channels: Channels = context.channels()
        self.counters = dict.fromkeys(("flv adopted", "flv declined", "flv stalled"), 0)
        self.now = context.clock
        self._entrance = context.entrance()
        self._loop = asyncio.get_running_loop()
        self._settings = Settings()
        each = Budget(VIEWER_CPU_S, VIEWER_BYTES)
        self.reading = FairReading(self._loop, READING_SHARE, each, self.now)
        self._viewers: set[FlvViewer] = set()
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._viewers)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on; who watches goes on."""
        self._settings = settings

    def adopt(self, tcp: socket.socket, request: bytes) -> str | None:
        """Take a connection over; returns why not."""
        reason = self._adopt(tcp, request)
        self.counters["flv adopted" if reason is None else "flv declined"] += 1
        return reason

    def _adopt(self, tcp: socket.socket, data: bytes) -> str | None:
        try:
            request, _ = decode_frames([data])
        except EnvelopeError as error:
            return str(error)
        if not isinstance(request, ViewRequest):
            return f"{type(request).__name__} is no request to view"
        limits = self._settings.egress
        if self._entrance.is_stopping:
            return "this egress is stopping"
        if limits.processes > 1 and len(self._entrance) >= limits.max_players:
            return f"this egress has the {limits.max_players} players that it takes"
        if problem := prepare(tcp, limits.send_buffer_bytes):
            return problem
        self._last_number += 1
        number, queue_ms = self._last_number, limits.queue_ms
        headers = request.headers
        viewer = FlvViewer(tcp, request.address, headers, number, self, self._loop, queue_ms)
        self._viewers.add(viewer)
        self._entrance.arrived(viewer)
        viewer.watch()
        wish = Wish(request.app, request.key, request.rendition, request.query)
        self._entrance.ask(viewer, wish)
        return None

    def on_ended(self, viewer: FlvViewer, reason: str, /) -> None:
        self._entrance.ended(viewer, reason)

    def on_closed(self, viewer: FlvViewer, reason: str, /) -> None:
        self._viewers.discard(viewer)
        self._entrance.left(viewer)
        self.counters["flv stalled"] += reason == STALLED
        if (held := self._entrance.may_log(viewer)) is not None:
            log.info(
                "player closed stream=%s address=%s seconds=%.1f dropped=%d reason=%s%s",
                self._entrance.label(viewer) or "?",
                viewer.address,
                self.now() - viewer.opened_s,
                viewer.player.dropped,
                reason,
                more(held),
            )

    def check(self, now: float) -> None:
        """Look for viewers who take nothing or have ended; once a second."""
        self.reading.check()
        for viewer in tuple(self._viewers):
            viewer.check(now, self._settings.egress.stall_timeout_s)

    def viewers(self) -> list[ViewerStatus]:
        """Those who watch."""
        now = self.now()
        return [
            ViewerStatus(
                viewer.number,
                viewer.wanted.stream_id,
                viewer.wanted.rendition,
                PROTOCOL,
                viewer.address,
                now - viewer.opened_s,
                viewer.player.dropped,
            )
            for viewer in self._viewers
            if viewer.channel is not None and viewer.wanted is not None
        ]

    def end_viewer(self, number: int, reason: str) -> None:
        for viewer in tuple(self._viewers):
            if viewer.number == number:
                viewer.finish(reason)

    async def stop(self, reason: str) -> None:
        """Tell all that it is over, and let their last bytes go out."""
        for viewer in tuple(self._viewers):
            viewer.finish(reason)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                while self._viewers:
                    self.check(self.now())
                    await asyncio.sleep(LOOK_S)

    def close(self, reason: str) -> None:
        """Close what is still open."""
        for viewer in tuple(self._viewers):
            viewer.close(reason)
        self.reading.close()
