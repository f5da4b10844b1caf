"""The farm's figures as Prometheus reads them, by family of samples. Pure.

Names and units are as its conventions ask: base units, `_total` for what only grows. No label names
a connection; a stream's label is what logs call it, never its key. `METRICS` is all there is,
docs/metrics.md has the same table, and a test compares them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Final

from api.totals import SUM, Totals
from common.ipc.figures import FarmFigures
from common.process.stage_times import DELAY_BOUNDS_S

PREFIX: Final = "tfarm_"
MAX_STREAMS: Final = 1_000  # with series of their own


class Kind(StrEnum):
    """What a metric's samples mean, as Prometheus has it."""

    GAUGE = "gauge"
    COUNTER = "counter"  # its samples end in `_total`
    HISTOGRAM = "histogram"
    SUMMARY = "summary"  # of quantiles alone


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its name without prefix, what it says, and its labels."""

    name: str
    words: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE

    @property
    def shown_name(self) -> str:
        """As it is asked for; a histogram's samples have endings of their own."""
        return PREFIX + self.name + ("_total" if self.kind is Kind.COUNTER else "")


def _metric(name: str, words: str, *labels: str) -> MetricSpec:
    kind = Kind.COUNTER if name.endswith("_total") else Kind.GAUGE
    if "quantile" in labels:
        kind = Kind.SUMMARY
    elif "le" in labels:
        kind = Kind.HISTOGRAM
    return MetricSpec(name.removesuffix("_total"), words, labels, kind)


