"""One process's part of a calibration's trials (IO: threads, codecs, the clock).

Runs real sessions, as a worker would, fed at the clip's pace by one thread, their frames spread
over a frame interval and their keyframes over a GOP. Where a device has several workers, each
process has its part of a trial's streams; `trial_processes.py` holds them together. Where encoder
processes encode, this one has all of them, and hands pictures over (`trial_encoders.py`).
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from common.config.ladder import Ladder, Pipeline, RenditionFormat, Template
from common.errors import WorkerError
from common.ipc.control_messages import DeviceInfo, Endpoint
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import AccessUnit, StreamStart
from common.media.clock import ClockReference
from common.media.units import VideoCodec
from worker.bench.capacity_search import Part
from worker.bench.clip import LoopClip
from worker.bench.trial_encoders import TrialEncoders
from worker.devices.backend import Backend, Decoder, EncodedUnit, Encoder, Scaler, Surface
from worker.pool.memory import PicturePool
from worker.session.context import SessionContext, SessionKey
from worker.session.events import DeviceGone, Ended, Event, RenditionCoded
from worker.session.load import StreamLoad
from worker.session.session import Session, SessionState
from worker.threads import JobThread, SessionThreads

OPEN_TIMEOUT_S = 60.0
DRAIN_S = 0.5  # for the last frames
# A stream's first frames wait for plans, pools and encoders; those of many must not come at once.
WARM_UP_S = 1.5  # and no longer than a trial is
STAGGER_S = 0.05  # a stream …
MOST_STAGGER_S = 5.0  # … and all of them
QUEUE_MS = 1000  # as a worker has by default


class Meter:
    """CPU time inside decoders and encoders, and how late frames came out; any thread adds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_open = False
        self.decode_s = 0.0
        self.encode_s = 0.0
        self.delays_ms: dict[int, list[float]] = {}  # by rendition, from when its unit was due
        self.troubles: list[str] = []

    def add(self, *, decode_s: float = 0.0, encode_s: float = 0.0) -> None:
        if self.is_open:
            with self._lock:
                self.decode_s += decode_s
                self.encode_s += encode_s

    def coded(self, rendition: int, received_s: float) -> None:
        """Note a coded picture whose access unit was due then."""
        delay_ms = (time.monotonic() - received_s) * 1000
        if self.is_open:
            with self._lock:
                self.delays_ms.setdefault(rendition, []).append(delay_ms)

    def take(self, key: SessionKey, event: Event) -> None:
        """Note what a session posts."""
        match event:
            case RenditionCoded(rendition=rendition, tag=tag):
                self.coded(rendition, tag.received_s)
            case Ended(reason, trouble) if trouble:
                self.troubles.append(reason)
            case DeviceGone(reason):
                self.troubles.append(reason)
            case _:
                pass


class _MeteredDecoder:
    def __init__(self, decoder: Decoder, meter: Meter) -> None:
        self._decoder = decoder
        self._meter = meter
        self.reconfigure = decoder.reconfigure
        self.flush = decoder.flush
        self.look = decoder.look
        self.snapshot = decoder.snapshot
        self.close = decoder.close

    def decode(self, data: bytes, dts_ms: int, pts_ms: int) -> Any:
        begin = time.thread_time()
        try:
            return self._decoder.decode(data, dts_ms, pts_ms)
        finally:
            self._meter.add(decode_s=time.thread_time() - begin)


class _MeteredEncoder:
    def __init__(self, encoder: Encoder, meter: Meter) -> None:
        self._encoder = encoder
        self._meter = meter
        self.config = encoder.config
        self.flush = encoder.flush
        self.close = encoder.close

    def encode(self, surface: Surface, *, force_idr: bool) -> Sequence[EncodedUnit]:
        begin = time.thread_time()
        try:
            return self._encoder.encode(surface, force_idr=force_idr)
        finally:
            self._meter.add(encode_s=time.thread_time() - begin)


