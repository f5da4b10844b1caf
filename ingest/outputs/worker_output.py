"""One stream's placements: what its workers are sent. Pure but for the links it is given.

There is one current placement at most. In a drain the old one goes on beside the new one until
every picture before the splice point has gone to it; after a loss there is no old one to end. What
a worker that takes nothing is still owed waits here, its end included.

Of a stream of which nothing is made, as nobody plays it, a worker gets a keyframe now and then, to
be looked at. When a rendition is wanted again, it gets the last GOP, and goes on with what comes:
what is encoded of that begins at the last keyframe of the renditions' grid.

Where the last GOP outgrew ingest's limits, a worker that begins gets its keyframe alone and is told
to repeat it until the next keyframe: an older picture of the stream is better than none.
"""

from dataclasses import dataclass

from common.config.ladder import AwayPicture
from common.ipc.control_messages import Placement
from common.ipc.identity import ChildId, StreamId
from common.ipc.media_messages import StreamStart
from common.media.clock import ClockReference
from common.media.units import VideoConfig, VideoUnit
from ingest.outputs.outbox import Peers, WorkerFeed
from ingest.streams.source_gop import SourceGop

LOOK_S = 5.0  # between the keyframes of a stream of which nothing is made
SPLICE_GRACE_MS = 1_000  # a placement ends so long after its splice point, frames or no frames


@dataclass(frozen=True, slots=True)
class _Leaving:
    """A placement that ends at a splice point."""

    feed: WorkerFeed
    splice_ms: int


