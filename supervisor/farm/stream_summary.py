"""What became of each stream, in one line of the log at its end. Pure but for the log.

Children's last reports are kept as they come; counters that began anew (another worker, another
ingest, an egress that was started again) are added up. When a stream ends, its ingest, its worker
and its egresses send their last counts; who is gone has reported about a second before.
"""

import logging
import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from common.ipc.control_messages import Heartbeat, PublishEnd, SessionEnd
from common.ipc.identity import ChildId, Generation, StreamId
from common.ipc.status_messages import PublisherStatus, ServedStatus, TranscodeStatus
from common.process.log import Counts, RateLimit, more, stream_label
from supervisor.farm.actions import Action
from supervisor.placement.fleet import Allocation

log = logging.getLogger("tfarm.supervisor.farm.stream_summary")

LAST_COUNTS_S = 2.0  # how long the last counts of children are waited for
MAX_REPORTS = 4  # of one kind that are kept until they are counted
MAX_SOURCES = 8  # of one counter that are kept apart: a stream has one worker, two while it moves
NO_GENERATION = Generation(0)
TOTAL = "total:"  # the stage from a frame's last byte to the last player's send


class Tally:
    """A counter that several sources count, each from 0 on."""

    def __init__(self) -> None:
        self._counted: dict[Hashable, Counter[str]] = {}
        self._before: Counter[str] = Counter()

    def count(self, source: Hashable, counts: dict[str, int]) -> None:
        """Take over what a source counts by now; less than before: it began anew."""
        last, now = self._counted.get(source), Counter(counts)
        if last is not None and any(now[name] < number for name, number in last.items()):
            self._before += last
        self._counted[source] = now
        if len(self._counted) > MAX_SOURCES:
            self._before += self._counted.pop(next(iter(self._counted)))

    def sum(self) -> Counts:
        """Return what all of them counted, without zeros."""
        total = Counter(self._before)
        for counted in self._counted.values():
            total += counted
        return Counts(+total)


