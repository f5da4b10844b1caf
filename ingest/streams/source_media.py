"""A publisher's media on its way to the egresses and the worker, and what is noted about it.

Units go out as they come, in order; those since the last keyframe are kept for who comes later. The
source rendition waits for nobody; a worker gets the units once the stream is placed. Pure but for
the senders it is given (`now` is CLOCK_MONOTONIC in seconds).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from common.codecs.table import describe_audio
from common.config.ladder import SourceFormat
from common.ipc.control_messages import Placement
from common.ipc.identity import Generation, StreamId
from common.media.clock import ClockReference
from common.media.gop_buffer import Kept
from common.media.rates import Throughput
from common.media.units import AudioConfig, AudioUnit, DataUnit, VideoConfig, VideoUnit
from common.process.stage_times import StageDelays
from ingest.demand.wanted_renditions import WantedRenditions
from ingest.doctor.source_counts import SourceCounts
from ingest.outputs.egress_output import EgressOutput
from ingest.outputs.outbox import Peers
from ingest.outputs.worker_output import WorkerOutput
from ingest.streams.clock.timeline import Timeline
from ingest.streams.media_events import Metadata, TrackVideo
from ingest.streams.omitted_tracks import OmittedTracks
from ingest.streams.passed_tracks import FIRST, PassedTracks, follow_on
from ingest.streams.source_format import SourceFormatReporter
from ingest.streams.source_gop import GopItem, SourceGop

LOOK_S = 0.5  # between looks at whether somebody still plays a rendition

_OMITTED = "omitted: "


# long: what each kind of media goes through, in the order of its coming
class SourceMedia:
    """One stream's media. What comes before `go_live` waits, or is dropped if it is no header."""

    def __init__(
        self,
        stream_id: StreamId,
        generation: Generation,
        peers: Peers,
        clock: Callable[[], float],
        timeline: Timeline,
        format: SourceFormatReporter,
        counts: SourceCounts,
        delays: StageDelays | None = None,
        passed: PassedTracks | None = None,
        may_begin: Callable[[float], bool] = lambda _: True,
    ) -> None:
        """`clock` is CLOCK_MONOTONIC, also of `delays`; `may_begin`: a stream that is cold, now."""
        self.gop = SourceGop()
        self.worker = WorkerOutput(stream_id, peers)
        self.egress = EgressOutput(stream_id, generation, peers, clock, delays)
        self.throughput = Throughput()
        self.counts = counts  # for the doctor
        self.omitted = OmittedTracks()
        self.passed = passed
        self.on_passed: Callable[[], object] = lambda: None  # other renditions are passed now
        self.audio = ""  # what the sound is, for people
        self.source_clock = ""  # what is wrong with the publisher's, for people
        self.audio_config: AudioConfig | None = None
        self.newest: ClockReference | None = None  # of the last picture; None: it was stood in for
        self.held_s = 0.0  # from that picture on, how long nothing is read from the publisher
        self.is_fast = False  # a file is sent, and read slower
        # Called once, in front of the first media of all, with its stream time and when it came.
        self.on_first: Callable[[int, float], object] | None = None
        # Called once, in front of the next keyframe.
        self.before_key: Callable[[], int] | None = None  # returns how much later times are then
        self._is_live = False
        self._early_metadata = Metadata(b"")  # what came before the publisher's first pictures
        self._timeline = timeline
        self._format = format
        self._clock, self._may_begin = clock, may_begin
        self._placed: Placement | None = None
        self._wanted = WantedRenditions()
        self._wanted_due_s = 0.0  # when to look again
        self._sound_after_ms: int | None = None  # that of the publisher before was sent up to there
        self._may_rest = False  # nobody watches anything of it
        self._has_passed = False  # a rendition is, or was, a track of the publisher
        self._dropped: Counter[str] = Counter()  # by place

    @property
    def measured_fps(self) -> Fraction | None:
        """The frame rate, as measured over the last seconds of stream time."""
        return self._format.measured_fps

    # ---- a publisher's time -------------------------------------------------------------------

    def restart(self) -> None:
        """Another publisher begins: nothing of its media has come yet."""
        self._is_live = False
        self._early_metadata = Metadata(b"")
        self.omitted = OmittedTracks()
        self.audio = self.source_clock = ""
        self.audio_config = None
        self.newest = None
        self.held_s = 0.0
        self.is_fast = False
        self._end_passed()

    def leave(self) -> None:
        """The publisher is gone: no more media before `go_live`."""
        self._is_live = False
        self._end_passed()

    def _end_passed(self) -> None:
        if self.passed is not None:
            self.passed.restart()
            self._look_at_passed()

    def go_live(self, config: VideoConfig) -> None:
        """Begin with this configuration, and with what came ahead of it."""
        self._is_live = True
        self.gop.reset()
        self.gop.set_metadata(self._early_metadata)
        self.gop.add(config)

    def give_way(self, timeline: Timeline) -> None:
        """Another publisher is gone over to, which is there already, with a time of its own."""
        self.worker.leave()
        self._is_live = False
        self._sound_after_ms = self._timeline.audio_ms
        self._timeline = timeline

    def follow_on(self, other: "SourceMedia") -> None:
        """Take what another publisher said ahead of its next picture."""
        if other.gop.metadata is not None:
            self.metadata(other.gop.metadata)
        self.audio, self.audio_config = other.audio, other.audio_config
        self.omitted, self.source_clock = other.omitted, other.source_clock
        follow_on(self.passed, other.passed, self._clock())

    # ---- what is made of it -------------------------------------------------------------------

    def place(self, placed: Placement) -> None:
        """Have it transcoded there, as far as somebody plays it."""
        self._placed = placed
        self.look_at_demand(self._clock())
        self.worker.place(placed, self.gop, self._timeline.clock_reference)

    def look_at_demand(self, now: float) -> None:
        """Have those renditions made that are wanted now."""
        self._wanted_due_s = now + LOOK_S
        placed = self._placed
        self._may_rest = False
        if placed is not None and placed.template.names_on_demand:
            demanded = self.egress.demanded
            wanted = self._wanted.look(placed.template, placed.renditions, demanded, now)
            self._may_rest = wanted == () and not (self._wanted.has_demand(now) or self._has_passed)
            self._wake_egress()
            self._want(wanted)
        else:
            self._wake_egress()
            if placed is not None and self._has_passed:
                self._want(placed.renditions)

    def _want(self, renditions: tuple[str, ...] | None) -> None:
        """Have these made, but for those that are passed; of a cold stream when it is its turn."""
        if renditions is not None and self.passed is not None and self.passed.names:
            renditions = tuple(name for name in renditions if name not in self.passed.names)
        if renditions and self.worker.is_cold and not self._may_begin(self._clock()):
            self._wanted_due_s = 0.0  # at the next tick again
        else:
            self.worker.want(renditions, self.gop, self._timeline.clock_reference)

    def _wake_egress(self) -> None:
        """Have egresses given what they lack, where somebody watches or it would be lost."""
        egress = self.egress
        if egress.is_resting and not (self._may_rest and self.gop.is_lasting):
            egress.wake()

    def tick(self, now: float) -> None:
        """Do what is due by the clock for its workers."""
        if self.passed is not None and self.passed.has_tracks:
            self.passed.tick(now)
            self._look_at_passed()
        if now >= self._wanted_due_s:
            self.look_at_demand(now)
        self.worker.tick(self._timeline.now_ms(now))

    # ---- media --------------------------------------------------------------------------------

    def video(self, unit: VideoUnit) -> None:
        """Send one access unit, behind its configuration."""
        if self.on_first is not None:
            self._begin(unit)
        if self.before_key is not None and unit.is_random_access:
            before_key, self.before_key = self.before_key, None
            by_ms = before_key()
            if by_ms:
                unit = replace(unit, dts_ms=unit.dts_ms + by_ms)
        # First whoever waits for it: what is noted about it has time.
        egress, worker = self.egress, self.worker
        is_played = egress.has_source_players
        if not is_played:
            worker.unit(unit)
        if self._may_rest and unit.is_random_access:
            egress.rest(self.gop)
        egress.put(unit)
        egress.flush()
        if is_played:
            worker.unit(unit)
        self.throughput.count(1, len(unit.data), unit.received_s)
        self.newest = ClockReference(unit.dts_ms, unit.received_s)
        self.held_s = 0.0
        self._format.observe(unit)
        self.counts.picture(unit)
        if unit.is_key:
            self.gop.keeps_last = egress.may_be_cut
        if self.gop.add(unit) is Kept.OVERFLOWED:
            self._dropped["GOP longer than the buffer"] += 1
        if egress.is_resting:
            self._wake_egress()
        if worker.is_waiting:
            worker.follow(self.gop, self._timeline.clock_reference)
        if self.passed is not None and self.passed.has_tracks:
            self._pass(self.passed, FIRST, unit)

    def on_source(self, source: SourceFormat | None, config: VideoConfig, now: float) -> None:
        """The first track's parameter sets have come: what renditions there are may be others."""
        if self.passed is not None:
            self.passed.on_source(source, config, now)
            self._look_at_passed()

    def may_pass(self, track_id: int) -> bool:
        """Whether a further track of video stands in for a rendition, or nobody knows yet."""
        return self.passed is not None and self.passed.may_be_passed(track_id)

    def track(self, event: TrackVideo, now: float) -> None:
        """Take what a further track of video had."""
        passed, result = self.passed, event.result
        if passed is None:
            return
        if isinstance(result, VideoUnit):
            if self._is_live:
                self._pass(passed, event.track_id, result)
        elif isinstance(result, VideoConfig):
            passed.configure(event.track_id, result, self.gop.video_config, now)
            self._look_at_passed()
        else:
            passed.broken(event.track_id, result.reason)
            self._look_at_passed()

    def _pass(self, passed: PassedTracks, track_id: int, unit: VideoUnit) -> None:
        name = passed.unit(track_id, unit, unit.received_s)
        self._look_at_passed()
        if name:
            self.egress.pass_unit(name, unit)

    def _look_at_passed(self) -> None:
        if self.passed is not None and self.passed.has_changed:
            self.passed.has_changed = False
            self._has_passed = True
            self.egress.pass_renditions(self.passed.described())
            self.on_passed()

    def configure(self, config: VideoConfig) -> None:
        """New parameter sets of a stream that is live."""
        self.gop.add(config)
        self.egress.open_source(self.gop)

    def audio_unit(self, unit: AudioUnit) -> None:
        """Send one frame of sound. Before the first picture there is nobody to give it to."""
        self.throughput.count(0, len(unit.data), unit.received_s)
        self.counts.sound(unit)
        if self._sound_after_ms is not None:
            if unit.dts_ms <= self._sound_after_ms:
                return
            self._sound_after_ms = None
        if self._is_live:
            if self.on_first is not None:
                self._begin(unit)
            self._put(unit)

    def audio_configure(self, config: AudioConfig) -> None:
        """Take the audio's format, new or changed."""
        self.audio = describe_audio(config)
        self.audio_config = config
        if self._is_live:
            self._put(config)

    @property
    def is_sound_omitted(self) -> bool:
        """Sound comes that cannot be passed on, and no other."""
        return self.audio.startswith(_OMITTED)

    def audio_omitted(self, what: str) -> None:
        """Note audio that cannot be passed on, for status."""
        if not self.audio:
            self.audio = f"{_OMITTED}{what}"

    def data(self, unit: DataUnit) -> None:
        """Send a data message other than onMetaData."""
        if self._is_live:
            self._put(unit)

    def metadata(self, metadata: Metadata) -> None:
        """Take what the publisher says of its stream."""
        self._format.declare(metadata.fps, metadata.size)
        if self._is_live:
            self.gop.set_metadata(metadata)
            self.egress.open_source(self.gop)
        else:
            self._early_metadata = metadata

    def lose_picture(self, reason: str) -> None:
        """A picture could not be read: what refers to it is of no use to anyone."""
        self._dropped[reason] += 1
        self.counts.unreadable += 1
        self.worker.lose()
        self.egress.lose()

    def drop(self, reason: str) -> None:
        """A message that nothing refers to was dropped."""
        self._dropped[reason] += 1

    def end_read(self, now: float) -> None:
        """Send what one read has brought."""
        self.egress.end_read(now)

    def put_silence(self, unit: AudioUnit) -> None:
        """Send a frame of silence in place of a publisher's that is away."""
        self._timeline.fill_audio(unit.dts_ms)
        self.egress.put(unit)

    # ---- what is known ------------------------------------------------------------------------

    @property
    def has_unsent(self) -> bool:
        """Whether somebody is still owed an end."""
        return self.worker.has_unsent or self.egress.has_unsent

    def dropped(self) -> dict[str, int]:
        """What was dropped, by place."""
        dropped = Counter(self._dropped)
        dropped["to worker"] += self.worker.dropped
        dropped["to egress"] += self.egress.dropped
        return dict(+dropped)

    def _begin(self, unit: VideoUnit | AudioUnit) -> None:
        """Report the stream's first media, before it goes out."""
        if self.on_first is not None:
            self.on_first(unit.dts_ms, unit.received_s)
            self.on_first = None

    def _put(self, item: AudioConfig | AudioUnit | DataUnit) -> None:
        """Keep an item for who comes later, and send it to who is there."""
        self._keep(item)
        self.egress.put(item)

    def _keep(self, item: GopItem) -> None:
        if self.gop.add(item) is Kept.OVERFLOWED:
            self._dropped["GOP longer than the buffer"] += 1
