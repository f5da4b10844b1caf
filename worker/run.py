"""The worker process's shell (IO): media in from the bus, sessions, tags out, the control link.

The loop's thread only moves messages; what decodes and encodes are the sessions' threads, which
hand their events over through one deque and one wake-up of the loop. A session that fails ends
alone; a lost device ends the process, with `ExitCode.DEVICE_LOST`. A session that gets nothing is
not ended here: its publisher may be away, or send sound alone. The supervisor sees in the
heartbeats which are nobody's.
"""

import asyncio
import gc
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

import uvloop

from common.config.settings import Settings
from common.errors import BootFailed, DeviceLost, EnvelopeError, ExitCode
from common.ipc.bus import Bus
from common.ipc.control_link import (
    ControlLink,
    control_address,
    new_boot_id,
    peer_identity,
    start_ticks,
)
from common.ipc.control_messages import (
    Configure,
    Degrade,
    EgressRoutes,
    Endpoint,
    Fatal,
    Heartbeat,
    Hello,
    HostLoad,
    IngestLost,
    Topology,
    TranscodeStatus,
    Welcome,
)
from common.ipc.endpoint import endpoint
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import ChildId
from common.ipc.kinds import KINDS
from common.ipc.media_link import MediaListener, Sender
from common.ipc.media_messages import (
    AccessUnit,
    StreamEnd,
    StreamPause,
    StreamSplice,
    StreamStart,
    VideoHeader,
)
from common.process.awake_clock import AwakeClock
from common.process.log import RateLimit
from worker.devices.table import OpenDevice, open_device
from worker.session.registry import Sessions
from worker.session.session import Session

log = logging.getLogger("tfarm.worker.run")

HEARTBEAT_S = KINDS["worker"].heartbeat_s

STOP_S = 1.5  # for the sessions to hand out what they hold
FLUSH_S = 0.05  # for the last messages to leave


