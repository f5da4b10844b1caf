"""The farm's figures as Prometheus reads them. Pure.

Names and units are as its conventions ask: base units, `_total` for what only grows. No label names
a connection; a stream's label is what logs call it, never its key. `METRICS` is all there is,
docs/metrics.md has the same table, and a test compares them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from api.totals import Totals
from common.process.log import stream_label

PREFIX: Final = "tfarm_"
MAX_STREAMS: Final = 1_000  # with series of their own


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its name without prefix, what it says, and its labels."""

    name: str
    words: str
    labels: tuple[str, ...] = ()
    is_counter: bool = False


def _metric(name: str, words: str, *labels: str) -> MetricSpec:
    return MetricSpec(name.removesuffix("_total"), words, labels, name.endswith("_total"))


METRICS: Final = (
    _metric("build_info", "The version of tfarm; always 1.", "version"),
    _metric("supervised", "1: a supervisor answers; 0: all figures are those that it gave last."),
    _metric("ready", "1: another publisher would be let in, as /readyz says."),
    _metric("start_time_seconds", "When the supervisor started, in seconds since 1970."),
    # streams, by app
    _metric("streams", "Streams, by state.", "app", "state"),
    _metric("players", "Players.", "app", "protocol", "rendition"),
    _metric("waiting_players", "Players that wait for a publisher.", "app"),
    _metric("queued_publishers", "Publish requests that wait for an answer."),
    _metric("ingest_bytes_total", "Bytes of pictures and sound that publishers sent.", "app"),
    _metric("frames_received_total", "Coded pictures that publishers sent.", "app"),
    _metric("frames_decoded_total", "Pictures that were decoded.", "app"),
    _metric(
        "frames_encoded_total", "Pictures of renditions that were encoded.", "app", "rendition"
    ),
    _metric(
        "frames_dropped_total",
        "Pictures that were dropped: on the way from ingest to a worker or an egress, before the "
        "decoder (worker), before an encoder (rendition), or for a player that was slow (player).",
        "app",
        "place",
    ),
    _metric("decode_errors_total", "Coded pictures that did not decode.", "app"),
    _metric(
        "stage_delay_seconds",
        "How long a stage of the frame path takes, of the slowest "
        "stream: quantiles over the last 10 to 20 s.",
        "stage",
        "quantile",
    ),
    # who was refused, and the processes
    _metric("refusals_total", "Publishers and players that were refused or cut off.", "reason"),
    _metric("bans", "Addresses, networks and streams that are banned."),
    _metric("child_restarts_total", "Processes that were started again.", "kind"),
    _metric("child_up", "1: the process is ready.", "child"),
    _metric("child_memory_bytes", "Proportional memory of a process (PSS).", "child"),
    _metric("child_cpu_ratio", "Cores that a process used over the last second.", "child"),
    # devices
    _metric("device_up", "1: the device takes streams.", "device"),
    _metric("device_streams", "Streams on a device.", "device"),
    _metric("device_load", "What its streams have booked of a device, in units.", "device"),
    _metric("device_capacity", "How much a device can do, in units.", "device"),
    _metric("device_memory_bytes", "Memory of a GPU.", "device"),
    _metric("device_memory_booked_bytes", "What of it is booked.", "device"),
    _metric(
        "device_engine_ratio",
        "The share of an engine of a calibrated GPU that is booked.",
        "device",
        "engine",
    ),
    _metric(
        "device_use_ratio",
        "The share of time that a GPU's kernels (compute), decoders and encoders worked, as NVML "
        "counts it: of all programs on it.",
        "device",
        "engine",
    ),
    _metric("device_memory_used_bytes", "Memory of a GPU that is in use, likewise.", "device"),
    _metric("device_queue_seconds", "The longest queue of media before its decoders.", "device"),
    _metric("host_used", "What is booked of what devices share, in units.", "resource"),
    _metric("host_capacity", "How much of it there is.", "resource"),
    # one stream
    _metric(
        "stream_info",
        "A stream and its source; always 1.",
        "app",
        "stream",
        "state",
        "device",
        "width",
        "height",
        "codec",
    ),
    _metric("stream_source_bytes_per_second", "What its publisher sends.", "app", "stream"),
    _metric("stream_source_frames_per_second", "Pictures that it sends.", "app", "stream"),
    _metric("stream_queue_seconds", "Media that waits for its decoder.", "app", "stream"),
    _metric("stream_notices", "What is wrong with its source: so many notices.", "app", "stream"),
    _metric(
        "stream_av_skew_seconds",
        "How much later its sound comes than its pictures; below 0: earlier.",
        "app",
        "stream",
    ),
    _metric("stream_players", "Players of a rendition.", "app", "stream", "rendition"),
    _metric("stream_frames_per_second", "Pictures of a rendition.", "app", "stream", "rendition"),
    _metric("stream_bytes_per_second", "Bytes of a rendition.", "app", "stream", "rendition"),
    _metric(
        "stream_delay_seconds",
        "From a picture's last byte to the end of the last player's "
        "send call: quantiles over the last 10 to 20 s.",
        "app",
        "stream",
        "rendition",
        "quantile",
    ),
)