class Mean:
    """The mean of one value a second, by name."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: Counter[str] = Counter()

    def add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value
        self._counts[name] += 1

    def means(self) -> Counts:
        return Counts(
            {name: round(total / self._counts[name]) for name, total in self._sums.items()}
        )


@dataclass(slots=True)
class _Course:
    """One stream, from its first report on."""

    began_s: float
    seen_s: float
    generation: Generation = NO_GENERATION
    frames_in: Tally = field(default_factory=Tally)
    frames_out: Tally = field(default_factory=Tally)  # by rendition
    dropped: Tally = field(default_factory=Tally)  # by reason
    publishers: dict[tuple[ChildId, float], PublisherStatus] = field(default_factory=dict)
    transcodes: dict[Generation, TranscodeStatus] = field(default_factory=dict)
    workers: dict[Generation, ChildId | None] = field(default_factory=dict)  # the last ones
    delays: Mean = field(default_factory=Mean)  # by rendition
    players: dict[ChildId, int] = field(default_factory=dict)
    most_players: int = 0
    has_published: bool = False  # else there was a request alone
    reason: str = ""
    until_s: float = math.inf  # when it is written, once it has ended
    awaits_ingest: bool = True  # its last counts
    awaits_worker: bool = False
    awaits_egresses: set[ChildId] = field(default_factory=set)  # once it has ended

    def place(self, generation: Generation, worker: ChildId | None) -> None:
        self.workers[generation] = worker
        self.generation = max(self.generation, generation)
        if len(self.workers) > MAX_REPORTS:
            del self.workers[next(iter(self.workers))]

    def publisher(self, ingest: ChildId, status: PublisherStatus, now: float) -> None:
        self.has_published, self.seen_s = True, now
        self.publishers[ingest, status.since_unix] = status
        if len(self.publishers) > MAX_REPORTS:
            self._count_up()

    def transcode(self, worker: ChildId, status: TranscodeStatus) -> None:
        """Take over a worker's report; of another worker than the stream's it is not taken."""
        if self.workers.get(status.generation) != worker:
            return
        self.awaits_worker = True
        self.transcodes[status.generation] = status
        if len(self.transcodes) > MAX_REPORTS:
            self._count_up()

    def end(self, ingest: ChildId, last: PublisherStatus, reason: str, now: float) -> None:
        """Take over why its ingest ended it, and the last counts."""
        self.publisher(ingest, last, now)
        self.reason, self.awaits_ingest = reason, False

    def close(self, reason: str, now: float) -> None:
        """Wait for what is still to come; `reason` is for where its ingest gave none."""
        self.reason = self.reason or reason
        self.until_s = now + LAST_COUNTS_S
        self.awaits_egresses = set(self.players)

    def end_session(self, worker: ChildId, last: TranscodeStatus) -> None:
        """Take over the last counts of a session."""
        if self.workers.get(last.generation) == worker:
            self.transcode(worker, last)
            self.awaits_worker = last.generation < self.generation

    def served(self, egress: ChildId, status: ServedStatus) -> None:
        dropped = sum(rendition.dropped for rendition in status.renditions)
        self.dropped.count(egress, {"players": dropped})
        self.players[egress] = sum(rendition.players for rendition in status.renditions)
        self.most_players = max(self.most_players, sum(self.players.values()))
        for stage, figures in status.stages_ms.items():
            if stage.startswith(TOTAL):
                self.delays.add(stage.removeprefix(TOTAL), figures[0])

    def sums(self) -> tuple[int, Counts, Counts]:
        """Return the source's frames, each rendition's, and what was dropped by reason."""
        self._count_up()
        frames_in = self.frames_in.sum().get("frames", 0)
        return frames_in, self.frames_out.sum(), self.dropped.sum()

    def _count_up(self) -> None:
        """Count what the reports that are kept say."""
        for source, status in self.publishers.items():
            self.frames_in.count(source, {"frames": status.frames})
            self.dropped.count(source, status.dropped)
        for generation, made in self.transcodes.items():
            frames = {rendition.name: rendition.frames for rendition in made.renditions}
            self.frames_out.count(generation, frames)
            lost = {"worker": made.dropped, "encoder": made.dropped_by_renditions}
            self.dropped.count(generation, lost)
        self.publishers, self.transcodes = {}, {}


class StreamSummaries:
    """Writes the closing line of every stream."""

    def __init__(self) -> None:
        self._live: dict[StreamId, _Course] = {}
        self._ended: dict[StreamId, _Course] = {}
        self._lines = RateLimit(burst=200, interval_s=0.2)
        self._now_s = 0.0

    # ---- reports --------------------------------------------------------------------------------

    def observe(
        self,
        child: ChildId,
        publishers: Iterable[PublisherStatus],
        transcodes: Iterable[TranscodeStatus],
        served: Iterable[ServedStatus],
        now: float,
    ) -> None:
        """Take over a heartbeat, of streams that are live."""
        self._now_s = now
        for publisher in publishers:
            if (course := self._live.get(publisher.stream_id)) is not None:
                course.publisher(child, publisher, now)
        for transcode in transcodes:
            if (course := self._live.get(transcode.stream_id)) is not None:
                course.transcode(child, transcode)
        for one in served:
            if (course := self._live.get(one.stream_id)) is not None:
                course.served(child, one)

    def place(self, allocation: Allocation, now: float) -> None:
        """Note where a stream is from now on; a new one begins to be counted."""
        self._now_s = now
        course = self._live.setdefault(allocation.stream_id, _Course(now, now))
        course.place(allocation.generation, allocation.device)

    def on_end(self, ingest: ChildId, end: PublishEnd, now: float) -> None:
        """Take the reason of its ingest, and its last counts; before or behind `close`."""
        if end.last is None or ingest.kind != "ingest":
            return  # a request that was given up; what no other child can know
        course = self._live.get(end.stream_id) or self._ended.get(end.stream_id)
        if course is None:
            return
        course.end(ingest, end.last, end.reason, now)
        self._write_if_whole(end.stream_id)

    def on_session_end(self, worker: ChildId, end: SessionEnd, now: float) -> list[Action]:
        """Take the last counts of a session, whether its stream has ended or goes on elsewhere."""
        self._now_s, last = now, end.last
        ended = self._ended.get(last.stream_id)
        if ended is not None and last.generation <= ended.generation:
            ended.end_session(worker, last)
            self._write_if_whole(last.stream_id)
        elif (course := self._live.get(last.stream_id)) is not None:
            course.end_session(worker, last)
        return []

    def on_served_last(self, egress: ChildId, beat: Heartbeat) -> None:
        """Take an egress's last counts of streams; of one that it lacks it has said them before."""
        last = {one.stream_id: one for one in beat.served_last}
        still = {one.stream_id for one in beat.served}
        for stream_id, one in last.items():
            live = self._live.get(stream_id)
            course = self._ended.get(stream_id, live)
            if course is not None and (course is not live or one.generation in live.workers):
                course.served(egress, one)
        for stream_id, course in tuple(self._ended.items()):
            if stream_id in last or stream_id not in still:
                course.awaits_egresses.discard(egress)
                self._write_if_whole(stream_id)

    def close(self, stream_id: StreamId, reason: str) -> None:
        """Its room is given up: the line is due when the last counts are there, or late."""
        course = self._live.pop(stream_id, None)
        if course is None:
            return
        if stream_id in self._ended:
            self._write(stream_id)
        course.close(reason, self._now_s)
        self._ended[stream_id] = course
        self._write_if_whole(stream_id)

    # ---- time -----------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        return min((course.until_s for course in self._ended.values()), default=math.inf)

    def tick(self, now: float) -> list[Action]:
        """Write those whose last counts do not come."""
        self._now_s = now
        for stream_id in [name for name, one in self._ended.items() if now >= one.until_s]:
            self._write(stream_id)
        return []

    def write_all(self, reason: str) -> None:
        """Write all that is left: the farm ends."""
        for stream_id in list(self._live):
            self.close(stream_id, reason)
        for stream_id in list(self._ended):
            self._write(stream_id)

    # ---- inside ---------------------------------------------------------------------------------

    def _write_if_whole(self, stream_id: StreamId) -> None:
        course = self._ended.get(stream_id)
        if course is None or course.awaits_ingest or course.awaits_worker:
            return
        if not course.awaits_egresses:
            self._write(stream_id)

    def _write(self, stream_id: StreamId) -> None:
        course = self._ended.pop(stream_id)
        held = self._lines.allow(self._now_s) if course.has_published else None
        if held is None:
            return
        frames_in, frames_out, dropped = course.sums()
        log.info(
            "stream summary stream=%s seconds=%.0f frames_in=%d frames_out=%s dropped=%s"
            " mean_delay_ms=%s most_players=%d reason=%s%s",
            stream_label(stream_id),
            course.seen_s - course.began_s,
            frames_in,
            frames_out,
            dropped,
            course.delays.means(),
            course.most_players,
            course.reason,
            more(held),
        )
