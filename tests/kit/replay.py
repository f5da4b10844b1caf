"""A capture through ingest and the choice of pictures, in virtual time: what is decided, as values.

RTMP messages go the way that they go in a farm: `Demuxer`, `Publisher`, `Stream`, down to the units
that a worker is sent; and their pictures, in the order in which a decoder would give them, through
`DisplayTimes` and `FrameTimer`. The supervisor is played: every source has room. Nothing is
decoded, so captures with headers only give the same decisions.
"""

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from common.capture.capture_file import CapturedRead, CaptureInfo, encode, read_whole
from common.capture.headers_only import AUDIO, VIDEO
from common.codecs.h264 import AvcConfig, split_avcc
from common.codecs.h264_slices import SliceReader
from common.codecs.h264_sps import parse_sps
from common.errors import AvcError
from common.ipc.control_messages import SourceFormatReport
from common.ipc.identity import StreamId
from common.ipc.media_messages import HEADER, SHARED, AccessUnit, StreamStart, Tags, VideoHeader
from common.rtmp.data_events import data_event
from common.rtmp.events import AudioReceived, Event, VideoReceived
from ingest.streams.read_batching import TICK_S
from ingest.streams.stream_log import StreamLog
from tests.kit.ingest_ports import ANSWER, EGRESS, WORKER
from tests.kit.registry_rig import FakeConnection, RegistryRig
from worker.frames.display_times import DisplayTimes
from worker.frames.timing import FrameTimer, PtsWindow, Verdict

BEGIN_S = 100.0
GOP_MS = 2000
CAPS = {"30": Fraction(30), "15": Fraction(15)}  # renditions, by their rates
_SLICES = (1, 5)
_SETS = (7, 8)
_MAX_REORDER = 2  # pictures that a decoder keeps where the SPS does not tell


@dataclass(frozen=True)
class UnitOut:
    """An access unit as a worker is sent it."""

    dts_ms: int
    pts_ms: int
    is_key: bool
    size: int
    at_s: float  # when its last byte came, after the first read
    generation: int = 0


