"""The worker process's shell (IO): media in from the bus, sessions, tags out, the control link.

The loop's thread only moves messages; what decodes and encodes are the sessions' threads, which
hand their events over through one deque and one wake-up of the loop. A session that fails ends
alone; a lost device ends the process, with `ExitCode.DEVICE_LOST`. A session that gets nothing is
not ended here: its publisher may be away, or send sound alone. The supervisor sees in the
heartbeats which are nobody's.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import uvloop

from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.errors import BootFailed, DeviceLost, EnvelopeError, ExitCode
from common.ipc.bus import Bus
from common.ipc.control_link import (
    WORKER_BEAT_S,
    ControlLink,
    control_address,
    new_boot_id,
    start_ticks,
)
from common.ipc.control_messages import (
    Configure,
    Degrade,
    EgressRoutes,
    EncoderLimitReport,
    Endpoint,
    Fatal,
    Heartbeat,
    Hello,
    HostLoad,
    IngestLost,
    StreamTrouble,
    Topology,
    TranscodeStatus,
    Welcome,
)
from common.ipc.endpoint import endpoint
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import ChildName, Generation, StreamId
from common.ipc.media_link import MediaListener, Sender
from common.ipc.media_messages import (
    SHARED,
    AccessUnit,
    GenerationEnd,
    StreamEnd,
    StreamPause,
    StreamSplice,
    StreamStart,
    VideoHeader,
)
from common.process.awake_clock import AwakeClock
from common.process.log import RateLimit, stream_label
from worker.devices.backend import Backend
from worker.output.egresses import Egresses, Frames, Rendition
from worker.output.rendition_output import RenditionOutput
from worker.session.events import (
    DeviceGone,
    EncoderLimitHit,
    Ended,
    Event,
    RenditionBegan,
    RenditionCoded,
)
from worker.session.session import Session, SessionContext, SessionState
from worker.threads import JobThread, OwnThreads, SessionThreads, SharedThreads

log = logging.getLogger("tfarm.worker.run")

GPU_DECODE_THREADS = 16
GPU_ENCODE_THREADS = 32
STOP_S = 1.5  # for the sessions to hand out what they hold
FLUSH_S = 0.05  # for the last messages to leave
IDLE_S = 1.0  # without a stream, until memory is given back
# Of a software worker, whose threads are few: one that waits for the GIL must not wait for 5 ms, a
# good part of a frame's delay. Of a GPU's dozens most wait at any time: all would wake so often,
# and make whoever has the GIL give it up. Python's own 5 ms gives less delay there (docs/gpu.md).
SWITCH_INTERVAL_S = 0.0005

StreamKey = tuple[StreamId, Generation]


def open_backend(device: str, threads: int, share: int = 1) -> tuple[Backend, SessionThreads]:
    """The device named on the command line; `share` workers have the host's cores.

    Raises BootFailed, DeviceLost.
    """
    if device.startswith("cpu"):
        from worker.devices.software.device import SoftBackend

        return SoftBackend(device, threads), OwnThreads()
    from worker.devices.gpu.device import GpuBackend

    backend = GpuBackend(device, encoder_threads=threads, share=share)
    if backend.info.path is Pipeline.HYBRID:
        return backend, OwnThreads(groups_small_encoders=True)
    return backend, SharedThreads(GPU_DECODE_THREADS, GPU_ENCODE_THREADS)


def set_switch_interval(device: str) -> None:
    """How long a thread waits until it asks for the GIL, by the device."""
    if device.startswith("cpu"):
        sys.setswitchinterval(SWITCH_INTERVAL_S)


def _return_memory() -> None:
    """Give the pages that codecs have freed back to the system; glibc keeps most of them."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


