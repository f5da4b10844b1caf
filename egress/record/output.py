"""All recordings of a process, as an output of its egress (IO by their files)."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from common.config.hooks import HookEvent
from common.config.recording import Recording
from common.ipc.hook_messages import HookNotice, HookSubject
from common.ipc.identity import StreamId, split_stream_id
from common.ipc.record_messages import RecordState, RecordStatus
from common.process.log import PeerLines, more, stream_label
from egress.assigned import AssignedOutput
from egress.output import OutputContext
from egress.record.disk import TOO_SLOW, Done, FileQueue, Files, Finished, recover
from egress.record.names import app_folder, folder
from egress.record.recorder import Command, Recorder
from egress.sound.carried import FMP4, CarriedSound, carried
from egress.streams.rendition import Rendition
from egress.streams.stream import Stream
from egress.streams.subscribers import Start, Subscriber
from egress.streams.tag import Config, Tag

log = logging.getLogger("tfarm.egress.record.output")

THREADS: Final = 4  # that write; a disk that hangs keeps one
SESSION_BYTES: Final = 9
OVER: Final = "the stream is over"
Place = tuple[StreamId, str]
Notify = Callable[[HookNotice], object]


class Feed:
    """A `Subscriber` of one rendition: it gives what comes to its recorder, and on to the disk."""

    def __init__(
        self, output: "RecordOutput", place: Place, rule: Recording, context: OutputContext
    ) -> None:
        self.stream_id, self.name = place
        self._context, self._output = context, output
        self.app, self.key = split_stream_id(self.stream_id)
        where = folder(rule.directory, self.app, self.key, self.name)
        self.recorder = Recorder(self.stream_id, self.name, rule, where, context.clock())
        files = Files(app_folder(rule.directory, self.app), lambda: self.recorder.rule)
        self.queue = FileQueue(files, output.executor, self._on_done)
        self.session = secrets.token_urlsafe(SESSION_BYTES)
        self._rendition: Rendition | None = None
        self._taker: Subscriber | CarriedSound | None = None

    def follow(self, rendition: Rendition | None) -> None:
        """Subscribe to it, if that is not so; None: there is none now."""
        if rendition is self._rendition:
            return
        self.leave(OVER)
        self._rendition = rendition
        if rendition is not None:
            self._taker = carried(self, self.stream_id, FMP4, self._context.sounds())
            rendition.subscribe(self._taker, Start.FIRST)

    def leave(self, reason: str) -> None:
        """Take nothing more; the file is finished."""
        rendition, taker = self._rendition, self._taker
        self._rendition = self._taker = None
        if rendition is not None and taker is not None:
            rendition.unsubscribe(taker)
        if isinstance(taker, CarriedSound):
            taker.close()
        self._put(self.recorder.end(reason, self._context.clock()))

    # ---- the subscriber -----------------------------------------------------------------------

    def on_config(self, config: Config, /) -> None:
        self.recorder.configure(config)

    def on_units(self, tags: Sequence[Tag], /) -> None:
        before = self.recorder.state
        now = self._context.clock()
        self._put(self.recorder.append(tags, now, time.time()))
        self._log_if_failed(before)

    def on_end(self, reason: str, /) -> None:
        if isinstance(self._taker, CarriedSound):
            self._taker.close()
        self._taker = None
        self._put(self.recorder.end(reason, self._context.clock()))

    # ---- inside -------------------------------------------------------------------------------

    def _put(self, commands: Sequence[Command]) -> None:
        if commands and not self.queue.put(commands):
            self._failed(TOO_SLOW, self.recorder.state)

    def _on_done(self, done: Done) -> None:
        self._output.bytes += done.written
        before = self.recorder.state
        if done.written:
            self.recorder.written(done.written, self._context.clock())
        if done.problem:
            self._failed(done.problem, before)
        elif self.recorder.state is RecordState.RECORDING is not before:
            label = stream_label(self.stream_id)
            log.info("recording begins stream=%s rendition=%s", label, self.name)
        if done.lost:
            self._output.lost += done.lost
            log.error("recordings removed before their upload app=%s files=%d", self.app, done.lost)
        for finished in done.finished:
            self.recorder.files += 1
            self._output.files += 1
            self._report(finished)

    def _failed(self, reason: str, before: RecordState) -> None:
        self.recorder.failed(reason, self._context.clock())
        self._log_if_failed(before)

    def _log_if_failed(self, before: RecordState) -> None:
        if self.recorder.state is not RecordState.FAILED or before is RecordState.FAILED:
            return
        label, reason = stream_label(self.stream_id), self.recorder.reason
        held = self._output.lines.allow(f"{label} {self.name}", self._context.clock())
        if held is not None:
            log.error(
                "recording failed stream=%s rendition=%s reason=%s%s",
                label,
                self.name,
                reason,
                more(held),
            )

    def _report(self, file: Finished) -> None:
        subject = HookSubject(self.app, self.key, self.name, "", self.session, "record")
        self._output.notify(notice_of(subject, file))


class RecordOutput(AssignedOutput):
    """An `Output` that lets nobody in: it writes."""

    protocol = "record"

    def __init__(self, context: OutputContext, notify: Notify, directories: Sequence[Path]) -> None:
        """`notify` sends to the supervisor; `directories`: where this process may write."""
        super().__init__(context)
        self.notify = notify
        self.lines = PeerLines()
        self.bytes = self.files = 0  # that this process has written
        self.lost = 0  # files that it removed before they were uploaded
        self._directories = directories
        self.executor = ThreadPoolExecutor(THREADS, "record")
        self._feeds: dict[Place, Feed] = {}
        self._is_recovered = asyncio.Event()

    def status(self) -> tuple[RecordStatus, ...]:
        """All recordings."""
        now = self._context.clock()
        return tuple(feed.recorder.status(now) for feed in self._feeds.values())

    async def recover(self) -> None:
        """Finish what a process before this one left behind; nothing is recorded before."""
        loop = asyncio.get_running_loop()
        for directory in self._directories:
            for file in await loop.run_in_executor(self.executor, recover, directory):
                self._report_recovered(file)
        self._is_recovered.set()
        self._reconcile()

    # ---- an output ----------------------------------------------------------------------------

    @property
    def counters(self) -> Mapping[str, int]:
        recorders = [feed.recorder for feed in self._feeds.values()]
        states = [recorder.state for recorder in recorders]
        counts = {f"record {state}": states.count(state) for state in RecordState}
        own = {"recorded bytes": self.bytes, "recorded files": self.files}
        return counts | own | {"recorded lost": self.lost}

    def serves(self) -> bool:
        return bool(self._feeds)

    def on_stream(self, stream: Stream) -> None:
        """Subscribe before the first tag comes."""
        for (stream_id, name), feed in self._feeds.items():
            if stream_id == stream.stream_id:
                feed.follow(self._rendition_of(stream_id, name))

    def check(self, now: float) -> None:
        for (stream_id, name), feed in self._feeds.items():
            self._context.request_stream(stream_id, name)
            feed.follow(self._rendition_of(stream_id, name))

    async def stop(self, reason: str) -> None:
        self.close(reason)
        await asyncio.gather(*(feed.queue.drain() for feed in self._feeds.values()))

    def close(self, reason: str) -> None:
        for feed in self._feeds.values():
            feed.leave(reason)

    # ---- inside -------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Begin what is new, end what is over."""
        if not self._is_recovered.is_set():
            return
        wanted = {
            (stream, name): template.recording
            for stream in self._streams
            for app, key in [split_stream_id(stream)]
            if (template := self._settings.template(app)) is not None
            if template.recording.takes(key)
            for name in template.recording.renditions
        }
        for place, feed in tuple(self._feeds.items()):
            rule = wanted.get(place)
            if rule is None or rule.directory != feed.recorder.rule.directory:
                feed.leave(OVER)
                del self._feeds[place]
            else:
                feed.recorder.rule = rule
        for place, rule in wanted.items():
            if place not in self._feeds:
                self._feeds[place] = Feed(self, place, rule, self._context)
                self._context.request_stream(*place)

    def _report_recovered(self, file: Finished) -> None:
        app, key, rendition = map(unquote, file.path.parts[-4:-1])
        self.files += 1
        session = secrets.token_urlsafe(SESSION_BYTES)
        self.notify(notice_of(HookSubject(app, key, rendition, "", session, "record"), file))


def notice_of(subject: HookSubject, file: Finished) -> HookNotice:
    """What an app's hook is told of a finished file."""
    return HookNotice(
        HookEvent.RECORDED,
        subject,
        time.time(),
        file.seconds,
        file.size,
        file.reason,
        file=str(file.path),
    )
