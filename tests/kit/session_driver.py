"""Streams made for the worker's tests, and a session driven without a process around it.

`Source` is what ingest would send: a record and AVCC access units. `Driver` runs a session on the
software device and gathers what it says; `Output` decodes a rendition the way a strict player
would.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from numpy.typing import NDArray

from common.config.ladder import Rendition, Template
from common.flv.video import VideoPacket, parse_video
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import AccessUnit, StreamStart
from common.media.clock import ClockReference
from common.media.units import VideoCodec
from tests.kit.coded import CodedUnit
from tests.kit.coded_video import DECODERS
from tests.kit.waiting import patient
from worker.devices.backend import Backend
from worker.devices.software.decode import MILLISECONDS
from worker.devices.software.device import SoftBackend
from worker.session.context import SessionContext
from worker.session.events import DeviceGone, Ended, Event, RenditionBegan, RenditionCoded
from worker.session.load import StreamLoad
from worker.session.session import Session
from worker.threads import JobThread, OwnThreads

STREAM = StreamId("live/test")
DEADLINE_S = patient(30.0)


@dataclass(frozen=True)
class SourceSpec:
    """What a source is made of."""

    frames: int = 60
    width: int = 320
    height: int = 180
    fps: Fraction = Fraction(30)
    start_ms: int = 0
    gop_frames: int = 30
    b_frames: int = 0
    pixel_format: str = "yuv420p"
    profile: str = ""
    sar: Fraction = Fraction(1)
    interlaced: bool = False
    times_ms: tuple[int, ...] = ()  # instead of a constant rate
    x264: str = ""  # more of its parameters
    brightness: int = 0  # of the moving pattern's dark end
    colour: tuple[int, int, int, int] = (2, 2, 2, 1)  # primaries, transfer, matrix, range

    def pts_ms(self, index: int) -> int:
        if self.times_ms:
            return self.times_ms[index]
        return self.start_ms + round(index * 1000 / self.fps)


@dataclass(frozen=True)
class Source:
    record: bytes
    units: tuple[CodedUnit, ...]
    codec: VideoCodec = VideoCodec.H264

    @property
    def pts_ms(self) -> list[int]:
        return sorted(unit.pts_ms for unit in self.units)


def pattern(spec: SourceSpec, index: int) -> VideoFrame:
    """Frame `index`: a slope that moves, colours that turn."""
    x = np.arange(spec.width, dtype=np.int32)[None, :]
    y = np.arange(spec.height, dtype=np.int32)[:, None]
    luma = 30 + spec.brightness + (x * 2 + y + 7 * index) % 160
    chroma = np.full((spec.height // 2, spec.width), 90 + index % 60, np.int32)
    planes = np.concatenate((luma, chroma)).astype(np.uint8)
    frame = VideoFrame.from_ndarray(planes[: spec.height * 3 // 2], format="yuv420p")
    if spec.pixel_format != "yuv420p":
        frame = frame.reformat(format=spec.pixel_format)
    frame.pts = spec.pts_ms(index)
    frame.time_base = MILLISECONDS
    return frame


def plane_of(frame: VideoFrame, index: int) -> NDArray[np.uint8]:
    """A plane of a frame, without its padding."""
    plane = frame.planes[index]
    rows: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    return rows.reshape(plane.height, plane.line_size)[:, : plane.width]


def make_source(spec: SourceSpec = SourceSpec()) -> Source:
    """Encode the pattern as a publisher would."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height = spec.width, spec.height
    context.pix_fmt = spec.pixel_format
    context.time_base = MILLISECONDS
    context.framerate = spec.fps
    context.sample_aspect_ratio = spec.sar
    context.gop_size = spec.gop_frames
    context.max_b_frames = spec.b_frames
    context.thread_count = 1
    context.flags |= Flags.global_header
    primaries, transfer, matrix, value_range = spec.colour
    context.color_primaries, context.color_trc = primaries, transfer
    context.colorspace, context.color_range = matrix, value_range
    fps = spec.fps
    parameters = ["annexb=0", "scenecut=0", "force-cfr=1", f"fps={fps.numerator}/{fps.denominator}"]
    if spec.interlaced:
        parameters.append("tff=1")
    if spec.x264:
        parameters.append(spec.x264)
    context.options = {"preset": "ultrafast", "x264-params": ":".join(parameters)}
    if spec.b_frames:
        context.options = context.options | {"preset": "veryfast"}
    if spec.profile:
        context.options = context.options | {"profile": spec.profile}
    packets = []
    for index in range(len(spec.times_ms) or spec.frames):
        frame = pattern(spec, index)
        frame.pict_type = PictureType.NONE
        packets += context.encode(frame)
    packets += context.encode(None)
    first = min(packet.dts or 0 for packet in packets)
    # FLV has no negative times: what is decoded early moves all DTS, never a PTS, of a stream
    shift = spec.pts_ms(0) - first
    units = [
        CodedUnit(
            dts_ms=(packet.dts or 0) + (shift if not spec.b_frames else 0),
            pts_ms=packet.pts or 0,
            is_key=packet.is_keyframe,
            data=bytes(packet),
        )
        for packet in packets
    ]
    return Source(bytes(context.extradata or b""), tuple(units))