METRICS: Final = (
    _metric("build_info", "The version of tfarm; always 1.", "version"),
    _metric("supervised", "1: a supervisor answers; 0: all figures are those that it gave last."),
    _metric("ready", "1: another publisher would be let in, as /readyz says."),
    _metric("start_time_seconds", "When the supervisor started, in seconds since 1970."),
    # streams, by app
    _metric("streams", "Streams, by state.", "app", "state"),
    _metric("players", "Players.", "app", "protocol", "rendition"),
    _metric(
        "renditions", "Transcoded renditions, by state: made, starting or cold.", "app", "state"
    ),
    _metric("renditions_low", "Renditions below their `quality_floor`.", "app", "rendition"),
    _metric("waiting_players", "Players that wait for a publisher.", "app"),
    _metric(
        "free_streams",
        "How many more streams of its usual source an app has room for, as `tfarm fit` says; 1000 "
        "are the most that are counted.",
        "template",
    ),
    _metric("queued_publishers", "Publish requests that wait for an answer."),
    _metric("ingest_bytes_total", "Bytes of pictures and sound that publishers sent.", "app"),
    _metric("standby_publishers", "Publishers that stand by for another.", "app"),
    _metric(
        "publisher_switches_total",
        "How often streams went over to a publisher that stood by for them.",
        "app",
    ),
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
    _metric("egress_bytes_total", "Bytes that players took.", "app", "rendition"),
    _metric(
        "stage_delay_seconds",
        "How long a stage of the frame path took, of all streams and processes.",
        "stage",
        "rendition",
        "le",
    ),
    _metric(
        "stage_delay_slowest_seconds",
        "The same of the slowest stream: quantiles over the last 10 to 20 s.",
        "stage",
        "quantile",
    ),
    # who was refused, and the processes
    _metric(
        "refusals_total",
        "Publishers and players that were refused or cut off.",
        "what",
        "reason",
        "cause",
    ),
    _metric("bans", "Addresses, networks and streams that are banned."),
    _metric("child_restarts_total", "Processes that were started again.", "kind"),
    _metric("hook_answers_total", "What hooks said of who asked; none: no answer.", "answer"),
    _metric(
        "hook_notices_total",
        "What became of notices to hooks: taken, retried (sent again), lost.",
        "outcome",
    ),
    _metric("child_up", "1: the process is ready.", "child"),
    _metric(
        "child_memory_bytes",
        "Proportional memory of a process (PSS), at most a minute old.",
        "child",
    ),
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
    _metric("device_power_watts", "What a GPU draws now, of all programs on it.", "device"),
    _metric(
        "device_energy_watt_hours_total",
        "What a GPU drew since this supervisor watches it, likewise.",
        "device",
    ),
    _metric("device_queue_seconds", "The longest queue of media before its decoders.", "device"),
    _metric("host_used", "What is booked of what devices share, in units.", "resource"),
    _metric("host_capacity", "How much of it there is.", "resource"),
    # other hosts of a cluster; a farm that is alone has none of these
    _metric("cluster_in_touch", "1: this host is registered, and etcd answers."),
    _metric("cluster_hosts", "Hosts that it knows: ready, draining, missing.", "state"),
    _metric(
        "cluster_streams",
        "This farm's streams: owned, unregistered (not yet in etcd), or elsewhere (another host "
        "owns them, too).",
        "state",
    ),
    _metric("cluster_etcd_up", "1: this member answered when it was asked last.", "endpoint"),
    _metric("cluster_templates_refused", "1: it does not take the shared templates."),
    _metric("cluster_calls_total", "Requests to etcd: answered, failed.", "outcome"),
    _metric("cluster_claims_total", "Claims of streams that etcd answered."),
    _metric("cluster_claim_seconds_total", "How long these took together."),
    _metric(
        "link_hosts", "Hosts that media goes to (out), and that it comes from (in).", "direction"
    ),
    _metric("link_streams", "Streams that cross to players elsewhere.", "direction"),
    _metric("link_publishers", "Publishers whose stream is at another host.", "direction"),
    _metric("link_dropped_total", "Tags that a link was too slow for."),
    _metric("srt_callers", "Who has called by SRT, to publish or to watch.", "role"),
    _metric(
        "srt_packets_total",
        "Packets by SRT: received, missed (lost, and asked for again), lost (they did not come in "
        "time), sent, sent again, given up.",
        "what",
    ),
    _metric("pulls", "Streams that are fetched from other servers.", "state"),
    _metric("pushes", "Renditions on their way to others' servers.", "state"),
    _metric("recordings", "Renditions on their way to files.", "state"),
    _metric("recorded_bytes_total", "What was written of recordings."),
    _metric("recorded_files_total", "Files of recordings that were finished."),
    _metric(
        "recorded_lost_files_total",
        "Files that were removed before their upload, as the disk was nearly full.",
    ),
    _metric("uploads", "Apps whose recordings are copied to a bucket.", "state"),
    _metric("uploads_waiting_files", "Recordings that are not in their bucket yet."),
    _metric("uploads_waiting_bytes", "How large these are together."),
    _metric("uploads_oldest_seconds", "How long ago the oldest of them was finished."),
    _metric("uploaded_files_total", "Recordings that buckets took."),
    _metric("uploaded_bytes_total", "How large these were together."),
    _metric("failed_uploads_total", "Attempts that failed; each file is tried again."),
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
    _metric("rendition_ssim", "SSIM of its last measured keyframe.", "app", "stream", "rendition"),
    _metric("rendition_psnr_db", "PSNR of its luma, in dB.", "app", "stream", "rendition"),
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

_QUANTILES: Final = ("0.5", "0.99")
_UP: Final = frozenset({"ready", "overloaded"})
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_RTMP: Final = "rtmp"
_INFINITE: Final = "+Inf"
_BUCKETS: Final = (*map(repr, DELAY_BOUNDS_S), _INFINITE)

# Of each family what follows its name: `{app="live"} 5`.
Samples = Mapping[str, Iterable[str]]


def samples(
    figures: FarmFigures, totals: Totals, *, is_current: bool, has_streams: bool = True
) -> Samples:
    """All samples of a farm; `has_streams`: single streams have series of their own."""
    found = _Samples()
    _add_farm(found, figures, is_current=is_current)
    _add_low(found, figures)
    _add_totals(found, totals)
    _add_parts(found, figures)
    if has_streams:
        _add_streams(found, figures)
    return found.lines


class _Samples:
    """Those that were found so far."""

    def __init__(self) -> None:
        self.lines: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, name: str, value: float, **labels: object) -> None:
        self.lines[name].append(f"{_braced(labels)} {float(value)}")


def _braced(labels: Mapping[str, object]) -> str:
    return f"{{{_pairs(labels)}}}" if labels else ""


def _pairs(labels: Mapping[str, object]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: object) -> str:
    return str(value).translate(_ESCAPES)


