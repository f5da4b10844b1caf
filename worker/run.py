"""The worker process's shell (IO): media in from the bus, sessions, tags out, the control link.

The loop's thread only moves messages; what decodes and encodes are the sessions' threads, which
hand their events over through one deque and one wake-up of the loop. A session that fails ends
alone; a lost device ends the process, with `ExitCode.DEVICE_LOST`. A session that gets nothing is
not ended here: its publisher may be away, or send sound alone. The supervisor sees in the
heartbeats which are nobody's.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from common.config.settings import Settings
from common.errors import EnvelopeError, ExitCode
from common.ipc.api_messages import SnapshotWanted
from common.ipc.child import ChildProcess
from common.ipc.control_messages import (
    Degrade,
    EgressRoutes,
    Endpoint,
    Heartbeat,
    Hello,
    HostLoad,
    IngestLost,
)
from common.ipc.envelope import decode_frames
from common.ipc.kinds import KINDS
from common.ipc.media_listener import Sender
from common.ipc.media_messages import (
    AccessUnit,
    RenditionsWanted,
    StreamEnd,
    StreamPause,
    StreamSplice,
    StreamStart,
    VideoHeader,
)
from common.ipc.status_messages import TranscodeStatus
from common.process.awake_clock import AwakeClock
from common.process.log import RateLimit, more
from worker.devices.table import OpenDevice
from worker.session.registry import Sessions
from worker.session.session import Session
from worker.session.snapshots import Snapshots

log = logging.getLogger("tfarm.worker.run")

STOP_S = 1.5  # for the sessions to hand out what they hold
FLUSH_S = 0.05  # for the last messages to leave


class Worker:
    """All of one worker process, on the running loop."""

    def __init__(self, process: ChildProcess, device: OpenDevice) -> None:
        self._process = process
        self.settings = Settings()
        self._device = device
        process.is_idle = self._has_nothing_to_do
        self._sessions = Sessions(process.child, device, process.bus, self._report, self._on_fatal)
        self._snapshots = Snapshots(self._sessions.newest, process.send)
        self._counters = dict.fromkeys(("unreadable", "stray"), 0)
        self._lines = RateLimit()
        self._listener = process.listener("media", self._on_frames)
        self.endpoint = Endpoint(process.child, process.boot_id, media=self._listener.address)
        self._awake = AwakeClock(2 * KINDS["worker"].heartbeat_s)

    def _has_nothing_to_do(self) -> bool:
        return not any(True for _ in self._sessions)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return ()

    async def end(self) -> None:
        """Have the sessions hand out what they hold."""
        await self._sessions.end_all(STOP_S)
        await asyncio.sleep(FLUSH_S)

    # ---- media in -----------------------------------------------------------------------------

    def _on_frames(self, frames: list[bytes], _: Sender) -> None:
        try:
            message, payloads = decode_frames(frames)
            payload = payloads[0] if payloads else b""
        except EnvelopeError as error:
            self._counters["unreadable"] += 1
            if (suppressed := self._lines.allow(time.monotonic())) is not None:
                log.warning("unreadable media message error=%s%s", error, more(suppressed))
            return
        match message:
            case AccessUnit():
                session = self._sessions.get(message.stream_id, message.generation)
                if session is not None:
                    session.put(message, payload, time.monotonic())
                else:
                    self._counters["stray"] += 1
            case StreamStart():
                self._sessions.start(message, payload, self.settings.worker.queue_ms)
            case VideoHeader() | StreamSplice() | StreamPause() | RenditionsWanted() | StreamEnd():
                session = self._sessions.get(message.stream_id, message.generation)
                if session is not None:
                    self._order(session, message, payload)
            case _:
                self._counters["unreadable"] += 1

    def _order(
        self,
        session: Session,
        message: VideoHeader | StreamSplice | StreamPause | RenditionsWanted | StreamEnd,
        payload: bytes,
    ) -> None:
        match message:
            case VideoHeader():
                session.put_header(payload, message.codec)
            case StreamSplice():
                session.splice(message.splice_ms)
            case StreamPause():
                session.freeze(message.reference, may_go_on=message.may_go_on)
            case RenditionsWanted():
                self._sessions.want(session, message.renditions, message.after_ms)
            case StreamEnd():
                session.end(message.reason)

    # ---- the supervisor -----------------------------------------------------------------------

    def hello(self) -> Hello:
        return self._process.new_hello(
            self.endpoint, device=self._device.backend.info, transcodes=self._status()
        )

    def heartbeat(self) -> Heartbeat:
        awake_s = self._awake.tick(time.monotonic())
        for session in self._sessions:
            session.watch(awake_s)
        self._snapshots.send_made(time.monotonic())
        if self._sessions.encoders is not None:
            self._sessions.encoders.watch(time.monotonic())
        counters = self._counters | {
            "sessions": self._sessions.started,
            "troubles": self._sessions.troubles,
            "tags_dropped": self._sessions.egresses.dropped,
            "unreadable": self._counters["unreadable"] + self._listener.unreadable,
            "denied": self._listener.denied,
            **self._sessions.measuring(),
        }
        return self._process.new_heartbeat(
            transcodes=self._status(),
            counters=counters,
            delays=self._sessions.delays(time.monotonic()),
        )

    def configure(self, settings: Settings) -> None:
        self.settings = settings

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._sessions.egresses.update(endpoints)
        if self._sessions.encoders is not None:
            self._sessions.encoders.update(endpoints)

    def on_welcome(self) -> None:
        self._sessions.on_new_supervisor()

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        match message:
            case EgressRoutes():
                self._sessions.egresses.route(message)
            case HostLoad():
                self._sessions.load.elsewhere = message.streams
            case Degrade():
                degraded = self._sessions.get(message.stream_id, message.generation)
                if degraded is not None:
                    degraded.degrade(message.top_rate_divisor, message.dropped_renditions)
            case SnapshotWanted():
                self._snapshots.want(message, time.monotonic())
            case IngestLost():
                self._sessions.end_up_to(message.stream_id, message.generation, message.reason)
            case _:
                self._counters["unreadable"] += 1

    def _status(self) -> tuple[TranscodeStatus, ...]:
        return self._sessions.status(time.monotonic())

    # ---- the end ------------------------------------------------------------------------------

    def _report(self, message: Any) -> None:
        self._process.send(message)

    def _on_fatal(self, reason: str, code: ExitCode) -> None:
        """The device is lost: the supervisor is told, and the process ends."""
        self._process.fail(reason, code)

    def close(self) -> None:
        is_device_free = self._sessions.close()
        self._device.threads.close()
        self._sessions.egresses.close()
        if self._sessions.encoders is not None:
            self._sessions.encoders.close()
        self._listener.close()
        if is_device_free:
            self._device.backend.close()