SMALL = (
    Rendition("big", 320, 180, 400_000, Fraction(30), "main", "p1"),
    Rendition("small", 160, 90, 150_000, Fraction(15), "baseline", "p1"),
)


def template(renditions: Sequence[Rendition] = SMALL, gop_ms: int = 1000) -> Template:
    return Template("live", tuple(renditions), gop_ms=gop_ms)


def access_units(
    source: Source, *, generation: int = 1, first_number: int = 0, replay: bool = False
) -> Iterator[tuple[AccessUnit, bytes]]:
    """The source's units as bus messages, all received now."""
    for number, unit in enumerate(source.units, first_number):
        header = AccessUnit(
            STREAM,
            Generation(generation),
            number,
            source.codec,
            0,
            unit.dts_ms,
            unit.pts_ms - unit.dts_ms,
            unit.is_key,
            time.monotonic(),
            replay,
        )
        yield header, unit.data


@dataclass
class Output:
    """What a rendition gave."""

    headers: list[bytes] = field(default_factory=list)
    metadata: list[bytes] = field(default_factory=list)
    tags: list[tuple[int, bool, bytes, int]] = field(default_factory=list)
    received_s: list[float] = field(default_factory=list)
    # a tag's last number: how many headers had come by then

    @property
    def pts_ms(self) -> list[int]:
        return [tag[0] for tag in self.tags]

    @property
    def keys_ms(self) -> list[int]:
        return [tag[0] for tag in self.tags if tag[1]]

    def units(self) -> list[bytes]:
        bodies = [parse_video(tag[2]) for tag in self.tags]
        assert all(body.packet is VideoPacket.NALUS for body in bodies)
        return [body.data for body in bodies]

    def decode(self) -> list[VideoFrame]:
        """Decode strictly, as FFmpeg does with `-err_detect explode -xerror`."""
        frames: list[VideoFrame] = []
        for index, header in enumerate(self.headers, 1):
            codec = parse_video(header).codec
            assert codec is not None
            context = av.CodecContext.create(DECODERS[codec], "r")
            assert isinstance(context, VideoCodecContext)
            context.extradata = parse_video(header).data
            context.thread_count = 1
            context.options = {"err_detect": "explode"}
            for pts_ms, _, body, headers in self.tags:
                if headers == index:
                    packet = av.Packet(parse_video(body).data)
                    packet.pts = packet.dts = pts_ms
                    packet.time_base = MILLISECONDS
                    frames += context.decode(packet)
            frames += context.decode(None)
        assert not any(frame.is_corrupt for frame in frames)
        return frames


