"""How many streams of a template a device keeps in real time (IO: threads, codecs, the clock).

`python -P -m worker.calibrate --device cpu|UUID --template APP [--config FILE] [--clip FILE]
[--seconds S]` runs real sessions, as a worker would, fed at the clip's pace by one thread, their
frames spread over a frame interval and their keyframes over a GOP. On stdout a JSON object a line:
`{"trial": …}` for each trial, `{"result": …}` or `{"error": why}` at the end. `capacity.py` has the
search.
"""

import argparse
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from common.control_messages import DeviceInfo
from common.errors import ConfigError, ExitCode, WorkerError
from common.identity import Generation, StreamId
from common.ladder import Ladder, Rung, Template
from common.ladder import Path as ServingPath
from common.media_messages import AccessUnit, StreamStart
from common.settings import Settings
from worker.backend import Backend, Decoder, EncodedUnit, Encoder, Scaler, Surface
from worker.capacity import CapacitySearch, Trial, confirmations, percentile
from worker.clip_file import LoopClip, generated, read_clip
from worker.events import DeviceGone, Ended, Event, RungCoded
from worker.lanes import Lane, Lanes
from worker.session import Session, SessionState, Surroundings

OPEN_TIMEOUT_S = 60.0
DRAIN_S = 0.5  # for the last frames
# A stream's first frames wait for plans, pools and encoders; those of many must not come at once.
WARM_UP_S = 1.5  # and no longer than a trial is
STAGGER_S = 0.05  # a stream …
MOST_STAGGER_S = 5.0  # … and all of them
SEARCH_SHARE = 6  # a trial of the search takes this part of a confirming one …
SEARCH_RANGE_S = (2.0, 10.0)  # … between these, and never more than the whole
QUEUE_MS = 1000  # as a worker has by default