class _Stream:
    """A session and what was made of it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.logs: dict[int, RenditionOutput] = {}


class Worker:
    """All of one worker process, on the running loop."""

    def __init__(
        self,
        child: ChildName,
        run_dir: Path,
        backend: Backend,
        session_threads: SessionThreads,
        *,
        orphan_timeout_s: float = 30.0,
    ) -> None:
        self.child = child
        self._cores = len(os.sched_getaffinity(0))
        self._elsewhere = 0  # streams of other workers on them
        self.boot_id = new_boot_id()
        self.settings = Settings()
        self.exit_code = ExitCode.OK
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._all_ended = asyncio.Event()
        self._backend = backend
        self._session_threads = session_threads
        self._opener = JobThread("opener")
        self._around = SessionContext(
            backend,
            session_threads,
            self._opener,
            threading.Lock(),
            self._post,
            self._is_alone,
            lambda stream_id: self._egresses.is_watched(stream_id),
            self._is_saturated,
        )
        self._streams: dict[StreamKey, _Stream] = {}
        self._events: deque[tuple[Session, Event]] = deque()
        self._met_loss: Session | None = None  # the first to tell that the device is gone
        self._is_woken = False
        self._counters = dict.fromkeys(("sessions", "troubles", "unreadable", "stray"), 0)
        self._lines = RateLimit()
        self._bus = Bus()
        media = endpoint(run_dir, child, self.boot_id, "media")
        self.endpoint = Endpoint(child, self.boot_id, media=media)
        self._inlet = MediaListener(media, self._on_frames)
        self._egresses = Egresses(self._catch_up)
        self._awake = AwakeClock(2 * WORKER_BEAT_S)
        self._link = ControlLink(
            self._bus,
            run_dir,
            child,
            self.boot_id,
            self,
            orphan_timeout_s=orphan_timeout_s,
            beat_s=WORKER_BEAT_S,
        )

    async def run(self) -> None:
        """Work until `stop`, the supervisor's absence or the device's loss."""
        link = asyncio.create_task(self._link.run(), name="control link")
        stopped = asyncio.create_task(self._stopped.wait(), name="stop")
        try:
            await asyncio.wait((link, stopped), return_when=asyncio.FIRST_COMPLETED)
            if link.done():
                await link  # it has failed, or seen that nobody supervises any more
            await self._end_sessions()
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
                stream = self._streams.get((message.stream_id, message.generation))
                if stream is not None:
                    stream.session.put(message, payload, time.monotonic())
                else:
                    self._counters["stray"] += 1
            case StreamStart():
                self._start(message, payload)
            case VideoHeader() | StreamSplice() | StreamPause() | StreamEnd():
                stream = self._streams.get((message.stream_id, message.generation))
                if stream is not None:
                    self._order(stream.session, message, payload)
            case _:
                self._counters["unreadable"] += 1

    def _start(self, start: StreamStart, record: bytes) -> None:
        key = (start.stream_id, start.generation)
        others = [entry for entry in self._streams if entry[0] == start.stream_id]
        if any(generation >= start.generation for _, generation in others):
            return
        if start.splice_ms is None:
            # no make before break: nobody will end the old one
            for other in others:
                self._streams[other].session.abandon("replaced")
        session = Session(start, record, self._around, self.settings.worker.queue_ms)
        self._streams[key] = _Stream(session)
        self._counters["sessions"] += 1

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
                session.pause(
                    message.reference_ms, message.reference_s, may_go_on=message.may_go_on
                )
            case StreamEnd():
                session.end(message.reason)

    # ---- what sessions say --------------------------------------------------------------------

    def _post(self, session: Session, event: Event) -> None:
        """From any thread."""
        self._events.append((session, event))
        if not self._is_woken:
            self._is_woken = True
            try:
                self._loop.call_soon_threadsafe(self._take_events)
            except RuntimeError:
                log.debug("an event after the end event=%s", type(event).__name__)

    def _take_events(self) -> None:
        self._is_woken = False
        coded: dict[tuple[StreamKey, int], list[RenditionCoded]] = {}
        while self._events:
            session, event = self._events.popleft()
            key = (session.stream_id, session.generation)
            if isinstance(event, RenditionCoded):
                coded.setdefault((key, event.rendition), []).append(event)
                continue
            self._send_coded(coded)
            self._on_event(key, session, event)
        self._send_coded(coded)

    def _on_event(
        self,
        key: StreamKey,
        session: Session,
        event: RenditionBegan | Ended | DeviceGone | EncoderLimitHit,
    ) -> None:
        match event:
            case RenditionBegan():
                stream = self._streams.get(key)
                if stream is None:
                    return
                name = session.ladder.renditions[event.rendition].name
                rendition = stream.logs.get(event.rendition)
                if rendition is None:
                    rendition = stream.logs[event.rendition] = RenditionOutput(*key, name)
                frames = rendition.begin(event.metadata, event.header)
                self._egresses.send((*key, name), frames)
            case Ended():
                self._on_ended(key, session, event)
            case EncoderLimitHit():
                self._on_cap_met(event)
            case DeviceGone():
                if self._met_loss is None:
                    # Until the loop has run on, whoever calls the driver meets it too.
                    self._met_loss = session
                    log.critical("device lost reason=%s", event.reason)
                    self._link.fatal(event.reason, ExitCode.DEVICE_LOST)
                    self.exit_code = ExitCode.DEVICE_LOST
                    self._stopped.set()

    def _on_cap_met(self, event: EncoderLimitHit) -> None:
        is_news = self._around.cap.is_news(
            event.open_sessions, time.monotonic(), is_again=event.is_again
        )
        log.log(
            logging.WARNING if is_news else logging.DEBUG,
            "encoder session refused open=%d reason=%s",
            event.open_sessions,
            event.reason,
        )
        if is_news:
            self._link.send(EncoderLimitReport(self.child, event.open_sessions, event.reason))

    def _on_ended(self, key: StreamKey, session: Session, event: Ended) -> None:
        stream = self._streams.pop(key, None)
        if stream is None:
            return
        if not self._streams:
            self._all_ended.set()
            self._opener.post_later(_return_memory, IDLE_S)
        level = logging.WARNING if event.trouble else logging.INFO
        log.log(
            level,
            "session ended stream=%s generation=%d reason=%s",
            stream_label(key[0]),
            key[1],
            event.reason,
        )
        frames = [encode(GenerationEnd(*key, event.reason))]
        self._egresses.send((*key, SHARED), frames)
        self._egresses.forget(*key)
        if event.trouble:
            self._counters["troubles"] += 1
            is_bystander = event.is_workers_own and session is not self._met_loss
            self._link.send(
                StreamTrouble(self.child, *key, event.reason, event.is_workers_own, is_bystander)
            )

    def _send_coded(self, coded: dict[tuple[StreamKey, int], list[RenditionCoded]]) -> None:
        now_s = time.monotonic()
        for (key, index), events in coded.items():
            stream = self._streams.get(key)
            if stream is None:
                continue
            session, rendition = stream.session, stream.logs[index]
            tags = [event.tag for event in events]
            # The players first: what is noted about it has time.
            self._egresses.send_tags(
                (*key, rendition.name), rendition.append(tags, now_s), is_start=tags[0].is_key
            )
            mux = f"mux:{rendition.name}"
            for event in events:
                session.output[index].add(len(event.tag.body), now_s)
                if not event.is_replay:
                    session.stages.add(mux, now_s - event.coded_s)
            session.last_pts_ms[index] = tags[-1].pts_ms
        coded.clear()

    def _catch_up(self) -> list[tuple[Rendition, Frames]]:
        return [
            ((*key, rendition.name), frames)
            for key, stream in self._streams.items()
            for rendition in stream.logs.values()
            for frames in rendition.catch_up()
        ]

    def _is_saturated(self) -> bool:
        """Whether there is a stream for every core of the host."""
        return len(self._streams) + self._elsewhere >= self._cores

    def _is_alone(self) -> bool:
        return len(self._streams) <= 1

    # ---- the supervisor -----------------------------------------------------------------------

    def hello(self) -> Hello:
        pid = os.getpid()
        return Hello(
            child=self.child,
            kind="worker",
            boot_id=self.boot_id,
            pid=pid,
            start_ticks=start_ticks(pid),
            endpoint=self.endpoint,
            device=self._backend.info,
            transcodes=self._status(),
        )

    def heartbeat(self) -> Heartbeat:
        awake_s = self._awake.tick(time.monotonic())
        for stream in self._streams.values():
            stream.session.watch(awake_s)
        counters = self._counters | {"tags_dropped": self._egresses.dropped}
        return Heartbeat(self.child, self.boot_id, transcodes=self._status(), counters=counters)

    def on_message(self, message: Any) -> None:
        match message:
            case Welcome():
                self._elsewhere = 0  # another supervisor has told nothing yet …
                self._around.cap.forget_told()  # … and was told nothing
                self._configure(message.settings)
                self._egresses.update(message.endpoints)
            case Configure():
                self._configure(message.settings)
            case Topology():
                self._egresses.update(message.endpoints)
            case EgressRoutes():
                self._egresses.route(message)
            case HostLoad():
                self._elsewhere = message.streams
            case Degrade():
                degraded = self._streams.get((message.stream_id, message.generation))
                if degraded is not None:
                    degraded.session.degrade(message.top_rate_divisor, message.dropped_renditions)
            case IngestLost():
                for (stream_id, generation), stream in self._streams.items():
                    if stream_id == message.stream_id and generation <= message.generation:
                        stream.session.end(message.reason)
            case _:
                self._counters["unreadable"] += 1

    def on_orphaned(self) -> None:
        self.exit_code = ExitCode.ORPHANED

    def _configure(self, settings: Settings) -> None:
        self.settings = settings
        logging.getLogger("tfarm").setLevel(settings.log_level)

    def _status(self) -> tuple[TranscodeStatus, ...]:
        now_s = time.monotonic()
        return tuple(stream.session.status(now_s) for stream in self._streams.values())

    # ---- the end ------------------------------------------------------------------------------

    async def _end_sessions(self) -> None:
        for stream in self._streams.values():
            stream.session.abandon("the worker is stopping")
        if self._streams:
            self._all_ended.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_ended.wait(), STOP_S)
        await asyncio.sleep(FLUSH_S)

    def _clean_up(self) -> None:
        self._opener.close()
        is_closed = self._opener.join(0.5)
        self._session_threads.close()
        self._egresses.close()
        self._inlet.close()
        self._bus.close()
        if is_closed and all(
            stream.session.state is SessionState.CLOSED for stream in self._streams.values()
        ):
            self._backend.close()


async def _tell_fatal(child: ChildName, run_dir: Path, reason: str, code: ExitCode) -> None:
    """Say why there will be no worker: before there is one, so on a link of its own."""
    bus = Bus()
    boot_id = new_boot_id()
    dealer = bus.dealer(control_address(run_dir), f"{child}/{boot_id}".encode(), lambda _: None)
    dealer.send([encode(Fatal(child, boot_id, reason, code))])
    await asyncio.sleep(2 * FLUSH_S)
    bus.close()


def run_worker(
    child: ChildName,
    run_dir: Path,
    device: str,
    *,
    threads: int,
    share: int,
    orphan_timeout_s: float,
) -> ExitCode:
    """The process's whole life; returns its exit code."""
    set_switch_interval(device)

    async def serve() -> ExitCode:
        loop = asyncio.get_running_loop()
        try:
            backend, session_threads = open_backend(device, threads, share)
            worker = Worker(
                child, run_dir, backend, session_threads, orphan_timeout_s=orphan_timeout_s
            )
        except BootFailed as error:
            log.error("device cannot be used device=%s reason=%s", device, error)
            await _tell_fatal(child, run_dir, str(error), ExitCode.BOOT_FAILED)
            return ExitCode.BOOT_FAILED
        except DeviceLost as error:
            log.error("device lost device=%s reason=%s", device, error)
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