def check(output: Output, size: tuple[int, int], pixel_format: str = "yuv420p") -> None:
    """A rendition decodes strictly, all of it, in the size asked for."""
    frames = output.decode()
    assert [frame.pts for frame in frames] == output.pts_ms
    assert {(frame.width, frame.height) for frame in frames} == {size}
    assert {frame.format.name for frame in frames} == {pixel_format}


def join_all_but(others: Set[threading.Thread]) -> None:
    """Wait for the end of every thread but these: threads are told to end, not waited for."""
    for thread in set(threading.enumerate()) - others:
        thread.join(DEADLINE_S)
        assert not thread.is_alive(), thread.name


class Driver:
    """A session, its threads, and what it said."""

    def __init__(
        self,
        source: Source,
        ladder: Template,
        *,
        backend: Backend | None = None,
        queue_ms: int = 100_000,
        generation: int = 1,
        threads: OwnThreads | None = None,
        is_alone: bool = True,
        has_players: Callable[[], bool] = lambda: True,
        is_saturated: bool = False,
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = lambda: 0.0,
        **start: Any,
    ) -> None:
        self.outputs: dict[str, Output] = {}
        self.ended: Ended | None = None
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._number = 0
        self._generation = generation
        self._opener = JobThread("opener")
        self._threads = threads or OwnThreads()
        load = StreamLoad(cores=3)
        load.own = 1 if is_alone else 2
        load.elsewhere = 3 if is_saturated else 0
        self.context = SessionContext(
            backend or SoftBackend("cpu:0"),
            self._threads,
            self._opener,
            load,
            lambda _, event: self.events.put(event),
            lambda _: has_players(),
            clock=clock,
            cpu_clock=cpu_clock,
        )
        message = StreamStart(
            STREAM,
            Generation(generation),
            ladder,
            source.codec,
            ClockReference(0, time.monotonic()),
        )
        self.session = Session(replace(message, **start), source.record, self.context, queue_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.session.abandon("the test is over")
        self._opener.close()
        assert self._opener.join(DEADLINE_S)
        self._threads.close()

    def feed(
        self,
        source: Source,
        *,
        replay: bool = False,
        skip: Sequence[int] = (),
        in_real_time: bool = False,
    ) -> None:
        """Put all units in at once; those of the indexes in `skip` are lost on the way.

        `in_real_time`: as if each had come when it is due, the first one now.
        """
        units = access_units(
            source, generation=self._generation, first_number=self._number, replay=replay
        )
        now_s = time.monotonic()
        for index, (header, data) in enumerate(units):
            self._number = header.number + 1
            if index not in skip:
                late_s = (header.dts_ms - source.units[0].dts_ms) / 1000 * in_real_time
                self.session.put(header, data, now_s + late_s)

    def run(self) -> dict[str, Output]:
        """Gather events until the session ends."""
        while self.ended is None:
            self.take(self.events.get(timeout=DEADLINE_S))
        return self.outputs

    def finish(self, reason: str = "done") -> dict[str, Output]:
        """End the session after what was fed, and gather all."""
        self.session.end(reason)
        return self.run()

    def take(self, event: Event) -> None:
        match event:
            case RenditionBegan(rendition, _, metadata, header):
                output = self.outputs.setdefault(
                    self.session.ladder.renditions[rendition].name, Output()
                )
                output.metadata.append(metadata)
                output.headers.append(header)
            case RenditionCoded(rendition, tag, _):
                output = self.outputs[self.session.ladder.renditions[rendition].name]
                output.tags.append((tag.pts_ms, tag.is_key, tag.body, len(output.headers)))
                output.received_s.append(tag.received_s)
            case Ended():
                self.ended = event
            case DeviceGone(reason):
                raise AssertionError(f"device gone: {reason}")


def transcode(source: Source, ladder: Template, **start: Any) -> dict[str, Output]:
    """All of a source through a session."""
    with Driver(source, ladder, **start) as driver:
        driver.feed(source)
        return driver.finish()
