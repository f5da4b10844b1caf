"""The encoder process put together (IO): pictures in from workers, tags out to egress.

A worker passes the memory of a stream's pictures (`worker/pool/passing.py`), opens the stream and
sends where its pictures lie; it hears which places are free again. The loop's thread only moves
messages; threads encode. What a worker had here goes with it. A thread in which a picture hangs
ends the process: its streams are encoded by others, from a keyframe on.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from common.config.settings import Settings
from common.errors import EncodeFailed, EnvelopeError, ExitCode
from common.ipc.child import ChildProcess
from common.ipc.control_messages import EgressRoutes, Endpoint, Heartbeat, Hello
from common.ipc.egresses import Egresses, Rendition
from common.ipc.encoder_messages import (
    EncodedPicture,
    EncoderClose,
    EncoderDone,
    EncoderLost,
    EncoderOpen,
    EncoderPictures,
    EncoderRest,
)
from common.ipc.endpoint import UNIX
from common.ipc.envelope import decode_frames, encode
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.kinds import KINDS
from common.ipc.media_listener import Sender
from common.ipc.media_messages import SHARED, GenerationEnd
from common.ipc.tag_link import TagLink
from common.process import heap
from common.process.awake_clock import AwakeClock
from common.process.log import RateLimit, more, stream_label
from worker.devices.turns import Turns
from worker.encoder.egress_links import EgressLinks
from worker.encoder.stream import (
    EncodingContext,
    PictureEvent,
    RenditionMeasured,
    RenditionRested,
    StreamEncoders,
    StreamEvent,
    places_of,
)
from worker.output.rendition_output import RenditionOutput
from worker.pool.layout import problem
from worker.pool.memory import MappedPool, PoolRefused
from worker.pool.passing import PoolListener
from worker.session.events import RenditionBegan, RenditionCoded
from worker.threads import OwnThreads

log = logging.getLogger("tfarm.worker.encoder.run")

# A thread that waits for the GIL has a picture done, and its place in the pool is waited for.
SWITCH_INTERVAL_S: Final = 0.0005
STOP_S: Final = 1.0  # for the pictures that came
FLUSH_S: Final = 0.05  # for the last messages to leave
ANSWER_S: Final = 0.02  # that free places wait for those of other renditions, for one message
WAITING_TURNS: Final = 2  # beyond its part of the cores: those that wait for the GIL, done
MAX_STREAMS: Final = 512

StreamKey = tuple[StreamId, Generation, int]
OwnedKey = tuple[int, StreamKey]  # with the process of the worker that has opened it


@dataclass(slots=True)
class _Stream:
    """A stream that a worker has opened here."""

    key: StreamKey  # with the number of the opening
    encoders: StreamEncoders
    sender: Sender
    egresses: Egresses  # that its worker's tags go to
    outputs: dict[int, RenditionOutput] = field(default_factory=dict)
    end: EncoderClose | None = None
    done: list[EncodedPicture] = field(default_factory=list)  # that the worker has not heard of
    answer: asyncio.TimerHandle | None = None  # when it will at the latest

    @property
    def owned_key(self) -> OwnedKey:
        """Its key among those of all workers: none speaks of another one's stream."""
        return self.sender.pid, self.key

    def begin(self, began: RenditionBegan) -> None:
        """Tell the egresses what a rendition is."""
        output = self.outputs.get(began.rendition)
        if output is None:
            given = self.encoders.renditions[began.rendition].given
            output = self.outputs[began.rendition] = RenditionOutput(
                *self.key[:2],
                given.format.name,
                given.first_number,
                for_worker=self.sender.child,
                keeps_last=lambda: self.egresses.takes_last_gop,
            )
        frames = output.begin(began.video, began.metadata, began.header)
        self.egresses.send((*self.key[:2], output.name), frames)

    def rest(self, rested: RenditionRested) -> None:
        """Tell the egresses that a rendition rests, and before that what it is."""
        if rested.began is not None:
            self.begin(rested.began)
        output = self.outputs.get(rested.rendition)
        if output is not None:
            self.egresses.send((*self.key[:2], output.name), output.rest())


