# long: one stream's life, whose events share its state
"""One stream's life at ingest: what goes to which worker and egress on which event.

A stream begins when the supervisor has placed it, opens towards egress at the publisher's first
video configuration, is held while its publisher is away, and ends once (docs/architecture.md).
Media comes as units. The source rendition waits for nobody; a worker gets the units once the
placement for the real format has come, beginning with the last GOP.

Pure but for the senders it is given: no sockets, no clock (`now` is CLOCK_MONOTONIC in seconds).
"""

from dataclasses import replace
from enum import Enum, auto
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from common.access.credentials import UNTOLD, Credentials
from common.codecs.table import codec_string
from common.config.ladder import AwayPicture, SourceFormat
from common.config.overrides import NO_OVERRIDES
from common.ipc.control_messages import (
    GopTransfer,
    Placement,
    PublishEnd,
    SourceEstimate,
    SourceFormatReport,
)
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.media_messages import StreamClosed, StreamOpen
from common.ipc.status_messages import LineFigures, PublisherStatus
from common.media.clock import ClockReference, ResumeTime
from common.media.units import AudioConfig, VideoConfig, VideoUnit
from common.notices.doctor import Change
from common.notices.notices import Notices
from ingest.doctor.source_doctor import SourceDoctor
from ingest.doctor.source_figures import StreamFacts
from ingest.outputs.egress_output import EgressOutput
from ingest.outputs.forward_output import NOBODY, ForwardOutput, output_to
from ingest.outputs.worker_output import WorkerOutput
from ingest.streams.absence import Absence, is_silent
from ingest.streams.clock.timeline import Timeline
from ingest.streams.gop_transfer import pack
from ingest.streams.passed_tracks import PassedTracks
from ingest.streams.silent_audio import Silence, can_be_silent
from ingest.streams.source_format import SourceFormatReporter
from ingest.streams.source_gop import SourceGop
from ingest.streams.source_media import SourceMedia
from ingest.streams.stream_context import StreamContext

if TYPE_CHECKING:
    from ingest.streams.forward import Forward


HANDOVER_MS = 10_000  # for the relay to have a stream for its players here that goes on elsewhere


class StreamState(Enum):
    """Where a stream is in its life."""

    WAITING = auto()  # its publisher has not sent a sequence header yet
    LIVE = auto()
    HELD = auto()  # its publisher is away; rings and players wait
    ENDED = auto()


