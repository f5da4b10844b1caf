"""The sessions of a worker, and what becomes of their events (on the worker's loop).

Sessions post events from their own threads; these come to the loop through one deque and one
wake-up. What is coded goes to the egresses before anything is noted about it.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from common.errors import ExitCode
from common.ipc.bus import Bus
from common.ipc.control_messages import EncoderLimitReport, SessionEnd, StreamTrouble
from common.ipc.egresses import Egresses, Rendition
from common.ipc.envelope import encode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import SHARED, GenerationEnd, StreamStart
from common.ipc.status_messages import TranscodeStatus
from common.ipc.tag_link import TagLink
from common.process import heap
from common.process.log import stream_label
from common.process.stage_times import DelayCounts
from worker.devices.table import OpenDevice
from worker.encoders.processes import EncoderProcesses
from worker.output.rendition_output import RenditionOutput
from worker.session.context import SessionContext, SessionKey
from worker.session.events import (
    DeviceGone,
    EncoderLimitHit,
    EncodingWanted,
    Ended,
    Event,
    PicturesScaled,
    RenditionBegan,
    RenditionCoded,
    RenditionRests,
)
from worker.session.load import StreamLoad
from worker.session.session import Session, SessionState
from worker.threads import JobThread

log = logging.getLogger("tfarm.worker.session.registry")


class _Entry:
    """A session and the outputs of its renditions, by index in the ladder."""

    def __init__(self, session: Session, *, is_cold: bool) -> None:
        self.session = session
        self.is_cold = is_cold  # nothing is made of it
        self.outputs: dict[int, RenditionOutput] = {}


class Sessions:
    """All sessions of a worker; call everything from its loop, but for `_post`."""

    def __init__(
        self,
        child: ChildId,
        device: OpenDevice,
        bus: Bus,
        report: Callable[[Any], None],
        report_fatal: Callable[[str, ExitCode], None],
    ) -> None:
        """`report` sends a message to the supervisor, `report_fatal` that the worker must end."""
        self.started = 0
        self.troubles = 0
        self.egresses = Egresses(self.catch_up, partial(TagLink, bus))
        self.encoders = EncoderProcesses(bus, child) if device.shares_pictures else None
        self.load = StreamLoad(len(os.sched_getaffinity(0)))
        self._child = child
        self._report = report
        self._report_fatal = report_fatal
        self._loop = asyncio.get_running_loop()
        self._all_ended = asyncio.Event()
        self._opener = JobThread("opener")
        self._context = SessionContext(
            device.backend,
            device.threads,
            self._opener,
            self.load,
            self._post,
            self.egresses.has_players,
            device.shares_pictures,
        )
        self._entries: dict[SessionKey, _Entry] = {}
        self._events: deque[tuple[SessionKey, Event]] = deque()
        self._met_loss: SessionKey | None = None  # the first to report that the device is gone
        self._is_woken = False

    def __iter__(self) -> Iterator[Session]:
        return (entry.session for entry in self._entries.values())

    def get(self, stream_id: StreamId, generation: Generation) -> Session | None:
        """The session of this stream and generation."""
        entry = self._entries.get((stream_id, generation))
        return entry.session if entry is not None else None

    def newest(self, stream_id: StreamId) -> Session | None:
        """The session of this stream's latest generation."""
        found = [key for key in self._entries if key[0] == stream_id]
        return self._entries[max(found, key=lambda key: key[1])].session if found else None

    def start(self, start: StreamStart, record: bytes, queue_ms: int) -> None:
        """Open a session, unless there is one of this generation or a later one."""
        key = (start.stream_id, start.generation)
        others = [entry for entry in self._entries if entry[0] == start.stream_id]
        if any(generation >= start.generation for _, generation in others):
            return
        if start.splice_ms is None:
            # no make before break: nobody will end the old one
            for other in others:
                self._entries[other].session.abandon("replaced")
        self._entries[key] = _Entry(
            Session(start, record, self._context, queue_ms), is_cold=start.wanted == ()
        )
        self._count_own()
        self.started += 1

    def want(self, session: Session, renditions: Sequence[str], after_ms: int | None) -> None:
        """Have a session make these renditions alone from here on."""
        session.want(renditions, after_ms)
        self._entries[session.key].is_cold = not renditions
        self._count_own()

    def _count_own(self) -> None:
        """Note how many streams something is made of: those that rest take no time of others."""
        self.load.own = sum(not entry.is_cold for entry in self._entries.values())

    def end_up_to(self, stream_id: StreamId, generation: Generation, reason: str) -> None:
        """End the stream's sessions up to this generation."""
        for (other, number), entry in self._entries.items():
            if other == stream_id and number <= generation:
                entry.session.end(reason)

    def measuring(self) -> dict[str, int]:
        """What measuring quality took, for heartbeats."""
        return self._context.measurer.counters()

    def delays(self, now_s: float) -> dict[str, DelayCounts]:
        """How long the stages took, of all sessions; empty: as the last time."""
        return self._context.delays.reported(now_s)

    def status(self, now_s: float) -> tuple[TranscodeStatus, ...]:
        return tuple(session.status(now_s) for session in self)

    def catch_up(self) -> list[tuple[Rendition, RenditionOutput]]:
        """Return what an egress that knows nothing must be sent the last of."""
        return [
            ((*key, output.name), output)
            for key, entry in self._entries.items()
            for output in entry.outputs.values()
        ]

    def on_new_supervisor(self) -> None:
        """Another supervisor has reported nothing yet, and was reported nothing."""
        self.load.elsewhere = 0
        self._context.encoder_limit.forget_reports()

    async def end_all(self, timeout_s: float) -> None:
        """Abandon all sessions and wait for their ends."""
        for session in self:
            session.abandon("the worker is stopping")
        if self._entries:
            self._all_ended.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_ended.wait(), timeout_s)

    def close(self) -> bool:
        """End the opener's thread; whether nothing uses the device any more."""
        self._context.measurer.close()
        self._opener.close()
        is_joined = self._opener.join(0.5)
        return is_joined and all(session.state is SessionState.CLOSED for session in self)

    # ---- what sessions report -----------------------------------------------------------------

    def _post(self, key: SessionKey, event: Event) -> None:
        """From any thread."""
        self._events.append((key, event))
        if not self._is_woken:
            self._is_woken = True
            try:
                self._loop.call_soon_threadsafe(self._take_events)
            except RuntimeError:
                log.debug("an event after the end what=%s", type(event).__name__)

    def _take_events(self) -> None:
        self._is_woken = False
        coded: dict[tuple[SessionKey, int], list[RenditionCoded]] = {}
        while self._events:
            key, event = self._events.popleft()
            if isinstance(event, RenditionCoded):
                coded.setdefault((key, event.rendition), []).append(event)
                continue
            self._send_coded(coded)
            self._on_event(key, event)
        self._send_coded(coded)

    def _send_coded(self, coded: dict[tuple[SessionKey, int], list[RenditionCoded]]) -> None:
        now_s = time.monotonic()
        for (key, index), events in coded.items():
            entry = self._entries.get(key)
            if entry is None:
                continue
            output, counts = entry.outputs[index], entry.session.counts
            tags = [event.tag for event in events]
            # The players first: what is noted about it has time.
            self.egresses.send_tags(
                (*key, output.name), output.append(tags, now_s), is_start=tags[0].is_key
            )
            mux = f"mux:{output.name}"
            for event in events:
                counts.renditions[index].sent(len(event.tag.body), now_s)
                if not event.is_replay:
                    counts.stages.add(mux, now_s - event.coded_s)
            counts.renditions[index].last_pts_ms = tags[-1].pts_ms
        coded.clear()

    def _on_event(
        self,
        key: SessionKey,
        event: Event,
    ) -> None:
        match event:
            case PicturesScaled():
                if self.encoders is not None:
                    self.encoders.hand_over(key, event)
            case EncodingWanted():
                entry = self._entries.get(key)
                if entry is not None and self.encoders is not None:
                    self.encoders.open(key, event, entry.session)
            case RenditionBegan():
                entry = self._entries.get(key)
                if entry is None:
                    return
                name = entry.session.ladder.renditions[event.rendition].name
                output = entry.outputs.get(event.rendition)
                if output is None:
                    output = entry.outputs[event.rendition] = RenditionOutput(
                        *key, name, keeps_last=lambda: self.egresses.takes_last_gop
                    )
                frames = output.begin(event.video, event.metadata, event.header)
                self.egresses.send((*key, name), frames)
            case RenditionRests():
                self._on_rests(key, event.rendition)
            case Ended():
                self._on_ended(key, event)
            case EncoderLimitHit():
                self._on_encoder_limit(event)
            case DeviceGone():
                if self._met_loss is None:
                    # Until the loop has run on, whoever calls the driver meets it too.
                    self._met_loss = key
                    log.critical("device lost reason=%s", event.reason)
                    self._report_fatal(event.reason, ExitCode.DEVICE_LOST)

    def _on_rests(self, key: SessionKey, rendition: int) -> None:
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.session.counts.renditions[rendition].has_rested = True
        if self.encoders is not None:
            self.encoders.rest(key, rendition)
        elif rendition in entry.outputs:
            resting = entry.outputs[rendition]
            self.egresses.send((*key, resting.name), resting.rest())

    def _on_encoder_limit(self, event: EncoderLimitHit) -> None:
        is_news = self._context.encoder_limit.is_news(
            event.open_sessions, time.monotonic(), is_again=event.is_again
        )
        log.log(
            logging.WARNING if is_news else logging.DEBUG,
            "encoder session refused open=%d reason=%s",
            event.open_sessions,
            event.reason,
        )
        if is_news:
            self._report(EncoderLimitReport(self._child, event.open_sessions, event.reason))

    def _on_ended(self, key: SessionKey, event: Ended) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._count_own()
        if not self._entries:
            self._all_ended.set()
            self._opener.post_later(heap.give_back, heap.IDLE_S)
        level = logging.WARNING if event.trouble else logging.INFO
        log.log(
            level,
            "session ended stream=%s generation=%d reason=%s",
            stream_label(key[0]),
            key[1],
            event.reason,
        )
        self._report(SessionEnd(self._child, entry.session.status(time.monotonic())))
        # who encodes the last of it says so
        if self.encoders is None or not self.encoders.end(key, event.reason):
            frames = [encode(GenerationEnd(*key, event.reason))]
            self.egresses.send((*key, SHARED), frames)
        self.egresses.forget(*key)
        self.egresses.forget(*key)
        if event.trouble:
            self.troubles += 1
            is_bystander = event.is_workers_own and key != self._met_loss
            self._report(
                StreamTrouble(self._child, *key, event.reason, event.is_workers_own, is_bystander)
            )