class EncoderService:
    """A `ChildService`."""

    def __init__(self, process: ChildProcess, encoder_threads: int, share: int) -> None:
        """`share` processes, this one included, encode on the host's cores."""
        self._process = process
        self._settings = Settings()
        self._counters = dict.fromkeys(("streams", "unreadable", "pictures", "lost"), 0)
        self._lines = RateLimit()
        self._loop = asyncio.get_running_loop()
        self._streams: dict[OwnedKey, _Stream] = {}
        self._events: deque[tuple[StreamEncoders, StreamEvent | None]] = deque()
        self._of: dict[StreamEncoders, _Stream] = {}
        self._is_woken = False
        self._all_ended = asyncio.Event()
        cores = max(1, len(os.sched_getaffinity(0)) // share)
        self._threads = OwnThreads(groups_small_encoders=True)
        self._context = EncodingContext(
            self._threads,
            Turns(max(1, cores // encoder_threads) + WAITING_TURNS),
            encoder_threads,
            self._post,
        )
        self._links = EgressLinks(partial(TagLink, process.bus), self._catch_up)
        self._listener = process.listener("pictures", self._on_frames)
        pictures, pools = self._listener.address, process.address("pools", UNIX)
        self._endpoint = Endpoint(process.child, process.boot_id, pictures=pictures, pools=pools)
        self._pools = PoolListener(pools, self._on_worker_lost)
        self._awake = AwakeClock(2 * KINDS["encoder"].heartbeat_s)

    @property
    def streams(self) -> int:
        """Return how many are open."""
        return len(self._streams)

    # ---- the supervisor -----------------------------------------------------------------------

    def hello(self) -> Hello:
        return self._process.new_hello(self._endpoint)

    def heartbeat(self) -> Heartbeat:
        self._watch(self._awake.tick(time.monotonic()))
        counters = self._counters | {
            "streams": len(self._streams),
            "tags_dropped": self._links.dropped,
            "denied": self._listener.denied,
            "unreadable": self._counters["unreadable"] + self._listener.unreadable,
            **self._context.measurer.counters(),
        }
        return self._process.new_heartbeat(counters=counters)

    def configure(self, settings: Settings) -> None:
        self._settings = settings

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        self._pools.follow(endpoints)
        self._links.update(endpoints)

    def on_welcome(self) -> None: ...

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        match message:
            case EgressRoutes():
                self._links.route(message)
            case _:
                log.warning("unexpected control message kind=%s", type(message).__name__)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return ()

    async def end(self) -> None:
        """Encode what came."""
        for stream in self._streams.values():
            stream.encoders.close()
        if self._streams:
            try:
                async with asyncio.timeout(STOP_S):
                    await self._all_ended.wait()
            except TimeoutError:
                log.warning("pictures not encoded streams=%d", len(self._streams))
        await asyncio.sleep(FLUSH_S)

    def close(self) -> None:
        self._context.measurer.close()
        self._threads.close()
        self._links.close()
        self._listener.close()
        self._pools.close()

    def _watch(self, awake_s: float) -> None:
        limit_s = self._settings.worker.hang_timeout_s
        for stream in self._streams.values():
            stalled_s = stream.encoders.stalled_s(awake_s)
            if stalled_s > limit_s:
                label = stream_label(stream.key[0])
                reason = f"a picture of {label} has been encoded for {stalled_s:.1f} s"
                self._process.fail(reason, ExitCode.FAILED)
                return

    # ---- from workers -------------------------------------------------------------------------

    def _on_frames(self, frames: list[bytes], sender: Sender) -> None:
        try:
            message, payloads = decode_frames(frames)
            match message:
                case EncoderPictures():
                    self._on_pictures(message, payloads, sender)
                case EncoderOpen():
                    self._open(message, sender)
                case EncoderClose():
                    stream = self._streams.get((sender.pid, _key(message)))
                    if stream is not None and stream.end is None:
                        stream.end = message
                        stream.encoders.close()
                case EncoderRest():
                    self._rest(message, sender)
                case _:
                    raise EnvelopeError(f"a {type(message).__name__} is not for an encoder")
        except EnvelopeError as error:
            self._counters["unreadable"] += 1
            if (held := self._lines.allow(self._loop.time())) is not None:
                log.warning("unreadable message error=%s%s", error, more(held))

    def _on_pictures(
        self, message: EncoderPictures, payloads: Sequence[bytes], sender: Sender
    ) -> None:
        stream = self._streams.get((sender.pid, _key(message)))
        if stream is None:
            return  # it has failed, or its worker is gone
        if len(payloads) != len(message.pictures):
            raise EnvelopeError(f"{len(payloads)} payloads for {len(message.pictures)} pictures")
        if not all(map(stream.encoders.can_take, message.pictures)):
            raise EnvelopeError("a picture whose place is not there")
        self._counters["pictures"] += len(message.pictures)
        stream.encoders.put(message, payloads)

    def _rest(self, message: EncoderRest, sender: Sender) -> None:
        stream = self._streams.get((sender.pid, _key(message)))
        if stream is None:
            return  # it has failed, or its worker is gone
        if not stream.encoders.has(message.rendition):
            raise EnvelopeError(f"no rendition {message.rendition} to rest")
        stream.encoders.rest(message.rendition)

    def _open(self, message: EncoderOpen, sender: Sender) -> None:
        """Open a stream. One that cannot be opened is lost, rendition by rendition."""
        key = _key(message)
        descriptor = self._pools.take(sender.pid, message.pool)
        try:
            if descriptor is None:
                raise EncodeFailed("the memory of its pictures never came")
            pool = MappedPool(descriptor)
            places = [places_of(rendition) for rendition in message.renditions]
            wrong = problem(places, message.pictures, pool.size)
            is_taken = (sender.pid, key) in self._streams
            if wrong or not places or len(self._streams) >= MAX_STREAMS or is_taken:
                raise EncodeFailed(wrong or "it is not to be had here")
            encoders = StreamEncoders(message, pool, self._context)
        except (EncodeFailed, PoolRefused) as error:
            reason = str(error)  # not the error, which keeps the memory in its frames
            log.warning(
                "stream not opened stream=%s reason=%s", stream_label(message.stream_id), reason
            )
            self._pools.forget(sender.pid, message.pool)
            for rendition in range(len(message.renditions)):
                sender.answer([encode(EncoderLost(*key, rendition, 0, reason))])
            return
        finally:
            if descriptor is not None:
                os.close(descriptor)
        stream = _Stream(key, encoders, sender, self._links.of(sender.child))
        self._streams[stream.owned_key] = self._of[encoders] = stream
        self._all_ended.clear()

    def _on_worker_lost(self, pid: int, pools: set[str]) -> None:
        """Drop what a worker had here: another one makes it anew."""
        lost = [
            stream
            for stream in self._streams.values()
            if stream.sender.pid == pid and stream.encoders.pool in pools
        ]
        for stream in lost:
            if not stream.encoders.is_closing:
                log.info("worker gone stream=%s", stream_label(stream.key[0]))
                stream.encoders.close(drop=True)

    # ---- from the threads ---------------------------------------------------------------------

    def _post(self, encoders: StreamEncoders, event: StreamEvent | None) -> None:
        """From any thread."""
        self._events.append((encoders, event))
        if not self._is_woken:
            self._is_woken = True
            try:
                self._loop.call_soon_threadsafe(self._take_events)
            except RuntimeError:
                log.debug("an event after the end")

    def _take_events(self) -> None:
        self._is_woken = False
        touched: dict[OwnedKey, _Stream] = {}
        while self._events:
            encoders, event = self._events.popleft()
            stream = self._of.get(encoders)
            if stream is None:
                continue
            if event is None:
                self._answer(stream)
                self._on_closed(stream)
                continue
            if isinstance(event, RenditionMeasured):
                stream.sender.answer([encode(event.message(stream.key))])
                continue
            if isinstance(event, RenditionRested):
                stream.rest(event)
                continue
            self._on_picture(stream, event)
            touched[stream.owned_key] = stream
        for stream in touched.values():
            encoders = stream.encoders
            if encoders.is_idle or len(stream.done) >= len(encoders.renditions):
                self._answer(stream)
            elif stream.answer is None:
                stream.answer = self._loop.call_later(ANSWER_S, self._answer, stream)

    def _on_picture(self, stream: _Stream, event: PictureEvent) -> None:
        """Send what came of a picture, then note that its place is free."""
        size, coded_s = 0, 0.0
        now_s = time.monotonic()
        for result in event.results:
            match result:
                case RenditionBegan():
                    stream.begin(result)
                case RenditionCoded(tag=tag):
                    output = stream.outputs[event.rendition]
                    frames = output.append([tag], now_s)
                    rendition = (*stream.key[:2], output.name)
                    stream.egresses.send_tags(rendition, frames, is_start=tag.is_key)
                    size += len(tag.body)
                    coded_s = result.coded_s
        if event.lost:
            self._counters["lost"] += 1
            lost = EncoderLost(*stream.key, event.rendition, event.pts_ms, event.lost)
            stream.sender.answer([encode(lost)])
        mux_s = max(0.0, now_s - coded_s) if coded_s else 0.0
        stream.done.append(
            EncodedPicture(
                event.rendition,
                event.slot,
                event.pts_ms,
                size,
                event.handover_s,
                event.encode_s,
                mux_s,
            )
        )

    def _answer(self, stream: _Stream) -> None:
        """Tell the worker which places are free.

        An answer wakes three threads, here and there, so those of a picture's renditions go
        together: at once where nothing of the stream is left to do.
        """
        if stream.answer is not None:
            stream.answer.cancel()
            stream.answer = None
        done, stream.done = stream.done, []
        if done:
            stream.sender.answer([encode(EncoderDone(*stream.key, tuple(done)))])

    def _on_closed(self, stream: _Stream) -> None:
        """The last thread is done with it."""
        end, key = stream.end, stream.key
        if end is not None and end.is_end:
            frames = [encode(GenerationEnd(*key[:2], end.reason))]
            stream.egresses.send((*key[:2], SHARED), frames)
        del self._streams[stream.owned_key], self._of[stream.encoders]
        pid = stream.sender.pid
        if not any(owner == pid and other[:2] == key[:2] for owner, other in self._streams):
            stream.egresses.forget(*key[:2])
        self._pools.forget(pid, stream.encoders.pool)
        stream.encoders.release()
        if not self._streams:
            self._all_ended.set()
            self._loop.call_later(heap.IDLE_S, self._give_memory_back)

    def _give_memory_back(self) -> None:
        if not self._streams:
            heap.give_back()

    def _catch_up(self, worker: ChildId | None) -> list[tuple[Rendition, RenditionOutput]]:
        """Return what an egress that knows nothing must be sent of a worker's streams."""
        return [
            ((*stream.key[:2], output.name), output)
            for stream in self._streams.values()
            if stream.sender.child == worker
            for output in stream.outputs.values()
        ]


def _key(message: EncoderOpen | EncoderPictures | EncoderRest | EncoderClose) -> StreamKey:
    return message.stream_id, message.generation, message.opening