_TABLE: Final = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- end -->)", re.DOTALL)


def with_metrics(text: str) -> str:
    """The document with its table of metrics written anew."""
    lines = ["| metric | kind | labels | says |", "|---|---|---|---|"]
    for family in METRICS:
        name = PREFIX + family.name + ("_total" if family.is_counter else "")
        kind = "counter" if family.is_counter else "gauge"
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{name}` | {kind} | {labels} | {family.words} |")
    table = "\n".join(lines) + "\n"
    return _TABLE.sub(lambda _: table, text)


_QUANTILES: Final = ("0.5", "0.99")
_UP: Final = frozenset({"ready", "overloaded"})
Row = tuple[str, Sequence[object], float]  # a family's name, labels, the value


class FarmCollector:
    """A collector of `prometheus_client`, of one document."""

    def __init__(
        self,
        document: Mapping[str, Any],
        totals: Totals,
        *,
        is_current: bool,
        has_streams: bool = True,
    ) -> None:
        """`has_streams`: single streams have series of their own."""
        self._document = document
        self._totals = totals
        self._is_current = is_current
        self._has_streams = has_streams

    def collect(self) -> Iterable[Metric]:
        """All metrics with their samples, those without any left out."""
        rows: dict[str, list[tuple[list[str], float]]] = defaultdict(list)
        parts = [self._farm(), self._totals_rows(), self._stages(), self._parts()]
        if self._has_streams:
            parts.append(self._streams())
        for part in parts:
            for name, labels, value in part:
                rows[name].append(([str(label) for label in labels], value))
        for family in METRICS:
            if found := rows.get(family.name):
                make = CounterMetricFamily if family.is_counter else GaugeMetricFamily
                metric = make(PREFIX + family.name, family.words, labels=family.labels)
                for labels, value in found:
                    metric.add_metric(labels, value)
                yield metric

    def _farm(self) -> Iterator[Row]:
        document = self._document
        is_ready = self._is_current and not (document["closed"] or document["no_room"])
        yield "build_info", (document["version"],), 1
        yield "supervised", (), self._is_current
        yield "ready", (), is_ready
        yield "start_time_seconds", (), document["since_unix"]
        yield "queued_publishers", (), document["queued"]
        yield "bans", (), len(document["bans"])
        states = Counter((stream["app"], stream["state"]) for stream in document["streams"])
        for app in document["apps"]:
            states.setdefault((app, "live"), 0)
        for labels, count in states.items():
            yield "streams", labels, count
        waiting: Counter[str] = Counter()
        players: Counter[tuple[str, str, str]] = Counter()
        for app, names in document["apps"].items():
            waiting[app] += 0
            for name in names:
                players[app, "rtmp", name] += 0
        for stream in document["streams"]:
            waiting[stream["app"]] += stream["waiting_players"]
            for rendition in stream["renditions"]:
                players[stream["app"], "rtmp", rendition["name"]] += rendition["players"]
        for app, count in waiting.items():
            yield "waiting_players", (app,), count
        for labels3, count in players.items():
            yield "players", labels3, count

    def _totals_rows(self) -> Iterator[Row]:
        names = {"restarts": "child_restarts"}
        for (total, *labels), count in self._totals.sums.items():
            yield names.get(total, total), labels, count

    def _stages(self) -> Iterator[Row]:
        """Of a stage of all renditions, the slowest stream's slowest rendition."""
        slowest: dict[str, list[float]] = {}
        for stream in self._document["streams"]:
            for stage, times in stream["stages_ms"].items():
                name = stage.partition(":")[0]
                known = slowest.setdefault(name, [0.0] * len(times))
                slowest[name] = [max(pair) for pair in zip(known, times, strict=False)]
        for stage, times in slowest.items():
            for quantile, ms in zip(_QUANTILES, times, strict=False):
                yield "stage_delay_seconds", (stage, quantile), ms / 1000

    def _parts(self) -> Iterator[Row]:
        document = self._document
        for child in (document["supervisor"], *document["children"]):
            name = (child["name"],)
            yield "child_up", name, child["state"] == "ready"
            yield "child_memory_bytes", name, child["memory_bytes"]
            yield "child_cpu_ratio", name, child["cpu_percent"] / 100
        for device in document["devices"]:
            name = (device["name"],)
            yield "device_up", name, device["state"] in _UP
            yield "device_streams", name, device["streams"]
            yield "device_load", name, device["used"]
            yield "device_capacity", name, device["capacity"]
            yield "device_queue_seconds", name, device["queue_ms"] / 1000
            if device.get("memory_bytes"):
                yield "device_memory_bytes", name, device["memory_bytes"]
                yield "device_memory_booked_bytes", name, device["memory_used"]
            if use := device.get("use"):
                for engine in ("compute", "decode", "encode"):
                    yield "device_use_ratio", (*name, engine), use[engine]
                yield "device_memory_used_bytes", name, use["memory_bytes"]
            for engine, share in device.get("engines", {}).items():
                yield "device_engine_ratio", (*name, engine), share
        for resource, amounts in document["host"].items():
            yield "host_used", (resource,), amounts["used"]
            if amounts["capacity"] is not None:
                yield "host_capacity", (resource,), amounts["capacity"]

    def _streams(self) -> Iterator[Row]:
        for stream in self._document["streams"][:MAX_STREAMS]:
            app = stream["app"]
            label = stream_label(f"{app}/{stream['key']}")
            names = (app, label)
            facts = (stream[name] for name in ("state", "device", "width", "height", "codec"))
            yield "stream_info", (*names, *facts), 1
            yield "stream_source_bytes_per_second", names, stream["bitrate_bps"] / 8
            yield "stream_source_frames_per_second", names, stream["fps"]
            yield "stream_queue_seconds", names, stream["queue_ms"] / 1000
            yield "stream_notices", names, len(stream["notices"])
            if (skew_ms := stream.get("av_skew_ms")) is not None:
                yield "stream_av_skew_seconds", names, skew_ms / 1000
            for rendition in stream["renditions"]:
                of = (*names, rendition["name"])
                yield "stream_players", of, rendition["players"]
                yield "stream_frames_per_second", of, rendition["fps"]
                yield "stream_bytes_per_second", of, rendition["bitrate_bps"] / 8
            for stage, times in stream["stages_ms"].items():
                what, _, rendition_name = stage.partition(":")
                if what == "total" and rendition_name:
                    for quantile, ms in zip(_QUANTILES, times, strict=False):
                        yield "stream_delay_seconds", (*names, rendition_name, quantile), ms / 1000
