"""All viewers here (IO): adopted with their sockets from the API, which let them in, and ended."""

import asyncio
import contextlib
import logging
import socket
import time
from typing import Final

from common.access.fair_turns import Budget
from common.access.peer_address import host_of
from common.config.settings import Settings
from common.errors import EnvelopeError
from common.ipc.api_messages import WatchRequest
from common.ipc.envelope import decode_frames
from common.process.fair_reading import FairReading
from common.process.log import PeerLines, more, stream_label
from egress.http.channel import Channels
from egress.http.connection import STALLED, prepare
from egress.http.viewer import Viewer
from egress.output import OutputContext, ViewerStatus
from egress.streams.rendition import Rendition
from egress.streams.stream import StreamState

log = logging.getLogger("tfarm.egress.http.viewers")

PROTOCOL: Final = "http"
# Viewers have nothing more to say: a small part of a core for all of them.
READING_SHARE: Final = 0.05
VIEWER_CPU_S: Final = 0.000_1
VIEWER_BYTES: Final = 1024
STOP_S: Final = 1.0  # to tell all that it is over …
LOOK_S: Final = 0.02  # … and a look whether they have it


class Viewers:
    """Every viewer here; they call it back as their `Host`."""

    def __init__(self, context: OutputContext) -> None:
        self.channels = Channels()
        self.counters = dict.fromkeys(("http adopted", "http declined", "http stalled"), 0)
        self.now = context.clock
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._settings = Settings()
        each = Budget(VIEWER_CPU_S, VIEWER_BYTES)
        self.reading = FairReading(self._loop, READING_SHARE, each, self.now)
        self._viewers: set[Viewer] = set()
        self._last_number = 0
        self._is_stopping = False
        self._bans_seen = 0  # the version of the list
        self._lines = PeerLines()

    def __len__(self) -> int:
        return len(self._viewers)

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on; who watches goes on."""
        self._settings = settings

    def adopt(self, tcp: socket.socket, request: bytes) -> str | None:
        """Take a connection over from the API; returns why not."""
        reason = self._adopt(tcp, request)
        self.counters["http adopted" if reason is None else "http declined"] += 1
        return reason

    def _adopt(self, tcp: socket.socket, data: bytes) -> str | None:
        try:
            request, _ = decode_frames([data])
        except EnvelopeError as error:
            return str(error)
        if not isinstance(request, WatchRequest):
            return f"{type(request).__name__} is no request to watch"
        found = self._find(request)
        if isinstance(found, str):
            return found
        limits = self._settings.egress
        if problem := prepare(tcp, limits.send_buffer_bytes):
            return problem
        self._last_number += 1
        number, queue_ms = self._last_number, limits.queue_ms
        viewer = Viewer(tcp, request, number, self, self._loop, queue_ms)
        self._viewers.add(viewer)
        log.info(
            "viewer open stream=%s rendition=%s address=%s",
            stream_label(request.stream_id),
            request.rendition,
            request.address,
        )
        viewer.start(self.channels.get(found, has_sound=request.has_sound))
        return None

    def _find(self, request: WatchRequest) -> Rendition | str:
        """The rendition that is asked for, or why it is not given."""
        if self._is_stopping:
            return "this egress is stopping"
        most = self._settings.api.max_viewers
        if len(self._viewers) >= most:
            return f"{most} watch already (api.max_viewers): try again later"
        banned = self._context.bans.refusal(host_of(request.address), request.stream_id)
        if banned is not None:
            return banned.words
        stream = self._context.streams.get(request.stream_id)
        if stream is None or stream.state in (StreamState.ENDING, StreamState.ENDED):
            return "nobody publishes this stream just now"
        rendition = stream.renditions.get(request.rendition)
        if rendition is None:
            names = ", ".join(stream.renditions)
            return f"this stream has no rendition {request.rendition}; it has {names}"
        return rendition

    def on_closed(self, viewer: Viewer, reason: str) -> None:
        self._viewers.discard(viewer)
        self.counters["http stalled"] += reason == STALLED
        if (held := self._lines.allow(viewer.host, time.monotonic())) is not None:
            log.info(
                "viewer closed stream=%s address=%s seconds=%.1f dropped=%d reason=%s%s",
                stream_label(viewer.request.stream_id),
                viewer.request.address,
                self.now() - viewer.opened_s,
                viewer.queue.dropped,
                reason,
                more(held),
            )

    def check(self, now: float) -> None:
        """Look for viewers who take nothing, are banned or have ended; once a second."""
        self.reading.check()
        bans = self._context.bans
        has_new_bans, self._bans_seen = self._bans_seen != bans.version, bans.version
        for viewer in tuple(self._viewers):
            if has_new_bans:
                banned = bans.refusal(viewer.host, viewer.request.stream_id)
                if banned is not None:
                    viewer.finish(banned.words, is_over=True)
            viewer.check(now, self._settings.egress.stall_timeout_s)

    def viewers(self) -> list[ViewerStatus]:
        """Those who watch."""
        now = self.now()
        return [
            ViewerStatus(
                viewer.number,
                viewer.request.stream_id,
                viewer.request.rendition,
                PROTOCOL,
                viewer.request.address,
                now - viewer.opened_s,
                viewer.queue.dropped,
            )
            for viewer in self._viewers
            if viewer.channel is not None
        ]

    def end_viewer(self, number: int, reason: str) -> None:
        for viewer in tuple(self._viewers):
            if viewer.number == number:
                viewer.finish(reason, is_over=True)

    async def stop(self, reason: str) -> None:
        """Take no more; tell all that it is over here, and let their last bytes go out."""
        self._is_stopping = True
        for viewer in tuple(self._viewers):
            viewer.finish(reason, is_over=False)
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