@dataclass(frozen=True)
class Decisions:
    """All that was decided."""

    units: tuple[UnitOut, ...]
    sounds: tuple[tuple[int, float], ...]  # stream time in ms, and when they came
    notices: tuple[str, ...]  # for the log
    source_notices: tuple[str, ...]  # the codes of those that are in status at the end
    source_clock: str  # in status at the end
    format: tuple[int, int] | None
    audio: str
    dropped: dict[str, int]
    closed: str  # why the publisher was closed
    held_back_s: float  # in all, that nothing was to be read
    taken: dict[str, tuple[int, ...]]  # PTS of the pictures that each rendition takes

    @property
    def keyframes(self) -> int:
        return sum(unit.is_key for unit in self.units)

    @property
    def speed(self) -> float:
        """Media time by the clock, over the second half."""
        half = self.units[len(self.units) // 2 :]
        if len(half) < 2:
            return 0.0
        return (half[-1].dts_ms - half[0].dts_ms) / 1000 / (half[-1].at_s - half[0].at_s)

    @property
    def sound_ahead_ms(self) -> float | None:
        """Sound's times against those of pictures that come with it, at the end."""
        pictures, sounds = (
            [at_s * 1000 - ms for ms, at_s in found[-len(found) // 4 :]]
            for found in ([(u.dts_ms, u.at_s) for u in self.units], self.sounds)
        )
        if not (pictures and sounds):
            return None
        return statistics.median(pictures) - statistics.median(sounds)

    def steps_ms(self, rendition: str) -> tuple[int, int]:
        """The smallest and the largest step between pictures that a rendition takes."""
        taken = self.taken[rendition]
        steps = [later - at for at, later in itertools.pairwise(taken)]
        return (min(steps), max(steps)) if steps else (0, 0)


class _Log(StreamLog):
    """Keeps what is for the log."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.texts: list[str] = []

    def notices(self, stream: StreamId, peer: str, notices: list[str]) -> None:
        self.texts += notices
        notices.clear()


@dataclass(eq=False)
class _Connection(FakeConnection):
    """The publisher's, whose unread bytes are known where the capture has them."""

    known: int | None = None
    asked: list[int | None] = field(default_factory=list)

    def unread_bytes(self) -> int | None:
        self.asked.append(self.known)
        return self.known


class Replay:
    """One publisher's messages through ingest; times are seconds after its first read."""

    def __init__(self, caps: Mapping[str, Fraction | None] = CAPS, gop_ms: int = GOP_MS) -> None:
        """`caps`: renditions, by name, and the most pictures a second of each."""
        self.rig = RegistryRig()
        self._caps, self._gop_ms = caps, gop_ms
        self.log = _Log()
        self.rig.streams.log = self.log
        self.connection = _Connection()
        self.rig.publish("live/replayed", BEGIN_S, self.connection)
        self.rig.place(BEGIN_S)
        self._next_tick_s = BEGIN_S + TICK_S
        self._answered = 0

    def read(self, events: Sequence[Event], at_s: float, unread: int | None = None) -> None:
        """What one read brings."""
        now = BEGIN_S + at_s
        self._tick_until(now)
        self.connection.known = unread
        if events and not self.connection.told:
            self.rig.media(self.connection, events, now)
        elif unread is not None:
            self.rig.streams.tick(now)
        self.connection.known = None
        self._answer(now)

    def finish(self, at_s: float) -> Decisions:
        """Nothing more comes until then; what was decided."""
        self._tick_until(BEGIN_S + at_s)
        rig = self.rig
        status = next(iter(rig.streams.statuses(BEGIN_S + at_s)), None)
        units = tuple(self._units())
        return Decisions(
            units=units,
            sounds=tuple(self._sounds()),
            notices=tuple(self.log.texts),
            source_notices=tuple(n.code for n in status.notices) if status else (),
            source_clock=status.source_clock if status else "",
            format=(status.format.width, status.format.height)
            if status and status.format
            else None,
            audio=status.audio if status else "",
            dropped=status.dropped if status else {},
            closed=": ".join(self.connection.told[0]) if self.connection.told else "",
            held_back_s=sum(self.connection.held_back),
            taken=self._taken(),
        )

    # ---- the farm around it -------------------------------------------------------------------

    def _tick_until(self, now: float) -> None:
        while self._next_tick_s <= now:
            self.rig.streams.tick(self._next_tick_s)
            self._answer(self._next_tick_s)
            self._next_tick_s += TICK_S

    def _answer(self, now: float) -> None:
        """The supervisor finds room for whatever format is reported."""
        reported = [told for told in self.rig.told if isinstance(told, SourceFormatReport)]
        for report in reported[self._answered :]:
            answer = replace(
                ANSWER,
                request_id=report.request_id,
                stream_id=report.stream_id,
                template=self.rig.template,
            )
            self.rig.from_supervisor.placed(answer, now)
        self._answered = len(reported)

    # ---- what comes out of it -----------------------------------------------------------------

    def _sent(self) -> Iterator[tuple[Any, bytes]]:
        for message, payloads in self.rig.peers.workers[WORKER].sent:
            yield message, bytes(payloads[0]) if payloads else b""

    def _units(self) -> Iterator[UnitOut]:
        for message, payload in self._sent():
            if isinstance(message, AccessUnit):
                yield UnitOut(
                    message.dts_ms,
                    message.dts_ms + message.composition_ms,
                    message.is_key,
                    len(payload),
                    round(message.received_s - BEGIN_S, 6),
                )

    def _sounds(self) -> Iterator[tuple[int, float]]:
        (egress,) = (port for port in self.rig.peers.running if port.child == EGRESS)
        for message in egress.of(Tags):
            for tag in message.tags:
                if message.rendition == SHARED and tag.type == AUDIO and not tag.flags & HEADER:
                    yield tag.dts_ms, round(tag.received_s - BEGIN_S, 6)

    def _taken(self) -> dict[str, tuple[int, ...]]:
        choice = _Choice(self._caps, self._gop_ms)
        for message, payload in self._sent():
            match message:
                case StreamStart() | VideoHeader():
                    choice.configure(payload)
                case AccessUnit():
                    choice.unit(message, payload)
        choice.flush()
        return {name: tuple(taken) for name, taken in choice.taken.items()}


@dataclass
class _Waiting:
    order: int
    pts_ms: int


@dataclass
class _Choice:
    """A decoder that knows the order of pictures, and what a worker does with it."""

    caps: Mapping[str, Fraction | None]
    gop_ms: int
    taken: dict[str, list[int]] = field(default_factory=dict)
    _slices: SliceReader = field(default_factory=SliceReader)
    _display: DisplayTimes = field(default_factory=DisplayTimes)
    _timer: FrameTimer | None = None
    _reorder: int = 0
    _lsb_bits: int = 0
    _waiting: list[_Waiting] = field(default_factory=list)
    _last_order: int = 0

    def configure(self, record: bytes) -> None:
        config = AvcConfig.parse(record)
        for nal in (*config.sps, *config.pps):
            self._slices.note(nal)
        sps = parse_sps(config.sps[0])
        self._lsb_bits = sps.picture_order.lsb_bits if sps.picture_order.type == 0 else 0
        reorder = sps.reorder_frames
        self._reorder = (_MAX_REORDER if reorder is None else reorder) if self._lsb_bits else 0
        if self._timer is None:
            caps = list(self.caps.values())
            self._timer = FrameTimer(self.gop_ms, caps, PtsWindow(), sps.fps)
            self.taken = {name: [] for name in self.caps}
        else:
            self.flush()
            self._timer.new_source(sps.fps)

    def unit(self, unit: AccessUnit, data: bytes) -> None:
        pts_ms = unit.dts_ms + unit.composition_ms
        self._display.put(unit.dts_ms, pts_ms)
        order = self._order(data)
        if order is None:
            self.flush()
            self._last_order = 0
        self._waiting.append(_Waiting(order or 0, pts_ms))
        while len(self._waiting) > self._reorder:
            self._show()

    def flush(self) -> None:
        while self._waiting:
            self._show()

    def _show(self) -> None:
        picture = min(self._waiting, key=lambda waiting: waiting.order)
        self._waiting.remove(picture)
        assert self._timer is not None
        plan = self._timer.plan(self._display.take(picture.pts_ms))
        if plan.verdict is Verdict.ENCODE:
            assert self._timer.last_ms is not None
            for index in plan.renditions:
                self.taken[list(self.caps)[index]].append(self._timer.last_ms)

    def _order(self, data: bytes) -> int | None:
        """The picture order count after the last IDR picture, which has None."""
        try:
            nals = split_avcc(data)
        except AvcError:
            return self._last_order
        for nal in nals:
            if nal and nal[0] & 0x1F in _SETS:
                self._slices.note(nal)
            if nal and nal[0] & 0x1F in _SLICES:
                head = self._slices.read(nal)
                if head is None or head.is_idr:
                    return None
                if not head.order or not self._lsb_bits:
                    return self._last_order
                whole = 1 << self._lsb_bits
                near = (head.order[0] - self._last_order + whole // 2) % whole - whole // 2
                order = self._last_order + near
                if head.is_reference:
                    self._last_order = order
                return order
        return self._last_order


def events_of(read: CapturedRead) -> list[Event]:
    """What the RTMP session gave for these messages."""
    events: list[Event] = []
    for message in read.messages:
        payload = message.payload()
        if message.type_id == AUDIO:
            events.append(AudioReceived(message.timestamp, payload))
        elif message.type_id == VIDEO:
            events.append(VideoReceived(message.timestamp, payload))
        else:
            events.append(data_event(message.timestamp, payload))
    return events


def replay(
    reads: Iterable[CapturedRead],
    caps: Mapping[str, Fraction | None] = CAPS,
    gop_ms: int = GOP_MS,
) -> Decisions:
    """Run a capture through ingest."""
    run = Replay(caps, gop_ms)
    at_s = 0.0
    for read in with_unread(reads):
        at_s = read.at_us / 1e6
        run.read(events_of(read), at_s, read.unread_bytes)
    return run.finish(at_s + 1.0)


def with_unread(reads: Iterable[CapturedRead]) -> Iterator[CapturedRead]:
    """Join what ingest asked behind a read with that read; ticks that asked stay by themselves."""
    before: CapturedRead | None = None
    for read in reads:
        if before is not None and before.messages and not read.messages:
            yield replace(before, unread_bytes=read.unread_bytes)
            before = None
            continue
        if before is not None:
            yield before
        before = read
    if before is not None:
        yield before


def load(path: Path) -> tuple[CaptureInfo, Sequence[CapturedRead]]:
    """A capture of `tests/captures`."""
    return read_whole([path.read_bytes()])


def save(path: Path, info: CaptureInfo, reads: Iterable[CapturedRead]) -> None:
    """Write a capture as small as it gets."""
    path.write_bytes(b"".join(encode(info, reads, level=9)))