class MeteredBackend:
    """A device whose decoders and encoders say what CPU time they take."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.meter = Meter()

    @property
    def info(self) -> DeviceInfo:
        return self._backend.info

    def open_decoder(self, config: Any, sps: Any) -> Decoder:
        return _MeteredDecoder(self._backend.open_decoder(config, sps), self.meter)

    def open_scaler(self, ladder: Ladder, sps: Any) -> Scaler:
        return self._backend.open_scaler(ladder, sps)

    def open_shared_scaler(self, ladder: Ladder, sps: Any, pool: PicturePool) -> Scaler:
        return self._backend.open_shared_scaler(ladder, sps, pool)

    def open_encoder(self, rendition: RenditionFormat, sps: Any, fps: Fraction) -> Encoder:
        return _MeteredEncoder(self._backend.open_encoder(rendition, sps, fps), self.meter)

    def close(self) -> None:
        self._backend.close()


class Bench:
    """The streams of this process, on one device: opened, fed, closed, again and again."""

    def __init__(
        self,
        backend: Backend,
        threads: SessionThreads,
        template: Template,
        clip: LoopClip,
        encoders: Sequence[Endpoint] = (),
    ) -> None:
        """`encoders`: the processes that encode; none: this one does.

        Raises WorkerError.
        """
        self._backend = MeteredBackend(backend)
        self._threads = threads
        self._template = template
        self._clip = clip
        self._cores = len(os.sched_getaffinity(0))
        self._opener = JobThread("opener")
        self._generation = 0
        self._indices: Sequence[int] = ()
        self._total = 0
        self._sessions: list[Session] = []
        self._encoders = TrialEncoders(encoders, self._find, self._on_coded) if encoders else None

    @property
    def frame_s(self) -> float:
        return float(1 / self._clip.fps)

    def usage(self) -> Any:
        """Return what will see how busy the device is, from now on; None in software."""
        if self._backend.info.path is Pipeline.SOFTWARE:
            return None
        from worker.devices.gpu.usage import GpuUsage

        return GpuUsage(self._backend.info.name)

    def open(self, indices: Sequence[int], total: int) -> None:
        """These of all streams of a trial. Raises WorkerError when one does not open."""
        self._indices, self._total = indices, total
        meter = self._backend.meter = Meter()
        load = StreamLoad(self._cores)
        load.own, load.elsewhere = len(indices), total - len(indices)
        context = SessionContext(
            self._backend,
            self._threads,
            self._opener,
            load,
            self._post,
            lambda _: True,
            shares_pictures=self._encoders is not None,
        )
        self._sessions = [self._session(index, context) for index in indices]
        if not _in_time(lambda: all(s.state is not SessionState.OPENING for s in self._sessions)):
            raise WorkerError(f"sessions do not open within {OPEN_TIMEOUT_S:g} s")
        if meter.troubles:
            raise WorkerError(meter.troubles[0])

    def close(self) -> None:
        """End them, and give back what they held of the device. Raises WorkerError."""
        sessions, self._sessions = self._sessions, []
        for session in sessions:
            session.abandon("the trial is over")
        if not _in_time(lambda: all(s.state is SessionState.CLOSED for s in sessions)):
            raise WorkerError("sessions do not close")
        if "cupy" in sys.modules:
            sys.modules["cupy"].get_default_memory_pool().free_all_blocks()

    def end(self) -> None:
        """Let go of the encoder processes."""
        if self._encoders is not None:
            self._encoders.close()

    def feed(self, begin: float, seconds: float, usage: Any = None) -> Part:
        """The clip from `begin` (CLOCK_MONOTONIC) on; `seconds` of it count, once it is warm."""
        meter, sessions, frame_s = self._backend.meter, self._sessions, self.frame_s
        stagger_s = _stagger_s(self._total)
        warm, end = counted_time(begin, seconds, self._total)
        cpu = wall = 0.0
        counts = [0, 0]
        k = 0
        while (due := begin + k * frame_s) < end and not meter.troubles:
            if not meter.is_open and due >= warm:
                meter.is_open = True
                cpu, wall = time.process_time(), time.monotonic()
                counts = self._counts()
            for index, session in zip(self._indices, sessions, strict=True):
                first = int(stagger_s * index / self._total / frame_s)
                if k < first:
                    continue
                at = due + index * frame_s / self._total
                wait_s = at - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                self._put(session, k - first, at, self._offset_ms(index))
            if usage is not None and meter.is_open:
                usage.sample()
            k += 1
        meter.is_open = False
        cpu, wall = time.process_time() - cpu, max(time.monotonic() - wall, 1e-6)
        time.sleep(DRAIN_S)
        after = self._counts()
        return Part(
            units=after[0] - counts[0],
            missing=after[1] - counts[1] + len(meter.troubles),
            cores=cpu / wall,
            decode=meter.decode_s / wall,
            encode=meter.encode_s / wall,
            delays_ms={rendition: tuple(delays) for rendition, delays in meter.delays_ms.items()},
        )

    def _session(self, index: int, context: SessionContext) -> Session:
        self._generation += 1
        name = StreamId(f"{self._template.name}/calibrate-{index}")
        generation = Generation(self._generation)
        start = StreamStart(
            name, generation, self._template, VideoCodec.H264, ClockReference(0, time.monotonic())
        )
        return Session(start, self._clip.record, context, QUEUE_MS)

    def _post(self, key: SessionKey, event: Event) -> None:
        """Take what a session posts; from any thread."""
        self._backend.meter.take(key, event)
        if self._encoders is not None:
            self._encoders.post(key, event)

    def _find(self, key: SessionKey) -> Session | None:
        return next((session for session in self._sessions if session.key == key), None)

    def _on_coded(self, key: SessionKey, rendition: int, received_s: float) -> None:
        self._backend.meter.coded(rendition, received_s)

    def _counts(self) -> list[int]:
        """Units fed so far, and frames lost of all."""
        now = time.monotonic()
        statuses = [session.status(now) for session in self._sessions]
        lost = sum(
            status.dropped + status.dropped_by_renditions + status.decode_errors
            for status in statuses
        )
        return [sum(status.frames_in for status in statuses), lost]

    def _offset_ms(self, index: int) -> int:
        """Where in the GOP a stream begins: keyframes of many publishers don't fall together."""
        return self._template.gop_ms * index // self._total

    def _put(self, session: Session, k: int, due_s: float, offset_ms: int) -> None:
        unit = self._clip.unit(k)
        header = AccessUnit(
            *session.key,
            k,
            VideoCodec.H264,
            0,
            offset_ms + unit.dts_ms,
            unit.composition_ms,
            unit.is_key,
            due_s,
        )
        session.put(header, unit.data, time.monotonic())


def counted_time(begin: float, seconds: float, streams: int) -> tuple[float, float]:
    """When what a trial does begins and ends to count: once its last stream is warm."""
    warm = begin + _stagger_s(streams) + min(WARM_UP_S, seconds)
    return warm, warm + seconds


def _stagger_s(streams: int) -> float:
    """From the first stream's beginning to the last one's."""
    return min(MOST_STAGGER_S, STAGGER_S * (streams - 1))


def _in_time(is_so: Callable[[], bool]) -> bool:
    """Wait for it, as long as sessions may take to open or close; whether it came to be."""
    deadline = time.monotonic() + OPEN_TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
