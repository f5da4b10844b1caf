"""Counters that only grow, of streams that come and go. Pure.

The status document counts since each stream's start at each process, so its figures end with the
stream, and begin anew where it is placed anew. Here they are summed: what a figure grew by since
the last document is added to what its app has. What a stream counts between the last look and its
end is not seen.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

# Which total, and its labels: ("frames_encoded", "live", "720p").
Total = tuple[str, ...]
_Key = tuple[Hashable, ...]


class Totals:
    """The sums of one farm, as far as this process has seen it."""

    def __init__(self) -> None:
        self.sums: Counter[Total] = Counter()
        self._last: dict[_Key, int] = {}

    def observe(self, document: Mapping[str, Any]) -> None:
        """Take a newer document in."""
        last, found = self._last, {}
        for total, key, count in _counts(document):
            found[key] = count
            before = last.get(key, 0)
            # Less than before: whoever counts began anew.
            self.sums[total] += count - before if count >= before else count
        self._last = found


# What a stream's publisher counts, and what its worker does.
_OF_PUBLISHER: Final = {"frames": "frames_received", "bytes": "ingest_bytes"}
_OF_WORKER: Final = {"frames_decoded": "frames_decoded", "decode_errors": "decode_errors"}
_DROPPED: Final = {"dropped_by_worker": "worker", "dropped_by_renditions": "rendition"}


def _counts(document: Mapping[str, Any]) -> Iterator[tuple[Total, _Key, int]]:
    """Every count with the total that it belongs to, and who counts it."""
    for stream in document["streams"]:
        app, name = stream["app"], (stream["app"], stream["key"])
        at_ingest = (*name, stream["since_unix"])
        at_worker = (*name, stream["worker"], stream["generation"])
        for field, total in _OF_PUBLISHER.items():
            yield (total, app), (total, *at_ingest), stream.get(field, 0)
        for place, count in stream["dropped"].items():
            yield ("frames_dropped", app, place), ("dropped", place, *at_ingest), count
        for field, total in _OF_WORKER.items():
            yield (total, app), (total, *at_worker), stream[field]
        for field, place in _DROPPED.items():
            total = "frames_dropped"
            yield (total, app, place), (total, place, *at_worker), stream[field]
        for rendition in stream["renditions"]:
            made = rendition["name"]
            if made != "source":
                key = ("encoded", made, *at_worker)
                yield ("frames_encoded", app, made), key, rendition["frames"]
            missed = rendition["dropped_to_players"]
            yield ("frames_dropped", app, "player"), ("missed", made, *name), missed
    for reason, count in document["refused"].items():
        yield ("refusals", reason), ("refused", reason), count
    for child in document["children"]:
        yield ("restarts", child["kind"]), ("restarts", child["name"]), child["restarts"]
