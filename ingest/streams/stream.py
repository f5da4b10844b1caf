"""One stream's life at ingest: what goes to which worker and egress on which event.

A stream begins when the supervisor has placed it, opens towards egress at the publisher's first
sequence header, is held while its publisher is away, and ends once (docs/architecture.md).
Media comes demuxed. The source rendition waits for nobody; a worker gets the units once the
placement for the real format has come, beginning with the last GOP.

Pure but for the ports it is given: no sockets, no clock (`now` is CLOCK_MONOTONIC in seconds).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from fractions import Fraction

from common.codecs.aac import AudioSpecificConfig
from common.codecs.h264 import codec_string
from common.config.ladder import AwayPicture, SourceFormat
from common.flv.on_metadata import metadata_members
from common.ipc.control_messages import (
    GopTransfer,
    Placement,
    PublishEnd,
    PublisherStatus,
    ResumeTime,
    SourceFormatReport,
)
from common.ipc.identity import Generation, StreamId
from common.ipc.media_messages import StreamClosed, StreamOpen
from common.media.clock import ClockReference
from common.media.gop_buffer import Kept
from common.media.rates import COARSE, FrameRate, Throughput, declared_rate, usual_rate
from ingest.outputs.egress_output import EgressOutput, tag_of
from ingest.outputs.outbox import Peers
from ingest.outputs.worker_output import WorkerOutput
from ingest.rtmp.to_units import AudioConfig, AudioFrame, DataUnit, VideoConfig, VideoUnit
from ingest.streams.gop_transfer import pack
from ingest.streams.silent_audio import Silence, can_be_silent
from ingest.streams.source_gop import CachedTag, SourceGop
from ingest.streams.timeline import Timeline

SILENT_S = 1.0  # without a picture: the last one stands in, as if the publisher were away
SILENT_FRAMES = 3  # … of a slower source, for so many of its frames
RATE_WINDOW_MS = 2_000
MAX_WINDOW_FRAMES = RATE_WINDOW_MS + 1  # one a ms
ASK_AGAIN_S = 3.0  # a supervisor that has not answered by then may be another one
RATE_TOLERANCE = Fraction(1, 5)  # a measured rate this far from the told one is told again
_AAC_NAMES = {1: "AAC Main", 2: "AAC-LC", 3: "AAC SSR", 4: "AAC LTP", 23: "AAC-LD", 39: "AAC-ELD"}


class StreamState(Enum):
    """Where a stream is in its life."""

    WAITING = auto()  # its publisher has not sent a sequence header yet
    LIVE = auto()
    HELD = auto()  # its publisher is away; rings and players wait
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class SessionContext:
    """What a stream works with."""

    peers: Peers
    tell: Callable[[object], object]  # a control message to the supervisor
    next_request: Callable[[], int]
    clock: Callable[[], float]  # CLOCK_MONOTONIC, to tell what time was spent here


class Stream:
    """One stream. Its publisher's shell gives it media, and calls `end_read` after each read."""

    def __init__(self, placed: Placement, surroundings: SessionContext, since_unix: float) -> None:
        self.stream_id: StreamId = placed.stream_id
        self.template = placed.template
        self.state = StreamState.WAITING
        resume = placed.resume_time
        self.timeline = Timeline()
        if resume is not None:
            clock_reference = ClockReference(resume.reference_ms, resume.reference_s)
            self.timeline = Timeline.continuing(clock_reference, resume.end_ms)
        self._placed = placed
        self._tell = surroundings.tell
        self._next_request = surroundings.next_request
        self._since_unix = since_unix
        self._address = ""
        self._held_until_s = 0.0
        self._is_hold_told = True
        self._was_open = False  # egress knows it

        self._gop = SourceGop()
        self._early_metadata = b""  # what came before the publisher's sequence header
        self._early_audio: AudioConfig | None = None
        self._worker = WorkerOutput(self.stream_id, surroundings.peers)
        self._egress = EgressOutput(
            self.stream_id, placed.generation, surroundings.peers, surroundings.clock
        )

        self._format: SourceFormat | None = None  # as told to the supervisor
        self._codec = ""  # likewise
        self._format_request = 0  # unanswered; 0: none
        self._format_asked_s = 0.0
        self._declared_fps: Fraction | None = None  # by metadata

        self._dropped: Counter[str] = Counter()  # by place
        self._audio = ""
        self._asc: AudioSpecificConfig | None = None
        self._silence: Silence | None = None  # while the publisher is away
        self._newest: ClockReference | None = (
            None  # the publisher's last picture; None: stood in for
        )
        self._meter = Throughput()
        self._rate = FrameRate(frames=MAX_WINDOW_FRAMES, least_frames=1, gap_ms=None)
        self._measured_fps: Fraction | None = None  # over the last whole window
        self._is_rate_known = False  # measured since the publisher came, or declared another one
        self._rate_declared: Fraction | None = None  # with the last parameter sets
        self._gop_ms = 0
        self._last_key_ms: int | None = None

    @property
    def generation(self) -> Generation:
        return self._placed.generation

    @property
    def is_watched(self) -> bool:
        """Whether somebody plays any rendition of it, or waits for it."""
        return self._egress.is_watched

    def bits_per_second(self, now: float) -> float:
        """What its publishers sent over the last seconds, up to four."""
        return self._meter.bits_per_second(now)

    @property
    def is_over(self) -> bool:
        """Ended, and everyone was told who could be."""
        return (
            self.state is StreamState.ENDED
            and not self._worker.has_unsent
            and not self._egress.has_unsent
        )

    # ---- the publisher ------------------------------------------------------------------------

    def arrive(self, address: str, now: float) -> None:
        """A publisher begins, the first one or another."""
        self.state = StreamState.WAITING
        self._address = address
        self._early_metadata = b""
        self._early_audio = None
        self._audio = ""
        self._asc = None
        self._silence = None
        self._declared_fps = None
        self._rate.restart()
        self._is_rate_known = False
        self._last_key_ms = None
        self._newest = None
        if self._was_open:
            self.timeline.resume(now)
            self._egress.open(self._stream_open())  # the hold is over

    def leave(self, reason: str, now: float) -> None:
        """The publisher is gone without a word: hold what its players have, if they have any."""
        hold_ms = self.template.hold_ms
        if not self._was_open or hold_ms <= 0:
            self.end(reason)
            return
        self.state = StreamState.HELD
        self._address = ""
        self._held_until_s = now + hold_ms / 1000
        self._egress.close(StreamClosed(self.stream_id, self.generation, reason, hold_ms))
        self._worker.leave()
        if (
            self.template.away_picture is AwayPicture.FREEZE
            and self.timeline.clock_reference is not None
        ):
            self._worker.pause(self.timeline.clock_reference)
            asc = self._asc
            if asc is not None and can_be_silent(asc):
                self._silence = Silence(asc, self.timeline.audio_ms)

    def end(self, reason: str) -> None:
        """End the stream for all: the worker, the players, the reservation."""
        if self.state is StreamState.ENDED:
            return
        self.state = StreamState.ENDED
        self._worker.end(reason)
        if self._was_open:
            self._egress.close(StreamClosed(self.stream_id, self.generation, reason, 0))
        self._tell(PublishEnd(self.stream_id, self.generation, reason))

    def kept(self) -> tuple[GopTransfer, list[bytes]] | None:
        """What another ingest can go on from, with payloads; None: nothing was open here."""
        if not self._was_open:
            return None
        return pack(self.stream_id, self.generation, self._format, self._gop)

    def go_on_from(self, gop: SourceGop, source: SourceFormat | None) -> bool:
        """Take what another ingest kept, until this publisher's first headers; whether it did.

        The stream is then as if the publisher before this one had been here, and had left.
        """
        is_too_late = self._was_open or self.state is StreamState.ENDED
        if is_too_late or self._placed.resume_time is None or gop.video_config is None:
            return False
        self._was_open = True
        self._gop = gop
        self._format, self._codec = source, codec_string(gop.video_config.config)
        self._egress.follow()  # those who have the stream: they keep their rings
        self._egress.open(self._stream_open())
        self._egress.open_source(gop)
        self._worker.leave()
        if (
            self.template.away_picture is AwayPicture.FREEZE
            and self.timeline.clock_reference is not None
        ):
            self._worker.pause(self.timeline.clock_reference)
        # The old worker has encoded all of this: it is here to be referred to.
        again = replace(self._placed, request_id=0, resume_after_ms=self._end_ms())
        self._worker.place(again, gop, self.timeline.clock_reference)
        return True

    def hand_over(self, reason: str) -> ResumeTime | None:
        """Let another ingest go on with a stream whose publisher is away; where its time is.

        Its egresses hold it meanwhile. None: nothing of it was sent.
        """
        self.state = StreamState.ENDED
        self._worker.end(reason)
        self._egress.release()
        clock_reference = self.timeline.clock_reference
        if clock_reference is None:
            return None
        return ResumeTime(clock_reference.stream_ms, clock_reference.monotonic_s, self._end_ms())

    # ---- media --------------------------------------------------------------------------------

    def metadata(self, payload: bytes) -> None:
        """The publisher's onMetaData."""
        self._declared_fps = declared_rate(metadata_members(payload).get("framerate"))
        if self.state is StreamState.LIVE:
            self._gop.set_metadata(payload)
            self._egress.open_source(self._gop)
        else:
            self._early_metadata = payload

    def video_config(self, config: VideoConfig, now: float) -> None:
        """New parameter sets; a publisher's first ones open the stream."""
        if self.state is StreamState.LIVE:
            self._gop.add(config)
            self._egress.open_source(self._gop)
        else:
            self._go_live(config)
        self._worker.header(config)
        sps = config.sps
        fps = self._rate_with(declared_rate(sps.fps) or self._declared_fps)
        codec = codec_string(config.config)
        self._tell_format(SourceFormat(sps.width, sps.height, sps.sar, fps), codec, now)

    def video(self, unit: VideoUnit) -> None:
        """One access unit, behind its sequence header."""
        # First whoever waits for it: what is noted about it has time.
        is_played = self._egress.is_source_watched
        if not is_played:
            self._worker.unit(unit)
        rendition, entry = tag_of(unit)
        self._egress.put(rendition, entry, unit.payload)
        self._egress.flush()
        if is_played:
            self._worker.unit(unit)
        self._meter.count(1, len(unit.payload), unit.received_s)
        self._measure(unit)
        self._keep(unit)
        if self._worker.is_waiting:
            self._worker.follow(self._gop, self.timeline.clock_reference)

    def video_lost(self, reason: str) -> None:
        """A picture that could not be read: what refers to it is of no use to anyone."""
        self._dropped[reason] += 1
        self._worker.lose()
        self._egress.lose()

    def left_out(self, reason: str) -> None:
        """A message that nothing refers to was left out."""
        self._dropped[reason] += 1

    def audio_config(self, config: AudioConfig) -> None:
        """The audio's format, new or changed."""
        self._audio = audio_label(config)
        self._asc = config.asc
        if self.state is not StreamState.LIVE:
            self._early_audio = config
        elif config.payload:
            self._put(config)
        else:
            self._gop.add(config)

    def audio(self, frame: AudioFrame) -> None:
        """One audio tag. Before the video's sequence header there is nobody to give it to."""
        self._meter.count(0, len(frame.payload), frame.received_s)
        if self.state is StreamState.LIVE:
            self._put(frame)

    def audio_left_out(self, what: str) -> None:
        """Audio that cannot be passed on: for status."""
        if not self._audio:
            self._audio = f"left out: {what}"

    def data(self, unit: DataUnit) -> None:
        """A data message other than onMetaData."""
        if self.state is StreamState.LIVE:
            self._put(unit)

    def end_read(self, now: float) -> None:
        """Send what one read has brought."""
        self._egress.end_read(now)

    # ---- the supervisor -----------------------------------------------------------------------

    def place(self, placed: Placement) -> None:
        """Where the stream is transcoded: the answer for its format, or a placement anew."""
        before = self._placed
        if placed.generation < before.generation or self.state is StreamState.ENDED:
            return  # overtaken by a later one
        if placed.request_id != 0:
            if placed.request_id == self._format_request:
                self._format_request = 0
            elif placed.generation == before.generation:
                return  # the answer for a format that is not the stream's any more
        self._placed = placed
        if not self._was_open:
            return
        if (placed.generation, placed.renditions) != (before.generation, before.renditions):
            # Egress learns of a generation before its first tag can come.
            self._egress.open(self._stream_open(placed.splice_ms))
            if placed.generation != before.generation:
                self._egress.open_source(self._gop)
            if self.state is StreamState.HELD:
                self._is_hold_told = False  # the opening said that a publisher is there
        self._worker.place(placed, self._gop, self.timeline.clock_reference)

    def peers_changed(self, now: float) -> None:
        """The topology is another one: follow it."""
        self._worker.follow(self._gop, self.timeline.clock_reference)
        if not self._was_open or self.state is StreamState.ENDED:
            return
        for feed in self._egress.follow():
            self._egress.replay(feed, self._stream_open(), self._gop)
            if self.state is StreamState.HELD:
                feed.close(self._held(now))

    def tick(self, now: float) -> None:
        """Whatever is due by the clock; several times a second."""
        if self._newest is not None and self.state is StreamState.LIVE:
            self._look_for_silence(self._newest, now)
        if self._silence is not None and self.state is StreamState.HELD:
            self._be_silent(self._silence, now)
        self._egress.tick(now)
        if self.state is not StreamState.HELD:
            self._egress.show_life(now)
        self._worker.tick(self.timeline.now_ms(now))
        if self.state is StreamState.HELD and now >= self._held_until_s:
            self.end("its publisher did not come back")
        elif self.state is StreamState.HELD and not self._is_hold_told:
            self._is_hold_told = True
            self._egress.close(self._held(now))
        if (
            self._format_request
            and self.state is not StreamState.ENDED
            and now - self._format_asked_s >= ASK_AGAIN_S
        ):
            self._ask(now)

    def status(self, now: float) -> PublisherStatus:
        """The stream for status, and for a supervisor that must learn everything anew."""
        clock_reference = self.timeline.clock_reference or ClockReference(0, now)
        config = self._gop.video_config
        dropped = Counter(self._dropped)
        dropped["to worker"] += self._worker.dropped
        dropped["to egress"] += self._egress.dropped
        return PublisherStatus(
            stream_id=self.stream_id,
            generation=self.generation,
            worker=self._placed.worker,
            address=self._address,
            since_unix=self._since_unix,
            is_live=self.state in (StreamState.WAITING, StreamState.LIVE),
            reference_ms=clock_reference.stream_ms,
            reference_s=clock_reference.monotonic_s,
            format=self._format,
            codec=codec_string(config.config) if config else "",
            audio=self._audio,
            fps=self._meter.frames_per_second(now),
            bitrate_bps=self.bits_per_second(now),
            gop_ms=self._gop_ms,
            frames=self._meter.frames,
            dropped=dict(+dropped),
            stages_ms=self._egress.stages.told(now),
            can_move=self._gop.is_lasting,
        )

    # ---- inside -------------------------------------------------------------------------------

    def _go_live(self, config: VideoConfig) -> None:
        """Open towards egress with what this publisher has said so far."""
        self.state = StreamState.LIVE
        self._was_open = True
        self._gop.reset()
        self._gop.set_metadata(self._early_metadata)
        self._gop.add(config)
        self._egress.follow()
        self._egress.open(self._stream_open())
        self._egress.open_source(self._gop)
        if self._early_audio is not None:
            self.audio_config(self._early_audio)

    def _keep(self, tag: CachedTag) -> None:
        if self._gop.add(tag) is Kept.OVERFLOWED:
            self._dropped["GOP longer than the cache"] += 1

    def _put(self, tag: AudioConfig | AudioFrame | DataUnit) -> None:
        """Keep a tag for who comes later, and send it to who is there."""
        self._keep(tag)
        rendition, entry = tag_of(tag)
        self._egress.put(rendition, entry, tag.payload)

    def _stream_open(self, splice_ms: int | None = None) -> StreamOpen:
        placed = self._placed
        return StreamOpen(
            self.stream_id, placed.generation, self.template, placed.renditions, splice_ms
        )

    def _held(self, now: float) -> StreamClosed:
        hold_ms = max(1, round((self._held_until_s - now) * 1000))
        return StreamClosed(self.stream_id, self.generation, "its publisher is away", hold_ms)

    def _look_for_silence(self, newest: ClockReference, now: float) -> None:
        """Have the last picture of a publisher stand in that is there and sends no more.

        Time is taken from that picture: what was held up on its way comes late, but up to now.
        """
        fps = self._measured_fps or (self._format.fps if self._format is not None else None)
        silent_s = max(SILENT_S, float(SILENT_FRAMES / fps)) if fps else SILENT_S
        if (
            now - newest.monotonic_s >= silent_s
            and self.template.away_picture is AwayPicture.FREEZE
        ):
            self._newest = None
            self._worker.pause(newest, may_go_on=True)

    def _be_silent(self, silence: Silence, now: float) -> None:
        for dts_ms in silence.take(self.timeline.now_ms(now)):
            self.timeline.fill_audio(dts_ms)
            tag = AudioFrame(dts_ms, silence.payload, now)
            rendition, entry = tag_of(tag)
            self._egress.put(rendition, entry, tag.payload)

    def _end_ms(self) -> int:
        return self.timeline.end_ms or 0

    def _measure(self, unit: VideoUnit) -> None:
        self._newest = ClockReference(unit.dts_ms, unit.received_s)
        if unit.discontinuity:
            self._rate.restart()
            self._last_key_ms = None
        if unit.is_key:
            if self._last_key_ms is not None:
                self._gop_ms = unit.dts_ms - self._last_key_ms
            self._last_key_ms = unit.dts_ms
        self._rate.observe(unit.dts_ms)
        if self._rate.measured_ms >= RATE_WINDOW_MS and self._format is not None:
            measured, told = self._take_rate(), self._format.fps
            # Later on less is a pause, a dark room, a still screen: what it was let in with stays.
            is_less = told is not None and measured < told and self._is_rate_known
            self._is_rate_known = True
            if told is None or (not is_less and abs(measured - told) > told * RATE_TOLERANCE):
                self._tell_format(replace(self._format, fps=measured), self._codec, unit.received_s)

    def _take_rate(self) -> Fraction:
        """The rate since the last one taken."""
        measured = self._rate.fps
        assert measured is not None
        self._measured_fps = usual_rate(measured, COARSE)
        self._rate.go_on()
        return self._measured_fps

    def _rate_with(self, declared: Fraction | None) -> Fraction | None:
        """The rate to tell with new parameter sets that declare this one, or none.

        One that was measured stands while the same is declared, be that ever so wrong; another
        one is news, to be measured in its turn.
        """
        known = self._format.fps if self._format is not None else None
        is_news = declared != self._rate_declared or not self._is_rate_known
        self._rate_declared = declared
        if declared is None or declared == known or not is_news:
            return known
        self._is_rate_known = False
        self._rate.restart()
        return declared

    def _tell_format(self, source: SourceFormat, codec: str, now: float) -> None:
        if (source, codec) != (self._format, self._codec):
            self._format, self._codec = source, codec
            self._format_request = self._next_request()
            self._ask(now)

    def _ask(self, now: float) -> None:
        assert self._format is not None
        self._format_asked_s = now
        self._tell(
            SourceFormatReport(
                self._format_request, self.stream_id, self.generation, self._format, self._codec
            )
        )


def audio_label(config: AudioConfig) -> str:
    """`AAC-LC 48 kHz 2ch` for people."""
    asc = config.asc
    if asc is None:
        return config.name
    name = _AAC_NAMES.get(asc.object_type, config.name)
    if asc.parametric_stereo:
        name = "HE-AACv2"
    elif asc.sbr:
        name = "HE-AAC"
    rate_hz = asc.extension_rate or asc.sample_rate
    channels = 2 if asc.parametric_stereo else asc.channels
    return f"{name} {rate_hz / 1000:g} kHz {channels}ch"