class Worker:
    """All of one worker process, on the running loop."""

    def __init__(
        self,
        child: ChildId,
        run_dir: Path,
        device: OpenDevice,
        *,
        orphan_timeout_s: float = 30.0,
    ) -> None:
        self.child = child
        self.boot_id = new_boot_id()
        self.settings = Settings()
        self.exit_code = ExitCode.OK
        self._stopped = asyncio.Event()
        self._device = device
        self._bus = Bus()
        self._sessions = Sessions(child, device, self._bus, self._report, self._on_fatal)
        self._counters = dict.fromkeys(("unreadable", "stray"), 0)
        self._lines = RateLimit()
        media = endpoint(run_dir, child, self.boot_id, "media")
        self.endpoint = Endpoint(child, self.boot_id, media=media)
        self._inlet = MediaListener(self._bus, media, self._on_frames)
        self._awake = AwakeClock(2 * HEARTBEAT_S)
        self._link = ControlLink(
            self._bus,
            run_dir,
            child,
            self.boot_id,
            self,
            orphan_timeout_s=orphan_timeout_s,
            beat_s=HEARTBEAT_S,
        )

    async def run(self) -> None:
        """Work until `stop`, the supervisor's absence or the device's loss."""
        link = asyncio.create_task(self._link.run(), name="control link")
        stopped = asyncio.create_task(self._stopped.wait(), name="stop")
        try:
            await asyncio.wait((link, stopped), return_when=asyncio.FIRST_COMPLETED)
            if link.done():
                await link  # it has failed, or seen that nobody supervises any more
            await self._sessions.end_all(STOP_S)
            await asyncio.sleep(FLUSH_S)
        finally:
            link.cancel()
            stopped.cancel()
            await asyncio.gather(link, stopped, return_exceptions=True)
            self._clean_up()

    def stop(self) -> None:
        """From SIGTERM: end in order."""
        self._stopped.set()

    # ---- media in -----------------------------------------------------------------------------

    def _on_frames(self, frames: list[bytes], _: Sender) -> None:
        try:
            message, payloads = decode_frames(frames)
            payload = payloads[0] if payloads else b""
        except EnvelopeError as error:
            self._counters["unreadable"] += 1
            if (held := self._lines.allow(time.monotonic())) is not None:
                log.warning("unreadable media message error=%s held_back=%d", error, held)
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
            case VideoHeader() | StreamSplice() | StreamPause() | StreamEnd():
                session = self._sessions.get(message.stream_id, message.generation)
                if session is not None:
                    self._order(session, message, payload)
            case _:
                self._counters["unreadable"] += 1

    def _order(
        self,
        session: Session,
        message: VideoHeader | StreamSplice | StreamPause | StreamEnd,
        payload: bytes,
    ) -> None:
        match message:
            case VideoHeader():
                session.put_header(payload)
            case StreamSplice():
                session.splice(message.splice_ms)
            case StreamPause():
                session.freeze(
                    message.reference_ms, message.reference_s, may_go_on=message.may_go_on
                )
            case StreamEnd():
                session.end(message.reason)

    # ---- the supervisor -----------------------------------------------------------------------

    def hello(self) -> Hello:
        pid = os.getpid()
        return Hello(
            child=self.child,
            boot_id=self.boot_id,
            pid=pid,
            start_ticks=start_ticks(pid),
            endpoint=self.endpoint,
            device=self._device.backend.info,
            transcodes=self._status(),
        )

    def heartbeat(self) -> Heartbeat:
        awake_s = self._awake.tick(time.monotonic())
        for session in self._sessions:
            session.watch(awake_s)
        counters = self._counters | {
            "sessions": self._sessions.started,
            "troubles": self._sessions.troubles,
            "tags_dropped": self._sessions.egresses.dropped,
            "unreadable": self._counters["unreadable"] + self._inlet.unreadable,
        }
        return Heartbeat(self.child, self.boot_id, transcodes=self._status(), counters=counters)

    def on_message(self, message: Any) -> None:
        match message:
            case Welcome():
                self._sessions.on_new_supervisor()
                self._configure(message.settings)
                self._sessions.egresses.update(message.endpoints)
            case Configure():
                self._configure(message.settings)
            case Topology():
                self._sessions.egresses.update(message.endpoints)
            case EgressRoutes():
                self._sessions.egresses.route(message)
            case HostLoad():
                self._sessions.load.elsewhere = message.streams
            case Degrade():
                degraded = self._sessions.get(message.stream_id, message.generation)
                if degraded is not None:
                    degraded.degrade(message.top_rate_divisor, message.dropped_renditions)
            case IngestLost():
                self._sessions.end_up_to(message.stream_id, message.generation, message.reason)
            case _:
                self._counters["unreadable"] += 1

    def on_orphaned(self) -> None:
        self.exit_code = ExitCode.ORPHANED

    def _configure(self, settings: Settings) -> None:
        self.settings = settings
        logging.getLogger("tfarm").setLevel(settings.log_level)

    def _status(self) -> tuple[TranscodeStatus, ...]:
        return self._sessions.status(time.monotonic())

    # ---- the end ------------------------------------------------------------------------------

    def _report(self, message: Any) -> None:
        self._link.send(message)

    def _on_fatal(self, reason: str, code: ExitCode) -> None:
        """The device is lost: the supervisor is told, and the process ends."""
        self._link.fatal(reason, code)
        self.exit_code = code
        self._stopped.set()

    def _clean_up(self) -> None:
        is_device_free = self._sessions.close()
        self._device.threads.close()
        self._sessions.egresses.close()
        self._inlet.close()
        self._bus.close()
        if is_device_free:
            self._device.backend.close()


async def _tell_fatal(child: ChildId, run_dir: Path, reason: str, code: ExitCode) -> None:
    """Say why there will be no worker: before there is one, so on a link of its own."""
    bus = Bus()
    boot_id = new_boot_id()
    dealer = bus.dealer(control_address(run_dir), peer_identity(child, boot_id), lambda _: None)
    dealer.send([encode(Fatal(child, boot_id, reason, code))])
    await asyncio.sleep(2 * FLUSH_S)
    bus.close()


def run_worker(
    child: ChildId,
    run_dir: Path,
    *,
    threads: int,
    share: int,
    orphan_timeout_s: float,
) -> ExitCode:
    """The process's whole life; returns its exit code."""

    async def serve() -> ExitCode:
        loop = asyncio.get_running_loop()
        try:
            opened = open_device(child.device, threads, share, name=child.device_name)
            worker = Worker(child, run_dir, opened, orphan_timeout_s=orphan_timeout_s)
        except BootFailed as error:
            log.error("device cannot be used device=%s reason=%s", child.device_name, error)
            await _tell_fatal(child, run_dir, str(error), ExitCode.BOOT_FAILED)
            return ExitCode.BOOT_FAILED
        except DeviceLost as error:
            log.error("device lost device=%s reason=%s", child.device_name, error)
            await _tell_fatal(child, run_dir, str(error), ExitCode.DEVICE_LOST)
            return ExitCode.DEVICE_LOST
        except (OSError, ValueError) as error:
            log.error("cannot start reason=%s", error)
            return ExitCode.BOOT_FAILED
        loop.add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()
        return worker.exit_code

    gc.freeze()
    return uvloop.run(serve())