class WorkerOutput:
    """The placements of one stream, given its video."""

    def __init__(self, stream_id: StreamId, peers: Peers) -> None:
        self._stream_id = stream_id
        self._peers = peers
        self._feed: WorkerFeed | None = None
        self._record = b""  # the parameter sets that the worker has
        self._unplaced: Placement | None = (
            None  # its worker, or the stream's time, is not known yet
        )
        self._leaving: list[_Leaving] = []
        self._ending: list[WorkerFeed] = []  # only their last words are due
        self._lowest_composition_ms = 0
        self._pause: ClockReference | None = None  # the publisher is away; pictures are to stand in
        self._may_go_on = False  # it is only silent
        self._may_freeze = False  # a still may stand in for what is not there
        self._is_left = False  # the next unit is another publisher's, or one's behind a gap
        self._dropped = 0
        self._wanted: tuple[str, ...] | None = None  # the renditions to make; None: all
        self._gop_ms = 0  # of the renditions' grid
        self._looked_s = 0.0  # when the last keyframe came that was to be looked at

    @property
    def worker(self) -> ChildId | None:
        """Who is sent the stream's units."""
        return self._feed.link.child if self._feed is not None else None

    @property
    def is_waiting(self) -> bool:
        """Whether a placement waits for its worker to appear, or for the first picture."""
        return self._unplaced is not None

    @property
    def has_unsent(self) -> bool:
        """Whether a worker is still owed an end."""
        return bool(self._ending)

    @property
    def dropped(self) -> int:
        """Units that a worker did not get, of all placements."""
        return self._dropped + sum(feed.dropped for feed in (*self._feeds(), *self._ending))

    def place(
        self, placed: Placement, gop: SourceGop, clock_reference: ClockReference | None
    ) -> None:
        """Begin at the worker that `placed` names with the last GOP, and leave the one before.

        Without a clock reference there was no picture yet: the first one begins it, by `follow`.
        """
        self._unplaced = None
        old = self._feed
        if old is not None and old.generation == placed.generation:
            return
        link = self._peers.worker(placed.worker) if placed.worker is not None else None
        if placed.worker is not None and (link is None or clock_reference is None):
            self._unplaced = placed
            return
        self._feed = None
        if old is not None:
            self._leave(old, placed.splice_ms)
        config = gop.video_config
        if link is None or config is None or clock_reference is None:
            return
        feed = WorkerFeed(self._stream_id, placed.generation, link)
        self._may_freeze = placed.template.away_picture is AwayPicture.FREEZE
        self._gop_ms = placed.template.gop_ms
        replay, still = self._last_gop(gop)
        resume_after_ms = placed.resume_after_ms
        if still is not None and resume_after_ms is None:
            resume_after_ms = still.dts_ms + still.composition_ms  # its time is long up
        is_repeat = still is not None or old is not None or placed.request_id == 0
        feed.start(
            StreamStart(
                self._stream_id,
                placed.generation,
                placed.template,
                config.codec,
                clock_reference,
                resume_after_ms,
                placed.splice_ms,
                self._wanted,
            ),
            config.record,
            () if self.is_cold else replay,
            is_repeat=is_repeat,
        )
        self._feed = feed
        self._record = config.record
        if not self.is_cold:
            self._go_on(feed, still, clock_reference)
        elif replay and replay[0].is_key:
            self._looked_s = replay[0].received_s
            feed.look(replay[0])

    def _last_gop(self, gop: SourceGop) -> tuple[list[VideoUnit], VideoUnit | None]:
        """What a worker can begin from, and the still that this is where the GOP outgrew limits."""
        replay = [item for item in gop.replay() if isinstance(item, VideoUnit)]
        if replay or not self._may_freeze or gop.still is None:
            return replay, None
        return [gop.still], gop.still

    def _go_on(
        self, feed: WorkerFeed, still: VideoUnit | None, clock_reference: ClockReference
    ) -> None:
        """The worker has the last GOP: what comes behind it goes on from there, if it can."""
        if self._is_left or still is not None:
            feed.wait_for_key()
        if still is not None:
            # What comes before the next keyframe refers to pictures that are not here.
            feed.pause(clock_reference, may_go_on=False)
        elif self._pause is not None:
            self._report_pause(feed, self._pause)

    # ---- what is made -------------------------------------------------------------------------

    @property
    def is_cold(self) -> bool:
        """Whether nothing of the stream is made, as nobody plays it."""
        return self._wanted == ()

    def want(
        self,
        renditions: tuple[str, ...] | None,
        gop: SourceGop,
        clock_reference: ClockReference | None,
    ) -> None:
        """Have these renditions made from now on; None: all."""
        if renditions == self._wanted:
            return
        was_cold, self._wanted = self.is_cold, renditions
        if renditions is None:
            return  # another template: it comes with another placement
        if not was_cold or clock_reference is None:
            for feed in self._feeds():
                feed.want(renditions)
            return
        replay, still = self._last_gop(gop)
        after_ms = None
        if replay:
            last_ms = replay[-1].dts_ms + replay[-1].composition_ms
            after_ms = last_ms // self._gop_ms * self._gop_ms - 1
        for feed in self._feeds():
            feed.want(renditions, after_ms)
            feed.wait_for_key()
            for unit in replay:
                feed.unit(unit, replay=True)
            self._go_on(feed, still, clock_reference)

    def _look(self, unit: VideoUnit) -> None:
        """Have a picture looked at now and then."""
        if unit.is_random_access and unit.received_s - self._looked_s >= LOOK_S:
            self._looked_s = unit.received_s
            for feed in self._feeds():
                feed.look(unit)

    # ---- the publisher's units ----------------------------------------------------------------

    def follow(self, gop: SourceGop, clock_reference: ClockReference | None) -> None:
        """Forget workers that the topology has no more, begin where it could not be begun."""
        feed = self._feed
        if feed is not None and not self._is_present(feed):
            self._dropped += feed.dropped
            self._feed = None  # the supervisor places the stream anew
        for leaving in [entry for entry in self._leaving if not self._is_present(entry.feed)]:
            self._dropped += leaving.feed.dropped
            self._leaving.remove(leaving)
        if self._unplaced is not None:
            self.place(self._unplaced, gop, clock_reference)

    def header(self, config: VideoConfig) -> None:
        """New parameter sets, perhaps those of another publisher, perhaps the same again."""
        if self._feed is None or config.record == self._record:
            return
        self._record = config.record
        self._feed.header(config)
        for leaving in self._leaving:
            leaving.feed.header(config)

    def unit(self, unit: VideoUnit) -> None:
        self._pause = None
        if unit.is_key:
            self._is_left = False
        if self.is_cold:
            self._look(unit)
        elif self._feed is not None:
            self._feed.unit(unit)
        if unit.composition_ms < self._lowest_composition_ms:
            self._lowest_composition_ms = unit.composition_ms
        if self._leaving:
            for leaving in () if self.is_cold else self._leaving:
                leaving.feed.unit(unit)
            self._end_splices_before(unit.dts_ms + self._lowest_composition_ms)

    def leave(self) -> None:
        """The publisher is gone: what comes next refers to nothing that its workers have."""
        self._is_left = True
        for feed in self._feeds():
            feed.wait_for_key()

    def pause(self, clock_reference: ClockReference, *, may_go_on: bool = False) -> None:
        """The publisher is away, or silent: the worker's pictures stand in until the next unit."""
        self._pause, self._may_go_on = clock_reference, may_go_on
        for feed in () if self.is_cold else self._feeds():
            self._report_pause(feed, clock_reference)

    def lose(self) -> None:
        """A unit was lost: what refers to it is of no use."""
        for feed in self._feeds():
            feed.lose()

    def end(self, reason: str) -> None:
        """No more units, for all placements."""
        self._unplaced = None
        feeds = self._feeds()
        self._leaving.clear()
        self._feed = None
        for feed in feeds:
            self._end_feed(feed, reason)

    def tick(self, stream_now_ms: int) -> None:
        """Send what could not be sent before; end what is spliced where no picture gets there."""
        if self._feed is not None:
            self._feed.retry()
        self._end_splices_before(stream_now_ms - SPLICE_GRACE_MS)
        for feed in [entry for entry in self._ending if entry.retry()]:
            self._ending.remove(feed)
            self._dropped += feed.dropped
        for feed in [entry for entry in self._ending if not self._is_present(entry)]:
            self._ending.remove(feed)
            self._dropped += feed.dropped

    def _feeds(self) -> list[WorkerFeed]:
        """Of those who get units."""
        feeds = [leaving.feed for leaving in self._leaving]
        if self._feed is not None:
            feeds.append(self._feed)
        return feeds

    def _report_pause(self, feed: WorkerFeed, clock_reference: ClockReference) -> None:
        feed.pause(clock_reference, may_go_on=self._may_go_on)

    def _is_present(self, feed: WorkerFeed) -> bool:
        return self._peers.worker(feed.link.child) is feed.link

    def _leave(self, old: WorkerFeed, splice_ms: int | None) -> None:
        if splice_ms is None:
            self._end_feed(old, "placed anew")
        else:
            old.splice(splice_ms)
            self._leaving.append(_Leaving(old, splice_ms))

    def _end_splices_before(self, reached_ms: int) -> None:
        """Every picture shown before `reached_ms` has come."""
        for leaving in [entry for entry in self._leaving if reached_ms >= entry.splice_ms]:
            self._leaving.remove(leaving)
            self._end_feed(leaving.feed, "moved")

    def _end_feed(self, feed: WorkerFeed, reason: str) -> None:
        feed.end(reason)
        self._ending.append(feed)
