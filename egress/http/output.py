"""Fragmented MP4 by HTTP as an output of the egress (IO); the API lets its viewers in."""

import logging
import socket
import time
from collections.abc import Mapping
from typing import Final

from common.access.peer_address import host_of
from common.ipc.api_messages import WatchRequest
from common.ipc.identity import StreamId
from common.process.log import PeerLines, more, stream_label
from egress.http.channel import Channels
from egress.http.connection import prepare
from egress.http.handover_output import HandoverOutput
from egress.http.viewer import Viewer
from egress.output import Audience, OutputContext, ViewerStatus
from egress.streams.rendition import Rendition
from egress.streams.stream import StreamState

log = logging.getLogger("tfarm.egress.http.output")

PROTOCOL: Final = "http"
SOCKET: Final = "viewers"


class HttpOutput(HandoverOutput[Viewer]):
    """An `Output`."""

    def __init__(self, context: OutputContext) -> None:
        super().__init__(context, PROTOCOL, SOCKET)
        self._channels = Channels(forms=context.sounds())
        self._context = context
        self._bans_seen = 0  # the version of the list
        self._lines = PeerLines()

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        return self._channels.audience(stream_id)

    def let_in(self, tcp: socket.socket, request: object) -> str:
        if not isinstance(request, WatchRequest):
            return f"{type(request).__name__} is no request to watch"
        found = self._find(request)
        if isinstance(found, str):
            return found
        limits = self.settings.egress
        if problem := prepare(tcp, limits.send_buffer_bytes):
            return problem
        viewer = Viewer(tcp, request, self.new_number(), self, self.loop, limits.queue_ms)
        self.add(viewer)
        log.info(
            "viewer open stream=%s rendition=%s address=%s",
            stream_label(request.stream_id),
            request.rendition,
            request.address,
        )
        viewer.start(self._channels.get(found, has_sound=request.has_sound))
        return ""

    def _find(self, request: WatchRequest) -> Rendition | str:
        """The rendition that is asked for, or why it is not given."""
        most = self.settings.api.max_viewers
        if len(self) >= most:
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
        if rendition.is_sound_alone:
            return f"{rendition.name} has the sound alone; choose one with pictures"
        return rendition

    def on_left(self, viewer: Viewer, reason: str) -> None:
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
        bans = self._context.bans
        if self._bans_seen != bans.version:
            self._bans_seen = bans.version
            for viewer in self:
                banned = bans.refusal(viewer.host, viewer.request.stream_id)
                if banned is not None:
                    viewer.finish(banned.words, is_over=True)
        super().check(now)

    def status_of(self, viewer: Viewer) -> ViewerStatus | None:
        if viewer.channel is None:
            return None
        return ViewerStatus(
            viewer.number,
            viewer.request.stream_id,
            viewer.request.rendition,
            PROTOCOL,
            viewer.request.address,
            self.now() - viewer.opened_s,
            viewer.queue.dropped,
        )