# long: each event of a stream's life, which is one
class Stream:
    """One stream's life. Its publisher gives `media` what comes, and `configure` its first."""

    def __init__(
        self,
        placed: Placement,
        context: StreamContext,
        since_unix: float,
        forward: "Forward | None" = None,
    ) -> None:
        """`forward`: the way to another host, which has the stream."""
        self.stream_id: StreamId = placed.stream_id
        self.template = placed.template
        self.overrides = NO_OVERRIDES  # of what its app has
        self.state = StreamState.WAITING
        self.timeline = Timeline()
        self.notices = Notices()  # about the source
        self.audio_before: AudioConfig | None = None  # the last that a publisher sent itself
        self.doctor = SourceDoctor(self.notices)
        resume = placed.resume_time
        if resume is not None:
            self.timeline = Timeline.continuing(resume.reference, resume.end_ms)
        self.forward: Forward | None = forward
        self.next_forward: Forward | None = None  # that was asked for, and has no answer yet
        self._resume_after_ms: int | None = None  # of what begins here next
        self._next_placed: Placement | None = None  # here, in place of the host that has it
        self._context = context
        self._placed, self._epochs = placed, context.epochs
        self._epoch_ms = resume.epoch_ms if resume is not None else None
        self._report, self._clock = context.report, context.clock
        self._since_unix, self._unix_time = since_unix, context.unix_time
        self.by_host = ""  # that its publisher came to, if another one
        self.owner = Credentials()  # of the publisher, or of the last one
        self._address, self._was_open = "", False  # of the publisher; whether egress knows it
        self.absence: Absence | None = None  # while the stream is held
        self.line: LineFigures | None = None  # how its publisher's packets come
        self._format = SourceFormatReporter(
            self._report_format, context.next_request, self._report_estimate
        )
        self.media = SourceMedia(
            self.stream_id,
            placed.generation,
            context.peers if forward is None else NOBODY,
            context.clock,
            self.timeline,
            self._format,
            self.doctor.counts,
            context.delays,
            PassedTracks(self.template),
            partial(context.cold_starts.may_begin, self.stream_id),
        )
        self.media.on_passed = self._follow_passed
        self.timeline.zero_unix_ms = self._epoch_ms
        if self._epoch_ms is None:
            self.media.on_first = self._epoch
        if forward is not None:
            own = self.stream_id, placed.generation, context.clock
            self.media.egress = output_to(forward.way, *own)

    @property
    def generation(self) -> Generation:
        """That of the placement in force."""
        return self._placed.generation

    @property
    def has_players(self) -> bool:
        """Whether somebody plays any rendition of it, or waits for it."""
        return self.media.egress.has_players

    @property
    def measured_fps(self) -> Fraction | None:
        """The frame rate as measured, else as the publisher says."""
        return self._format.fps

    def bits_per_second(self, now: float) -> float:
        """What its publishers sent over the last seconds, up to four."""
        return self.media.throughput.bits_per_second(now)

    @property
    def is_over(self) -> bool:
        """Ended, and everyone knows who could be reached."""
        return self.state is StreamState.ENDED and not self.media.has_unsent

    # ---- the publisher ------------------------------------------------------------------------

    def arrive(self, address: str, now: float, owner: Credentials = UNTOLD) -> None:
        """A publisher begins, the first one or another."""
        self._begin(address, owner)
        if self._was_open:
            self.timeline.resume(now)
            self.media.egress.open(self._stream_open())  # the hold is over

    def _begin(self, address: str, owner: Credentials) -> None:
        self.state = StreamState.WAITING
        self._address, self.owner = address, owner
        self.absence = self.line = None
        self.doctor.restart()
        self._format.restart()
        self.media.restart()

    def follow_on(
        self, other: "Stream", first: VideoUnit, address: str, owner: Credentials, now: float
    ) -> VideoUnit:
        """Go on with what a publisher brings that stood by, from this keyframe of its on.

        `other` is what it was read into. Its time becomes the stream's. Gives the keyframe at the
        stream's time.
        """
        config = other.media.gop.video_config
        if config is None:
            return first
        by_ms = other.timeline.follow_on(self.timeline, first.dts_ms, now)
        self.media.give_way(other.timeline)
        self.timeline = other.timeline
        self._begin(address, owner)
        self.media.follow_on(other.media)
        self.audio_before = other.audio_before
        if self._was_open:
            self.media.egress.open(self._stream_open())
        self.configure(config, now)
        return replace(first, dts_ms=first.dts_ms + by_ms, discontinuity=True)

    def stand_by(self, other: "Stream", now: float) -> None:
        """Be what a publisher is read into from now on that `other` goes on without."""
        self.timeline = other.timeline
        self.media.give_way(self.timeline)
        self.media.follow_on(other.media)
        self.audio_before = other.audio_before
        if other.media.gop.video_config is not None:
            self.configure(other.media.gop.video_config, now)

    def configure(self, config: VideoConfig, now: float) -> None:
        """New parameter sets; a publisher's first ones open the stream."""
        if self.state is StreamState.LIVE:
            self.media.configure(config)
        else:
            self._go_live(config)
        self.media.worker.header(config)
        self._format.configure(config, now)
        self.media.on_source(self._format.format, config, now)

    def leave(self, reason: str, now: float, cover_ms: int = 0) -> None:
        """The publisher is gone without a word: hold what its players have, if they have any.

        `cover_ms`: it is waited for another that stands by for so long, whatever players have.
        """
        self._cut_no_more(reason)
        if self.forward is not None:
            self.end(reason, is_meant=False)  # its owner holds it
            return
        hold_ms = max(self.template.hold_ms, cover_ms)
        if hold_ms <= 0 or not (self._was_open or cover_ms):
            self.end(reason)
            return
        self.state = StreamState.HELD
        self._address, self.by_host, self.line = "", "", None
        self.absence = Absence(now + hold_ms / 1000)
        self.doctor.restart()
        media = self.media
        media.leave()
        media.egress.close(StreamClosed(self.stream_id, self.generation, reason, hold_ms))
        media.worker.leave()
        if self._freeze() and media.audio_config is not None and can_be_silent(media.audio_config):
            self.absence.silence = Silence(media.audio_config, self.timeline.audio_ms)

    def end(self, reason: str, hold_ms: int = 0, *, is_meant: bool = True) -> None:
        """End the stream for all: the worker, the reservation, and the players after `hold_ms`.

        `is_meant` is for its owner at another host: who holds it if nobody meant to end it.
        """
        if self.state is StreamState.ENDED:
            return
        self._cut_no_more(reason)
        last = self.status(self._clock())
        self.state, self.absence = StreamState.ENDED, None
        if self._epoch_ms is not None:
            # while the publisher is away, freeze frames go on with the clock
            end_ms = max(self.timeline.end_ms or 0, self.timeline.now_ms(self._clock()))
            self._epochs.ended(self.stream_id, self.template.gop_ms, self._epoch_ms + end_ms)
        self.media.leave()
        self.media.worker.end(reason)
        if self._was_open:
            self.media.egress.close(StreamClosed(self.stream_id, self.generation, reason, hold_ms))
        if self._was_open and hold_ms > 0:
            self.media.egress.release()
        if self.forward is not None:
            self.forward.over(reason, is_meant=is_meant)
        self._report(PublishEnd(self.stream_id, self.generation, reason, last))

    # ---- another host -------------------------------------------------------------------------

    def forward_by(self, forward: "Forward | None") -> None:
        """Send what comes by another way from now on; None: by none, until there is one."""
        output = self.media.egress
        self._set_time(self.forward)
        if forward is not None:
            self.forward, self.next_forward = forward, None
            self._placed = replace(self._placed, generation=forward.generation)
        if isinstance(output, ForwardOutput):
            output.use(forward.way if forward is not None else None)
        if forward is None and self._next_placed is not None:
            self._begin_here(self._next_placed)

    def until_key_s(self, now: float) -> float:
        """How long it is to the next keyframe, as far as that can be told."""
        due_ms = self._format.next_key_ms
        return (due_ms - self.timeline.now_ms(now)) / 1000 if due_ms is not None else 0.0

    def cut_to(self, forward: "Forward") -> None:
        """Go on at another host from the next keyframe on: what came before it is all here."""
        self.media.before_key = lambda: self._cut(forward)

    @property
    def _is_forwarding(self) -> bool:
        """Whether another host takes what comes."""
        return self.forward is not None and self.forward.way is not None

    def _leave_host(self, reason: str) -> int:
        """The host that has it gets nothing more; returns how much later times are from now on."""
        forward = self.forward
        if forward is None:
            return 0
        self.media.egress.flush()
        by_ms = forward.offset_ms
        self._set_time(forward)
        forward.over(reason, is_meant=False, goes_on=True)
        return by_ms

    def _cut(self, forward: "Forward") -> int:
        reason = f"it goes on at host {forward.host}"
        if self.forward is not None:
            by_ms = self._leave_host(reason)
            self.forward_by(forward)
            return by_ms
        media, last = self.media, self.status(self._clock())
        media.worker.end(reason)
        media.egress.close(StreamClosed(self.stream_id, self.generation, reason, HANDOVER_MS))
        media.egress.release()
        self._report(PublishEnd(self.stream_id, self.generation, reason, last))
        self.forward, self.next_forward = forward, None
        self._placed = replace(
            self._placed, generation=forward.generation, worker=None, renditions=()
        )
        own = self.stream_id, self.generation, self._clock
        media.egress = output_to(forward.way, *own, media.gop)
        return 0

    def _cut_no_more(self, reason: str) -> None:
        """Its publisher is gone, and goes on nowhere."""
        self.media.before_key = self._next_placed = None
        if self.next_forward is not None:
            self.next_forward.over(reason, is_meant=True)
            self.next_forward = None

    def resume_time(self) -> ResumeTime | None:
        """Where its time goes on at another host."""
        reference, end_ms = self.timeline.clock_reference, self.timeline.end_ms or 0
        if reference is None:
            return None
        by_ms = self.forward.offset_ms if self.forward is not None else 0
        reference = replace(reference, stream_ms=reference.stream_ms + by_ms)
        return ResumeTime(reference, end_ms + by_ms, self._zero_ms)

    @property
    def _zero_ms(self) -> int | None:
        """The Unix time at stream time 0, of the host that has the stream."""
        forward = self.forward
        known_ms = forward.epoch_ms if forward is not None else None
        return known_ms if known_ms is not None else self._epoch_ms

    def _begin_here(self, placed: Placement, *, is_cut: bool = False) -> int:
        """This host has it now in place of another one: nothing of it need begin anew.

        `is_cut`: the next picture is a keyframe. Returns how much later times are from now on.
        """
        self.media.before_key = self._next_placed = None
        by_ms = self._leave_host("it goes on at its publisher's host")
        self.forward = self.next_forward = None
        media, context = self.media, self._context
        own = self.stream_id, placed.generation, context.peers, context.clock
        media.egress = EgressOutput(*own, context.delays)
        if media.passed is not None:
            media.egress.pass_renditions(media.passed.described())
        media.worker = WorkerOutput(self.stream_id, context.peers)
        self._placed = placed
        if not self._was_open:
            return by_ms
        media.egress.follow()
        media.egress.open(self._stream_open())
        media.egress.open_source(media.gop)
        self._resume_after_ms = self.timeline.end_ms if not is_cut else None
        self._format.report_again(self._clock())
        return by_ms

    def _set_time(self, forward: "Forward | None") -> None:
        """Have the time here be what it was at the host that had the stream."""
        if forward is None:
            return
        if forward.epoch_ms is not None:
            self._epoch_ms = self.timeline.zero_unix_ms = forward.epoch_ms
        if forward.offset_ms:
            self.timeline.shift(forward.offset_ms)
            self.media.gop.shift(forward.offset_ms)
            forward.offset_ms = 0

    # ---- another ingest -----------------------------------------------------------------------

    def transfer(self) -> tuple[GopTransfer, list[bytes]] | None:
        """What another ingest can go on from, with payloads; None: nothing was open here."""
        if not self._was_open:
            return None
        return pack(self.stream_id, self.generation, self._format.format, self.media.gop)

    def go_on_from(self, gop: SourceGop, source: SourceFormat | None) -> bool:
        """Take what another ingest had, until this publisher's first pictures; whether it did.

        The stream is then as if the publisher before this one had been here, and had left.
        """
        is_too_late = self._was_open or self.state is StreamState.ENDED
        if is_too_late or self._placed.resume_time is None or gop.video_config is None:
            return False
        self._was_open = True
        media = self.media
        media.gop = gop
        self._format.take_over(source, codec_string(gop.video_config))
        media.egress.follow()  # those who have the stream: they keep their rings
        media.egress.open(self._stream_open())
        media.egress.open_source(gop)
        media.worker.leave()
        self._freeze()
        # The old worker has encoded all of this: it is here to be referred to.
        again = replace(self._placed, request_id=0, resume_after_ms=self.timeline.end_ms or 0)
        media.place(again)
        return True

    def hand_over(self, reason: str) -> ResumeTime | None:
        """Let another ingest go on with a stream whose publisher is away; where its time is.

        Its egresses hold it meanwhile. None: nothing of it was sent.
        """
        self.state = StreamState.ENDED
        self.absence = None
        self.media.worker.end(reason)
        self.media.egress.release()
        reference = self.timeline.clock_reference
        end_ms = self.timeline.end_ms or 0
        return ResumeTime(reference, end_ms, self._epoch_ms) if reference is not None else None

    # ---- the supervisor -----------------------------------------------------------------------

    def place(self, placed: Placement) -> None:
        """Take where the stream is transcoded: the answer for its format, or a placement anew."""
        before = self._placed
        if placed.generation < before.generation or self.state is StreamState.ENDED:
            return  # overtaken by a later one
        if self.forward is not None:
            self._next_placed = placed
            if self._is_forwarding and self._was_open:  # what came before is all that host's
                self.media.before_key = lambda: self._begin_here(placed, is_cut=True)
            else:
                self._begin_here(placed)
            return
        if (
            placed.request_id != 0
            and not self._format.answered(placed.request_id)
            and placed.generation == before.generation
        ):
            return  # the answer for a format that is not the stream's any more
        self._placed = placed
        if not self._was_open:
            return
        media = self.media
        if _announced(placed) != _announced(before):
            # Egress learns of a generation before its first tag can come.
            media.egress.open(self._stream_open(placed.splice_ms))
            if placed.generation != before.generation:
                media.egress.open_source(media.gop)
            if self.absence is not None:
                self.absence.is_reported = False  # the opening said that a publisher is there
        if self._resume_after_ms is not None:
            # what came before went to the host that had it
            placed = replace(placed, request_id=0, resume_after_ms=self._resume_after_ms)
            self._resume_after_ms = None
        media.place(placed)

    def peers_changed(self, now: float) -> None:
        """Follow another topology."""
        media = self.media
        media.worker.follow(media.gop, self.timeline.clock_reference)
        if not self._was_open or self.state is StreamState.ENDED:
            return
        for feed in media.egress.follow():
            media.egress.replay(feed, self._stream_open(), media.gop)
            if self.absence is not None:
                feed.close(self._held(self.absence, now))

    def tick(self, now: float) -> list[Change]:
        """Do what is due by the clock, several times a second; which notices begin and end."""
        media, absence = self.media, self.absence
        if self.state is StreamState.LIVE and media.newest is not None:
            self._look_for_silence(media.newest, now)
        if self.state is StreamState.LIVE and self.doctor.is_due(now):
            self.doctor.look(self._facts(now), now)
        if absence is not None and absence.silence is not None:
            for unit in absence.silence.take(self.timeline.now_ms(now), now):
                media.put_silence(unit)
        media.egress.tick(now)
        if absence is None and self.state is not StreamState.ENDED:
            media.egress.show_life(now)
        media.tick(now)
        if self.state is StreamState.ENDED:
            return []
        if absence is not None and absence.is_over(now):
            self.end("its publisher did not come back")
            return []
        if absence is not None and not absence.is_reported:
            absence.is_reported = True
            media.egress.close(self._held(absence, now))
        self._format.tick(now)
        return self.doctor.take_changes()

    def status(self, now: float) -> PublisherStatus:
        """The stream for status, and for a supervisor that must learn everything anew."""
        media = self.media
        return PublisherStatus(
            stream_id=self.stream_id,
            generation=self.generation,
            worker=self._placed.worker,
            address=self._address,
            since_unix=self._since_unix,
            is_live=self.state in (StreamState.WAITING, StreamState.LIVE),
            reference=self.timeline.clock_reference or ClockReference(0, now),
            format=self._format.format,
            codec=codec_string(config) if (config := media.gop.video_config) else "",
            audio=media.audio,
            source_clock=media.source_clock,
            omitted=media.omitted.descriptions(now),
            notices=self.notices.as_tuple(now, self._unix_time()),
            fps=media.throughput.frames_per_second(now),
            bitrate_bps=self.bits_per_second(now),
            gop_ms=self._format.gop_ms,
            frames=media.throughput.frames,
            dropped=media.dropped(),
            stages_ms=media.egress.stages.reported(now),
            can_move=media.gop.is_lasting,
            owner=self.owner,
            bytes=media.throughput.bytes,
            av_skew_ms=round(self.doctor.sound_behind_ms, 1),
            overrides=self.overrides,
            epoch_ms=self._epoch_ms,
            line=self.line,
            forwarded_to=self.forward.host if self.forward is not None else "",
            by_host=self.by_host,
            passed=media.passed.status(now) if media.passed is not None else (),
        )

    # ---- inside -------------------------------------------------------------------------------

    def _epoch(self, first_ms: int, came_s: float) -> None:
        """Note which Unix time stream time begins at, and report it in front of the first media."""
        unix_ms = round(1000 * (self._unix_time() + came_s - self._clock()))
        found_ms = self._epochs.find(self.stream_id, self.template.gop_ms, first_ms, unix_ms)
        self._epoch_ms = self.timeline.zero_unix_ms = found_ms
        self.media.egress.open(self._stream_open())

    def _go_live(self, config: VideoConfig) -> None:
        """Open towards egress with what this publisher has said so far."""
        self.state = StreamState.LIVE
        self._was_open = True
        media = self.media
        media.go_live(config)
        media.egress.follow()
        media.egress.open(self._stream_open())
        media.egress.open_source(media.gop)
        if media.audio_config is not None:
            media.audio_configure(media.audio_config)

    def _freeze(self) -> bool:
        """Have the last picture stand in for the publisher's, if the template says so."""
        reference = self.timeline.clock_reference
        if self.template.away_picture is not AwayPicture.FREEZE or reference is None:
            return False
        self.media.worker.pause(reference)
        return True

    def _facts(self, now: float) -> StreamFacts:
        """What the doctor is told of the stream beside its counts."""
        media = self.media
        source, fps = self._format.format, self._format.fps
        if source is not None and fps is not None:
            source = replace(source, fps=fps)  # as measured
        return StreamFacts(
            self.template, source, self.bits_per_second(now), media.is_fast, media.is_sound_omitted
        )

    def _look_for_silence(self, newest: ClockReference, now: float) -> None:
        """Have the last picture of a publisher stand in that is there and sends no more.

        Time is taken from that picture: what was held up on its way comes late, but up to now.
        From a publisher that is not read meanwhile, nothing is missing before it is read again.
        """
        newest_s = newest.monotonic_s + self.media.held_s
        if self.template.away_picture is AwayPicture.FREEZE and is_silent(
            newest_s, self._format.fps, now
        ):
            self.media.newest = None
            self.media.worker.pause(replace(newest, monotonic_s=newest_s), may_go_on=True)

    def _stream_open(self, splice_ms: int | None = None) -> StreamOpen:
        generation, renditions, worker = _announced(self._placed)
        what = generation, self.template, renditions
        own = self.overrides, worker, self._epoch_ms
        passed = self.media.passed.names if self.media.passed is not None else ()
        return StreamOpen(self.stream_id, *what, splice_ms, *own, passed)

    def _follow_passed(self) -> None:
        """Other renditions are tracks of the publisher now: who serves, makes and books them."""
        media, now = self.media, self._clock()
        if media.passed is None or self.forward is not None:
            return
        if self._was_open and self.state is not StreamState.ENDED:
            media.egress.open(self._stream_open())
        self._format.pass_renditions(media.passed.names, now)
        media.look_at_demand(now)

    def _held(self, absence: Absence, now: float) -> StreamClosed:
        reason, left_ms = "its publisher is away", absence.left_ms(now)
        return StreamClosed(self.stream_id, self.generation, reason, left_ms)

    def _report_estimate(self, source: SourceFormat) -> None:
        if self.forward is None:
            self._report(SourceEstimate(self.stream_id, self.generation, source))

    def _report_format(self, request_id: int, source: SourceFormat, codec: str) -> None:
        if self.forward is not None:  # its owner has its room
            self._format.answered(request_id)
            return
        self._report(SourceFormatReport(request_id, self.stream_id, self.generation, source, codec))


def _announced(placed: Placement) -> tuple[Generation, tuple[str, ...], ChildId | None]:
    """What egress must know of a placement."""
    return placed.generation, placed.renditions, placed.worker