class Meter:
    """CPU time inside decoders and encoders, and how late frames came out; any thread adds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_open = False
        self.decode_s = 0.0
        self.encode_s = 0.0
        self.delays_ms: dict[int, list[float]] = {}  # by rung, from when its unit was due
        self.troubles: list[str] = []

    def add(self, *, decode_s: float = 0.0, encode_s: float = 0.0) -> None:
        if self.is_open:
            with self._lock:
                self.decode_s += decode_s
                self.encode_s += encode_s

    def take(self, session: Session, event: Event) -> None:
        """What a session posts."""
        match event:
            case RungCoded(rung=rung, tag=tag):
                delay_ms = (time.monotonic() - tag.received_s) * 1000
                if self.is_open:
                    with self._lock:
                        self.delays_ms.setdefault(rung, []).append(delay_ms)
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

    def open_encoder(self, rung: Rung, sps: Any, fps: Fraction) -> Encoder:
        return _MeteredEncoder(self._backend.open_encoder(rung, sps, fps), self.meter)

    def close(self) -> None:
        self._backend.close()


@dataclass(frozen=True, slots=True)
class Use:
    """Of a GPU: shares of its engines, and bytes of its memory."""

    decode: float = 0.0
    scale: float = 0.0
    encode: float = 0.0
    memory_bytes: int = 0


class Bench:
    """Runs trials on one device."""

    def __init__(self, backend: Backend, lanes: Lanes, template: Template, clip: LoopClip) -> None:
        self._backend = MeteredBackend(backend)
        self._lanes = lanes
        self._template = template
        self._clip = clip
        self._opener = Lane("opener")
        self._is_gpu = backend.info.path is not ServingPath.SOFTWARE
        self._generation = 0
        # Of each rung, the p99 of a lone stream's delay: what the work itself takes, keyframes too.
        # Lateness is what comes on top of it.
        self._alone_ms: dict[int, float] = {}

    def run(self, streams: int, seconds: float) -> Trial:
        """So many streams for so long. Raises WorkerError when one does not open."""
        meter = self._backend.meter = Meter()
        usage = self._usage()
        is_patient = streams >= len(os.sched_getaffinity(0))
        around = Surroundings(
            self._backend,
            self._lanes,
            self._opener,
            threading.Lock(),
            meter.take,
            is_alone=lambda: False,
            is_patient=lambda _: is_patient,
        )
        sessions = [self._session(index, around) for index in range(streams)]
        try:
            self._wait_open(sessions, meter)
            return self._feed(sessions, meter, usage, seconds)
        finally:
            for session in sessions:
                session.abandon("the trial is over")
            self._wait_closed(sessions)

    def _session(self, index: int, around: Surroundings) -> Session:
        self._generation += 1
        name = StreamId(f"{self._template.name}/calibrate-{index}")
        generation = Generation(self._generation)
        start = StreamStart(name, generation, self._template, 0, time.monotonic())
        return Session(start, self._clip.record, around, QUEUE_MS)

    def _wait_open(self, sessions: Sequence[Session], meter: Meter) -> None:
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while any(session.state is SessionState.OPENING for session in sessions):
            if time.monotonic() > deadline:
                raise WorkerError(f"sessions do not open within {OPEN_TIMEOUT_S:g} s")
            time.sleep(0.01)
        if meter.troubles:
            raise WorkerError(meter.troubles[0])

    def _wait_closed(self, sessions: Sequence[Session]) -> None:
        deadline = time.monotonic() + OPEN_TIMEOUT_S
        while any(s.state is not SessionState.CLOSED for s in sessions):
            if time.monotonic() > deadline:
                raise WorkerError("sessions do not close")
            time.sleep(0.01)

    def _feed(self, sessions: Sequence[Session], meter: Meter, usage: Any, seconds: float) -> Trial:
        frame_s = float(1 / self._clip.fps)
        stagger_s = min(MOST_STAGGER_S, STAGGER_S * (len(sessions) - 1))
        begin = time.monotonic() + 0.1
        warm = begin + stagger_s + min(WARM_UP_S, seconds)
        end = warm + seconds
        cpu = wall = 0.0
        use = Use()
        counts = [0, 0]
        k = 0
        while (due := begin + k * frame_s) < end and not meter.troubles:
            if not meter.is_open and due >= warm:
                meter.is_open = True
                cpu, wall = time.process_time(), time.monotonic()
                counts = self._counts(sessions)
            for index, session in enumerate(sessions):
                first = int(stagger_s * index / len(sessions) / frame_s)
                if k < first:
                    continue
                at = due + index * frame_s / len(sessions)
                wait_s = at - time.monotonic()
                if wait_s > 0:
                    time.sleep(wait_s)
                self._put(session, k - first, at, self._offset_ms(index, len(sessions)))
            if usage is not None and meter.is_open:
                usage.sample()
            k += 1
        meter.is_open = False
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        if usage is not None:
            use = Use(*usage.means())
        time.sleep(DRAIN_S)
        after = self._counts(sessions)
        units, lost = after[0] - counts[0], after[1] - counts[1]
        return self._trial(meter, use, len(sessions), units, lost, cpu, max(wall, 1e-6))

    def _trial(
        self,
        meter: Meter,
        use: Use,
        streams: int,
        units: int,
        lost: int,
        cpu_s: float,
        wall_s: float,
    ) -> Trial:
        if not self._alone_ms:
            self._alone_ms = {
                rung: percentile(sorted(delays), 0.99) for rung, delays in meter.delays_ms.items()
            }
        late = sorted(
            delay_ms - self._alone_ms.get(rung, 0.0)
            for rung, delays in meter.delays_ms.items()
            for delay_ms in delays
        )
        delays = sorted(delay_ms for values in meter.delays_ms.values() for delay_ms in values)
        cores = cpu_s / wall_s
        trial = Trial(
            streams,
            round(percentile(delays, 0.5), 2),
            round(percentile(late, 0.99), 2) if late else float("inf"),
            float(1000 / self._clip.fps),
            units,
            lost + len(meter.troubles),
            cores,
        )
        if self._is_gpu:
            return replace(
                trial,
                decode=use.decode,
                scale=use.scale,
                encode=use.encode,
                memory_bytes=use.memory_bytes,
            )
        decode, encode = meter.decode_s / wall_s, meter.encode_s / wall_s
        # Scaling runs in both threads of a stream: it is what is left, with the session's own work.
        return replace(trial, decode=decode, encode=encode, scale=max(0.0, cores - decode - encode))

    @staticmethod
    def _counts(sessions: Sequence[Session]) -> list[int]:
        """Units fed so far, and frames lost of all."""
        now = time.monotonic()
        statuses = [session.status(now) for session in sessions]
        lost = sum(status.dropped + status.skipped + status.decode_errors for status in statuses)
        return [sum(status.frames_in for status in statuses), lost]

    def _offset_ms(self, index: int, streams: int) -> int:
        """Where in the GOP a stream begins: keyframes of many publishers don't fall together."""
        return self._template.gop_ms * index // streams

    def _put(self, session: Session, k: int, due_s: float, offset_ms: int) -> None:
        unit = self._clip.unit(k)
        header = AccessUnit(
            session.stream_id,
            session.generation,
            k,
            offset_ms + unit.dts_ms,
            unit.composition_ms,
            unit.is_key,
            due_s,
        )
        session.put(header, unit.data, time.monotonic())

    def _usage(self) -> Any:
        if not self._is_gpu:
            return None
        from worker.gpu.usage import GpuUsage

        return GpuUsage(self._backend.info.name)


