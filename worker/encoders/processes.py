"""The encoder processes of a worker (IO: one link an incarnation, and the memory's way there).

A stream comes to a process with its pool and an opening, then its pictures; the process answers
with what is done. A process whose link breaks is gone: the places of its pictures come back, and
its streams go to others, each with a keyframe. Where there is none, streams wait for one.
"""

import logging
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from common.ipc.bus import Bus
from common.ipc.control_messages import Endpoint
from common.ipc.encoder_messages import (
    EncodedPicture,
    EncodedRendition,
    EncoderClose,
    EncoderDone,
    EncoderLost,
    EncoderMeasured,
    EncoderOpen,
    EncoderPictures,
    EncoderRest,
    ScaledPicture,
)
from common.ipc.envelope import encode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_link import MediaSender
from common.process.log import stream_label
from worker.encoders.choice import (
    ProcessName,
    better_than,
    first_turn,
    least_loaded,
    weight,
)
from worker.encoders.encoded_stream import EncodedStream, HandedOver
from worker.pool.passing import PoolSender
from worker.quality.ssim import Likeness
from worker.session.events import EncodingWanted, PicturesScaled

log = logging.getLogger("tfarm.worker.encoders.processes")

NO_PROCESS_S: Final = 10.0  # that a stream waits for one: time for some to start

SessionKey = tuple[StreamId, Generation]


class TakesMeasurements(Protocol):
    """What a session keeps of its renditions' quality."""

    def on_measured(self, rendition: int, likeness: Likeness) -> None:
        """How much a keyframe is like the picture that it was made of."""
        ...


class EncodedSession(Protocol):
    """A session's calls for what becomes of its pictures; from the loop."""

    @property
    def quality(self) -> TakesMeasurements: ...

    def on_picture_done(self, rendition: int, done: EncodedPicture | None) -> None:
        """A picture's place is free again; None: it was not encoded."""
        ...

    def on_rendition_lost(self, rendition: int, pts_ms: int, reason: str) -> None:
        """The rendition's encoder has failed."""
        ...

    def on_encoder_changed(self) -> None:
        """Make the next picture a keyframe."""
        ...

    def on_no_encoder(self, reason: str) -> None:
        """Nobody encodes its pictures, and nobody will."""
        ...