def _add_farm(found: _Samples, figures: FarmFigures, *, is_current: bool) -> None:
    found.add("build_info", 1, version=figures.version)
    found.add("supervised", is_current)
    found.add("ready", is_current and figures.is_ready)
    found.add("start_time_seconds", figures.since_unix)
    found.add("queued_publishers", figures.queued)
    for app, count in figures.free_streams.items():
        found.add("free_streams", count, template=app)
    found.add("bans", figures.bans)
    states = Counter((stream.app, stream.state) for stream in figures.streams)
    waiting: Counter[str] = Counter()
    made: Counter[tuple[str, str]] = Counter()
    players: Counter[tuple[str, str, str]] = Counter()
    for app, names in figures.apps.items():
        states[app, "live"] += 0
        waiting[app] += 0
        for name in names:
            players[app, _RTMP, name] += 0
    for stream in figures.streams:
        waiting[stream.app] += stream.waiting_players
        for rendition in stream.renditions:
            if rendition.state:
                made[stream.app, rendition.state] += 1
            others = {by: n for by, n in rendition.players_by.items() if by != _RTMP}
            for protocol, count in others.items():
                players[stream.app, protocol, rendition.name] += count
            rtmp = rendition.players - sum(others.values())
            players[stream.app, _RTMP, rendition.name] += rtmp
    for (app, state), count in made.items():
        found.add("renditions", count, app=app, state=state)
    for (app, state), count in states.items():
        found.add("streams", count, app=app, state=state)
    standbys = Counter(dict.fromkeys(figures.apps, 0))
    standbys.update(stream.app for stream in figures.streams if stream.has_standby)
    for app, count in standbys.items():
        found.add("standby_publishers", count, app=app)
    for app, count in waiting.items():
        found.add("waiting_players", count, app=app)
    for (app, protocol, name), count in players.items():
        found.add("players", count, app=app, protocol=protocol, rendition=name)
    for stage, times in figures.stages_ms.items():
        for quantile, ms in zip(_QUANTILES, times, strict=False):
            found.add("stage_delay_slowest_seconds", ms / 1000, stage=stage, quantile=quantile)


def _add_low(found: _Samples, figures: FarmFigures) -> None:
    """Renditions below their floors, of those that have one."""
    low: Counter[tuple[str, str]] = Counter()
    for stream in figures.streams:
        for rendition in stream.renditions:
            if rendition.floor is not None:
                low[stream.app, rendition.name] += rendition.is_low
    for (app, name), count in low.items():
        found.add("renditions_low", count, app=app, rendition=name)


def _add_totals(found: _Samples, totals: Totals) -> None:
    histograms: defaultdict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for (name, *labels), count in totals.sums.items():
        if name == "stage_delay":
            histograms[tuple(labels[:-1])][labels[-1]] = count
        else:
            named = dict(zip(_COUNTED[name], labels, strict=True))
            found.add(name, count, **named)
    for (stage, rendition), counts in histograms.items():
        pairs = _pairs({"stage": stage, "rendition": rendition})
        lines = found.lines["stage_delay_seconds"]
        summed = list(accumulate(counts.get(str(i), 0) for i in range(len(_BUCKETS))))
        for bound, count in zip(_BUCKETS, summed, strict=True):
            lines.append(f'_bucket{{{pairs},le="{bound}"}} {count:.0f}')
        lines.append(f"_count{{{pairs}}} {summed[-1]:.0f}")
        lines.append(f"_sum{{{pairs}}} {counts.get(SUM, 0)}")


_COUNTED: Final = {family.name: family.labels for family in METRICS if family.kind is Kind.COUNTER}


def _add_parts(found: _Samples, figures: FarmFigures) -> None:
    """Processes and devices."""
    for child in figures.children:
        found.add("child_up", child.is_ready, child=child.name)
        found.add("child_memory_bytes", child.memory_bytes, child=child.name)
        found.add("child_cpu_ratio", child.cpu_percent / 100, child=child.name)
    for device in figures.devices:
        name = device["name"]
        found.add("device_up", device["state"] in _UP, device=name)
        found.add("device_streams", device["streams"], device=name)
        found.add("device_load", device["used"], device=name)
        found.add("device_capacity", device["capacity"], device=name)
        found.add("device_queue_seconds", device["queue_ms"] / 1000, device=name)
        if device["memory_bytes"]:
            found.add("device_memory_bytes", device["memory_bytes"], device=name)
            found.add("device_memory_booked_bytes", device["memory_used"], device=name)
        if use := device["use"]:
            for engine in ("compute", "decode", "encode"):
                found.add("device_use_ratio", use[engine], device=name, engine=engine)
            found.add("device_memory_used_bytes", use["memory_bytes"], device=name)
            if use["watts"] is not None:
                found.add("device_power_watts", use["watts"], device=name)
            if use["watt_hours"] is not None:
                found.add("device_energy_watt_hours", use["watt_hours"], device=name)
        for engine, share in device["engines"].items():
            found.add("device_engine_ratio", share, device=name, engine=engine)
    _add_protocols(found, figures)
    _add_cluster(found, figures)
    for resource, amounts in figures.host.items():
        if (used := amounts["used"]) is not None:
            found.add("host_used", used, resource=resource)
        if (capacity := amounts["capacity"]) is not None:
            found.add("host_capacity", capacity, resource=resource)