def calibrate(bench: Bench, host_cores: int, seconds: float) -> Trial | None:
    """The largest trial that keeps real time, confirmed; None when not even one stream does."""
    low, high = SEARCH_RANGE_S
    short_s = min(seconds, max(low, min(high, seconds / SEARCH_SHARE)))
    search = CapacitySearch(host_cores)
    while (streams := search.next()) is not None:
        trial = bench.run(streams, short_s)
        _say({"trial": asdict(trial)})
        search.observe(trial)
    for streams in confirmations(search.found):
        trial = bench.run(streams, seconds)
        _say({"trial": asdict(trial)})
        if trial.keeps_real_time:
            return trial
    return None


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The answer. Raises WorkerError, ConfigError, ValueError (no such template, bad clip)."""
    from common.config import load
    from worker.run import open_backend, set_switch_interval

    settings = load(arguments.config) if arguments.config is not None else Settings()
    template = settings.template(arguments.template)
    if template is None or not template.renditions:
        raise ValueError(f"no template with renditions is called {arguments.template}")
    clip = read_clip(arguments.clip) if arguments.clip is not None else generated(template)
    set_switch_interval(arguments.device)
    backend, lanes = open_backend(arguments.device, settings.software.encoder_threads)
    host_cores = len(os.sched_getaffinity(0))
    bench = Bench(backend, lanes, template, clip)
    trial = calibrate(bench, host_cores, arguments.seconds)
    result = {
        "path": backend.info.path.value,
        "label": backend.info.label,
        "source": [clip.width, clip.height, max(1, round(clip.fps))],
        "host_cores": host_cores,
        "trial": asdict(trial) if trial is not None else None,
    }
    return {"result": result}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="worker.calibrate", description=__doc__)
    parser.add_argument("--device", required=True, help="cpu, or a GPU's UUID")
    parser.add_argument("--template", required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    if not arguments.device.startswith("cpu"):
        # before any CUDA library is imported: no context, no memory on any other GPU
        os.environ["CUDA_VISIBLE_DEVICES"] = arguments.device
    logging.disable(logging.WARNING)
    try:
        _say(run(arguments))
    except (WorkerError, ConfigError, ValueError) as error:
        _say({"error": str(error)})
        return ExitCode.FAILED
    return ExitCode.OK


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # lanes and drivers are not taken apart