class _Link(MediaSender):
    """A link that tells when it comes up and when it breaks."""

    def __init__(
        self,
        bus: Bus,
        address: str,
        on_answer: Callable[[Any], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        super().__init__(bus, address, on_answer)
        self._when_up, self._when_down = on_up, on_down

    def on_up(self) -> None:
        self._when_up()

    def on_down(self) -> None:
        self._when_down()


@dataclass(slots=True)
class _Process:
    """One incarnation of an encoder process."""

    link: MediaSender
    pools: PoolSender

    def close(self) -> None:
        self.link.close()
        self.pools.close()


@dataclass(slots=True)
class _Entry:
    """A session whose pictures are encoded elsewhere."""

    key: SessionKey
    wanted: EncodingWanted
    session: EncodedSession
    stream: EncodedStream
    waits_since_s: float  # for a process, if it has none


class EncoderProcesses:
    """All encoder processes, and the streams that they have; call everything from the loop."""

    def __init__(self, bus: Bus, worker: ChildId) -> None:
        self._bus = bus
        self._turn = first_turn(worker)
        self._processes: dict[ProcessName, _Process] = {}
        self._entries: dict[SessionKey, _Entry] = {}

    def __len__(self) -> int:
        return len(self._processes)

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        """The farm's children as they are now."""
        wanted = {(end.child, end.boot_id): end for end in endpoints if end.pictures}
        for name in [name for name in self._processes if name not in wanted]:
            self._remove(name)
        for name, endpoint in wanted.items():
            if name not in self._processes:
                self._processes[name] = _Process(
                    _Link(
                        self._bus,
                        endpoint.pictures,
                        self._on_answer,
                        self._serve_waiting,
                        partial(self._lose, name),
                    ),
                    PoolSender(endpoint.pools),
                )
                log.info("encoder process found child=%s", name[0])
        self._serve_waiting()

    def open(self, key: SessionKey, wanted: EncodingWanted, session: EncodedSession) -> None:
        """Have a session's pictures encoded from now on."""
        load = weight(
            [(one, float(fps)) for one, fps in zip(wanted.renditions, wanted.fps, strict=True)]
        )
        entry = _Entry(key, wanted, session, EncodedStream(wanted.fps, load), time.monotonic())
        self._entries[key] = entry
        self._place(entry)

    def hand_over(self, key: SessionKey, scaled: PicturesScaled) -> None:
        """Have a picture encoded for its renditions."""
        entry = self._entries.get(key)
        if entry is None:
            return
        stream = entry.stream
        if scaled.is_key and not stream.needs_key and stream.is_idle:
            self._move(entry)
        if stream.takes(is_key=scaled.is_key) and self._send(entry, scaled):
            return
        for picture in scaled.pictures:
            entry.session.on_picture_done(picture.rendition, None)

    def rest(self, key: SessionKey, rendition: int) -> None:
        """A rendition gets no pictures until one comes that opens its encoder anew."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.stream.resting.add(rendition)
            if (process := self._find(entry.stream.process)) is not None:
                self._send_rest(process, entry, rendition)

    def end(self, key: SessionKey, reason: str) -> bool:
        """A session has handed all over; whether its process tells egress of the end."""
        entry = self._entries.pop(key, None)
        return entry is not None and self._close(entry, reason, is_end=True)

    def watch(self, now_s: float) -> None:
        """Give up the streams that wait for a process in vain. Call it about once a second."""
        for entry in list(self._entries.values()):
            if entry.stream.process is None and now_s - entry.waits_since_s > NO_PROCESS_S:
                self._entries.pop(entry.key)
                entry.session.on_no_encoder("no encoder process takes its pictures")

    def close(self) -> None:
        for process in self._processes.values():
            process.close()
        self._processes.clear()
        self._entries.clear()

    # ---- which process ------------------------------------------------------------------------

    def _find(self, name: ProcessName | None) -> _Process | None:
        """The process of that name, if it takes pictures now."""
        process = self._processes.get(name) if name is not None else None
        return process if process is not None and process.link.is_there else None

    def _loads(self, tried: Container[ProcessName] = ()) -> dict[ProcessName, float]:
        """What each process has, without those that were tried."""
        loads = {name: 0.0 for name in self._processes if self._find(name) and name not in tried}
        for entry in self._entries.values():
            if entry.stream.process in loads:
                loads[entry.stream.process] += entry.stream.weight
        return loads

    def _place(self, entry: _Entry) -> None:
        """Open a stream that no process has at the one with the least to do."""
        tried: set[ProcessName] = set()
        while (name := least_loaded(self._loads(tried), self._turn)) is not None:
            if self._open_at(entry, name):
                entry.session.on_encoder_changed()
                return
            tried.add(name)

    def _move(self, entry: _Entry) -> None:
        """At a keyframe: let another process go on, where one has less to do."""
        stream = entry.stream
        if stream.process is None:
            return
        name = better_than(stream.process, stream.weight, self._loads(), self._turn)
        if name is not None:
            self._close(entry, "moved", is_end=False)
            if not self._open_at(entry, name):
                self._wait(entry)
                self._place(entry)

    def _open_at(self, entry: _Entry, name: ProcessName) -> bool:
        process, pool = self._find(name), entry.wanted.pool
        if process is None or not process.pools.send(pool.name, pool.fd):
            return False
        stream, wanted = entry.stream, entry.wanted
        opening = stream.open_at(name)
        renditions = tuple(
            EncodedRendition(rendition, fps, number, places.pitch, places.offset)
            for rendition, fps, number, places in zip(
                wanted.renditions,
                stream.fps,
                stream.first_numbers,
                pool.layout.renditions,
                strict=True,
            )
        )
        message = EncoderOpen(
            *entry.key,
            opening,
            pool.name,
            pool.layout.pictures,
            wanted.queue_ms,
            wanted.source.pictures,
            renditions,
        )
        if not process.link.send([encode(message)]):
            stream.lose()
            return False
        for rendition in sorted(stream.resting):
            self._send_rest(process, entry, rendition)
        log.debug("stream opened stream=%s encoder=%s", stream_label(entry.key[0]), name[0])
        return True

    # ---- to a process -------------------------------------------------------------------------

    def _send(self, entry: _Entry, scaled: PicturesScaled) -> bool:
        """Send a picture; False: its process does not take it, and is left."""
        stream = entry.stream
        process = self._find(stream.process)
        message = EncoderPictures(
            *entry.key,
            stream.opening,
            scaled.pts_ms,
            scaled.is_key,
            scaled.is_replay,
            scaled.received_s,
            scaled.scaled_s,
            tuple(map(_as_sent, scaled.pictures)),
            scaled.is_saturated,
        )
        frames = [encode(message), *(picture.sei for picture in scaled.pictures)]
        if process is None or not process.link.send(frames):
            if stream.process is not None:
                self._lose(stream.process)
            return False
        stream.hand_over(scaled.pictures, is_key=scaled.is_key)
        return True

    @staticmethod
    def _send_rest(process: _Process, entry: _Entry, rendition: int) -> None:
        """One that cannot be sent is of a link that breaks: the next process is told."""
        process.link.send([encode(EncoderRest(*entry.key, entry.stream.opening, rendition))])

    def _close(self, entry: _Entry, reason: str, *, is_end: bool) -> bool:
        """Have its process close it; False: none has it."""
        process = self._find(entry.stream.process)
        if process is None:
            return False
        message = EncoderClose(*entry.key, entry.stream.opening, reason, is_end)
        return process.link.send([encode(message)])

    # ---- from a process -----------------------------------------------------------------------

    def _on_answer(self, message: Any) -> None:
        if not isinstance(message, EncoderDone | EncoderLost | EncoderMeasured):
            return
        entry = self._entries.get((message.stream_id, message.generation))
        if entry is None:
            return
        match message:
            case EncoderDone(opening=opening, pictures=pictures):
                for picture in pictures:
                    if entry.stream.done(opening, (picture.rendition, picture.slot)):
                        entry.session.on_picture_done(picture.rendition, picture)
            case EncoderLost(opening=opening, rendition=rendition):
                is_known = 0 <= rendition < len(entry.stream.fps)
                if opening == entry.stream.opening and is_known:
                    entry.session.on_rendition_lost(rendition, message.pts_ms, message.reason)
            case EncoderMeasured(opening=opening, rendition=rendition):
                is_known = 0 <= rendition < len(entry.stream.fps)
                if opening == entry.stream.opening and is_known:
                    likeness = Likeness(message.ssim, message.psnr_db)
                    entry.session.quality.on_measured(rendition, likeness)

    # ---- processes that go, and streams without one -------------------------------------------

    def _remove(self, name: ProcessName) -> None:
        """A process is not one of the farm any more."""
        process = self._processes.pop(name)
        process.close()
        log.info("encoder process gone child=%s", name[0])
        self._lose(name)

    def _lose(self, name: ProcessName) -> None:
        """A process takes nothing more: its streams go to others."""
        process = self._processes.get(name)
        if process is not None:
            process.pools.close()  # one that is there after all drops what it has
        entries = [entry for entry in self._entries.values() if entry.stream.process == name]
        if entries:
            log.warning("encoder process lost child=%s streams=%d", name[0], len(entries))
        for entry in entries:
            self._wait(entry)
        for entry in entries:
            self._place(entry)

    def _wait(self, entry: _Entry) -> None:
        entry.waits_since_s = time.monotonic()
        for rendition in entry.stream.lose():
            entry.session.on_picture_done(rendition, None)

    def _serve_waiting(self) -> None:
        for entry in list(self._entries.values()):
            if entry.stream.process is None:
                self._place(entry)


def _as_sent(picture: HandedOver) -> ScaledPicture:
    fps = picture.fps
    if fps is None:
        return ScaledPicture(picture.rendition, picture.slot, 0, 1, picture.begins)
    return ScaledPicture(
        picture.rendition, picture.slot, fps.numerator, fps.denominator, picture.begins
    )