# What relays count, by metric and direction.
_LINKS: Final = {
    "relay hosts": ("link_hosts", "out"),
    "relay pulled from": ("link_hosts", "in"),
    "relay streams": ("link_streams", "out"),
    "relay pulled streams": ("link_streams", "in"),
    "relay forwarded": ("link_publishers", "out"),
    "relay publishers": ("link_publishers", "in"),
}


# What an upload child counts now, by metric.
_WAITING: Final = {
    "waiting files": "uploads_waiting_files",
    "waiting bytes": "uploads_waiting_bytes",
    "oldest s": "uploads_oldest_seconds",
}
_STATES: Final = {
    "pull": "pulls",
    "push": "pushes",
    "record": "recordings",
    "upload": "uploads",
}  # of kinds whose counters are by state


def _add_protocols(found: _Samples, figures: FarmFigures) -> None:
    """Who calls by SRT, and who is called."""
    for child in figures.children:
        if child.kind == "srt":
            watching = child.counters.get("viewers", 0)
            publishing = child.counters.get("connections", 0) - watching
            found.add("srt_callers", publishing, role="publish")
            found.add("srt_callers", watching, role="watch")
        elif child.kind in _STATES:
            for name, count in child.counters.items():
                if name.startswith(f"{child.kind} "):
                    state = name.removeprefix(f"{child.kind} ")
                    found.add(_STATES[child.kind], count, state=state)
            for name, metric in _WAITING.items() if child.kind == "upload" else ():
                found.add(metric, child.counters.get(name, 0))


def _add_cluster(found: _Samples, figures: FarmFigures) -> None:
    """Other hosts, and the links to them."""
    cluster = figures.cluster
    if cluster is None:
        return
    found.add("cluster_in_touch", cluster.is_in_touch)
    found.add("cluster_templates_refused", cluster.refuses_templates)
    for state, count in cluster.hosts.items():
        found.add("cluster_hosts", count, state=state)
    for state, count in cluster.streams.items():
        found.add("cluster_streams", count, state=state)
    for url, is_up in cluster.etcd.items():
        found.add("cluster_etcd_up", is_up, endpoint=url)
    relays = [child.counters for child in figures.children if child.kind == "relay"]
    for counter, (name, direction) in _LINKS.items() if relays else ():
        found.add(name, sum(one.get(counter, 0) for one in relays), direction=direction)


def _add_streams(found: _Samples, figures: FarmFigures) -> None:
    """Single streams, by far the most samples: written in one go each."""
    lines = found.lines
    infos, notices = lines["stream_info"], lines["stream_notices"]
    sent, rates = lines["stream_source_bytes_per_second"], lines["stream_source_frames_per_second"]
    queues, skews = lines["stream_queue_seconds"], lines["stream_av_skew_seconds"]
    players, delays = lines["stream_players"], lines["stream_delay_seconds"]
    ssims, psnrs = lines["rendition_ssim"], lines["rendition_psnr_db"]
    made, sizes = lines["stream_frames_per_second"], lines["stream_bytes_per_second"]
    for stream in figures.streams[:MAX_STREAMS]:
        pairs = _pairs({"app": stream.app, "stream": stream.label})
        facts = {name: getattr(stream, name) for name in _FACTS}
        infos.append(f"{{{pairs},{_pairs(facts)}}} 1")
        sent.append(f"{{{pairs}}} {stream.bitrate_bps / 8:.0f}")
        rates.append(f"{{{pairs}}} {stream.fps:.2f}")
        queues.append(f"{{{pairs}}} {stream.queue_ms / 1000:.4f}")
        notices.append(f"{{{pairs}}} {stream.notices}")
        skews.append(f"{{{pairs}}} {stream.av_skew_ms / 1000:.3f}")
        for one in stream.renditions:
            name, playing, fps, bitrate_bps, delays_ms, *_ = one
            of = f'{{{pairs},rendition="{_escaped(name)}"'
            players.append(f"{of}}} {playing}")
            made.append(f"{of}}} {fps:.2f}")
            sizes.append(f"{of}}} {bitrate_bps / 8:.0f}")
            if one.ssim is not None and one.psnr_db is not None:
                ssims.append(f"{of}}} {one.ssim:.5f}")
                psnrs.append(f"{of}}} {one.psnr_db:.2f}")
            for quantile, ms in zip(_QUANTILES, delays_ms, strict=False):
                delays.append(f'{of},quantile="{quantile}"}} {ms / 1000:.5f}')


_FACTS: Final = ("state", "device", "width", "height", "codec")
