"""Counters that only grow, of streams and processes that come and go. Pure.

The farm's figures count since each stream's start at each process, so they end with the stream, and
begin anew where it is placed anew. Here they are summed: what a source's count grew by since the
last look is added to what its app has. What a stream counts between the last look and its end is
not seen.

A source that is missing for a while, as all are while a supervisor is replaced, goes on where it
was. A process that was started later than its farm begins at 0 with its first look: else all that
was counted so far would seem to have come in one moment.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from typing import Final

from common.ipc.figures import ChildFigures, FarmFigures, StreamFigures

# Which total, and its labels: ("frames_encoded", "live", "720p").
Total = tuple[str, ...]
Counts = Mapping[Total, float]
SUM: Final = "sum"  # of a histogram, beside its buckets
LATER_S: Final = 30.0  # than its farm
KEPT_LOOKS: Final = 40  # at least half as many a source that is missing is remembered


class Totals:
    """The sums of one farm, as far as this process has seen it."""

    def __init__(self, began_unix: float = float("-inf")) -> None:
        """`began_unix` is when this process was started."""
        self.sums: defaultdict[Total, float] = defaultdict(float)
        self._began_unix = began_unix
        self._last: dict[Hashable, Counts] = {}
        self._missing: dict[Hashable, Counts] = {}  # since the last time that it was turned over …
        self._missing_before: dict[Hashable, Counts] = {}  # … and since the time before that
        self._looks = 0

    def observe(self, figures: FarmFigures) -> None:
        """Take newer figures in."""
        self._looks += 1
        if self._looks % (KEPT_LOOKS // 2) == 0:
            self._missing_before, self._missing = self._missing, {}
        found: dict[Hashable, Counts] = {}
        for source, counts in _sources(figures):
            before = self._last.pop(source, None)
            if before is None:
                before = self._missing.pop(source, None) or self._missing_before.pop(source, {})
            found[source] = counts
            if self._looks == 1 and self._began_unix - figures.since_unix > LATER_S:
                before = counts
            if counts != before:
                self._add(counts, before)
        self._missing |= self._last
        self._last = found

    def _add(self, counts: Counts, before: Counts) -> None:
        sums = self.sums
        for total, count in counts.items():
            known = before.get(total, 0)
            # Less than before: whoever counts began anew.
            sums[total] += count - known if count >= known else count


def _sources(figures: FarmFigures) -> Iterator[tuple[Hashable, Counts]]:
    """Everyone who counts, and what."""
    for stream in figures.streams:
        yield from _of_stream(stream)
    for child in figures.children:
        yield from _of_child(child)
    refused: dict[Total, float] = {
        ("refusals", what, why, cause): times for what, why, cause, times in figures.refused
    }
    yield "refused", refused


def _of_stream(stream: StreamFigures) -> Iterator[tuple[Hashable, Counts]]:
    app, label = stream.app, stream.label
    if (received := stream.received) is not None:
        counts: dict[Total, float] = {
            ("frames_received", app): received.frames,
            ("ingest_bytes", app): received.bytes,
        }
        counts["publisher_switches", app] = received.switches
        for place, count in received.dropped.items():
            counts["frames_dropped", app, place] = count
        yield (label, received.since), counts
    if (made := stream.made) is not None:
        counts = {
            ("frames_decoded", app): made.frames_decoded,
            ("decode_errors", app): made.decode_errors,
            ("frames_dropped", app, "worker"): made.dropped,
            ("frames_dropped", app, "rendition"): made.dropped_by_renditions,
        }
        for rendition, count in made.frames.items():
            counts["frames_encoded", app, rendition] = count
        yield (label, made.since), counts
    for since, rendition, dropped, sent_bytes in stream.served:
        counts = {
            ("frames_dropped", app, "player"): dropped,
            ("egress_bytes", app, rendition): sent_bytes,
        }
        yield (label, since, rendition), counts


_PACKETS: Final = "packets "  # what begins the srt child's counters of them
_HOOKS: Final[Mapping[str, Total]] = {
    "allowed": ("hook_answers", "allowed"),
    "denied": ("hook_answers", "denied"),
    "without an answer": ("hook_answers", "none"),
    "notices taken": ("hook_notices", "taken"),
    "notices sent again": ("hook_notices", "retried"),
    "notices lost": ("hook_notices", "lost"),
}


def _of_cluster(counters: Mapping[str, int]) -> Counts:
    failed = counters.get("failures", 0)
    return {
        ("cluster_calls", "answered"): counters.get("calls", 0) - failed,
        ("cluster_calls", "failed"): failed,
        ("cluster_claims",): counters.get("claims", 0),
        ("cluster_claim_seconds",): counters.get("claims ms", 0) / 1000,
    }


def _of_child(child: ChildFigures) -> Iterator[tuple[Hashable, Counts]]:
    if child.kind == "hooks":
        found = {total: child.counters.get(name, 0) for name, total in _HOOKS.items()}
        yield (child.name, "hooks", child.since), found
    if child.kind == "cluster":
        yield (child.name, "cluster", child.since), _of_cluster(child.counters)
    if child.kind == "relay":
        dropped: dict[Total, float] = {("link_dropped",): child.counters.get("relay dropped", 0)}
        yield (child.name, "relay", child.since), dropped
    if child.kind == "srt":
        packets: dict[Total, float] = {
            ("srt_packets", name.removeprefix(_PACKETS)): count
            for name, count in child.counters.items()
            if name.startswith(_PACKETS)
        }
        yield (child.name, "srt", child.since), packets
    if child.kind == "record":
        files: dict[Total, float] = {
            ("recorded_bytes",): child.counters.get("recorded bytes", 0),
            ("recorded_files",): child.counters.get("recorded files", 0),
            ("recorded_lost_files",): child.counters.get("recorded lost", 0),
        }
        yield (child.name, "record", child.since), files
    if child.kind == "upload":
        copies: dict[Total, float] = {
            ("uploaded_files",): child.counters.get("uploaded files", 0),
            ("uploaded_bytes",): child.counters.get("uploaded bytes", 0),
            ("failed_uploads",): child.counters.get("failed uploads", 0),
        }
        yield (child.name, "upload", child.since), copies
    # of the supervisor's own count: it has none of itself
    yield (child.name, "restarts"), {("child_restarts", child.kind): child.restarts}
    if child.delays:
        counts: dict[Total, float] = {}
        for stage, rendition, buckets, seconds in child.delays:
            for index, count in enumerate(buckets):
                counts["stage_delay", stage, rendition, str(index)] = count
            counts["stage_delay", stage, rendition, SUM] = seconds
        yield (child.name, "delays", child.since), counts
