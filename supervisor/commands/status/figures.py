"""The farm's figures for who keeps count of them (`common/ipc/figures.py`). Pure.

What is said of a stream is what its row of the status document says, in a fifth of the time.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from common.config.ladder import SOURCE
from common.ipc.cluster_messages import ClusterView
from common.ipc.figures import (
    ChildFigures,
    ClusterFigures,
    Delays,
    FarmFigures,
    Made,
    Received,
    Refusals,
    RenditionFigures,
    Served,
    StreamFigures,
)
from common.ipc.identity import ChildId, split_stream_id
from common.ipc.status_messages import AudioLevels, RenditionStatus, TranscodeStatus
from common.process.log import stream_label
from common.process.stage_times import DELAY_BOUNDS_S, DelayCounts
from supervisor.commands.status.cluster_rows import state_of
from supervisor.commands.status.document import (
    ChildFacts,
    FarmFacts,
    device_row,
    host_rows,
    renditions_by_app,
    stage_quantiles,
)
from supervisor.farm.admission.readiness import why_no_room
from supervisor.farm.farm import Farm
from supervisor.farm.forwarding.audio_levels import levels
from supervisor.farm.retiring import RETIRING
from supervisor.farm.state import Child
from supervisor.farm.stream import Stream

# Stages of the frame path (docs/operations.md): a worker that strangers have taken over names no
# others.
STAGES: Final = frozenset(
    (
        "ingest",
        "transit",
        "queue",
        "decode",
        "handover",
        "scale",
        "encode",
        "mux",
        "egress",
        "total",
    )
)
TOTAL: Final = "total:"
COUNTING: Final = frozenset(
    {"hooks", "cluster", "relay", "srt", "pull", "push", "record", "upload"}
)  # kinds whose own counters are metrics


def figures(facts: FarmFacts, farm: Farm) -> FarmFigures:
    """All of a farm."""
    state = farm.state
    sound = levels(state)
    incarnations = {str(name): child.hello.boot_id for name, child in state.children.items()}
    renditions = renditions_by_app(state.settings)
    names = {"", *(name for made in renditions.values() for name in made)}
    quantiles = {name: stage_quantiles(stream) for name, stream in state.streams.items()}
    return FarmFigures(
        version=facts.version,
        since_unix=facts.started_unix,
        is_ready=not (farm.admission.closed or why_no_room(state, facts.now_s)),
        queued=farm.admission.queued,
        bans=len(state.bans.current(facts.now_unix)),
        apps=renditions,
        children=[
            _child(child, state.children.get(child.name), names)
            for child in (facts.supervisor, *facts.children)
        ],
        devices=[device_row(farm, device, facts) for device in state.fleet.devices.values()],
        host=host_rows(state.fleet),
        refused=[Refusals(*of, count) for of, count in sorted(state.refusals.by_cause.items())],
        streams=[
            _stream(farm, stream, sound.get(name), quantiles[name], incarnations)
            for name, stream in state.streams.items()
        ],
        stages_ms=_slowest(quantiles.values()),
        cluster=_cluster(farm),
        free_streams={app: found.count for app, found in facts.free.items()},
    )


def _cluster(farm: Farm) -> ClusterFigures | None:
    if not farm.state.settings.cluster.is_enabled:
        return None
    view = farm.registry.view or ClusterView(unregistered=len(farm.state.streams))
    hosts = dict.fromkeys(("ready", "draining", "missing"), 0)
    for host in view.hosts:
        hosts[state_of(host.is_draining, host.is_missing)] += 1
    streams = {
        "owned": view.owned,
        "unregistered": view.unregistered,
        "elsewhere": view.elsewhere,
    }
    etcd = {url: not fault for url, fault in view.endpoints.items()}
    refuses = bool(farm.registry.templates.problem)
    return ClusterFigures(view.is_in_touch, hosts, streams, etcd, refuses)


def _child(facts: ChildFacts, known: Child | None, names: set[str]) -> ChildFigures:
    beat = known.heartbeat if known is not None else None
    has_counters = facts.name.kind in COUNTING and beat is not None
    return ChildFigures(
        name=str(facts.name),
        kind=facts.name.kind,
        since=known.hello.boot_id if known is not None else "",
        is_ready=facts.state in ("ready", RETIRING),
        restarts=facts.restarts,
        memory_bytes=facts.memory_bytes,
        cpu_percent=round(facts.cpu_percent, 1),
        counters=beat.counters if has_counters and beat is not None else {},
        delays=list(_delays(known.delays, names)) if known is not None else (),
    )


def _delays(reported: Mapping[str, DelayCounts], names: set[str]) -> Iterator[Delays]:
    """What a child reports of stages that there are, of renditions that are configured."""
    for key, delay in reported.items():
        stage, _, rendition = key.partition(":")
        is_whole = len(delay.counts) == len(DELAY_BOUNDS_S) + 1
        if stage in STAGES and rendition in names and is_whole:
            yield Delays(stage, rendition, delay.counts, delay.seconds)


def _stream(
    farm: Farm,
    stream: Stream,
    sound: AudioLevels | None,
    quantiles: Mapping[str, list[float]],
    incarnations: Mapping[str, str],
) -> StreamFigures:
    publisher, transcode, source = stream.publisher, stream.transcode, stream.format
    by = (publisher, transcode, sound)
    worker = farm.state.device_of(stream)
    return StreamFigures(
        app=split_stream_id(stream.stream_id)[0],
        label=stream_label(stream.stream_id),
        state=stream.state.value if stream.is_live else "held",
        device=worker.place if worker else "",
        width=source.width if source else 0,
        height=source.height if source else 0,
        codec=publisher.codec if publisher else "",
        bitrate_bps=publisher.bitrate_bps if publisher else 0.0,
        fps=publisher.fps if publisher else 0.0,
        queue_ms=transcode.queue_ms if transcode else 0.0,
        notices=sum(len(status.notices) for status in by if status is not None),
        av_skew_ms=publisher.av_skew_ms if publisher else 0.0,
        waiting_players=sum(served.waiting_players for served in stream.served.values()),
        renditions=_renditions(stream, transcode, quantiles),
        received=_received(stream),
        made=_made(transcode, worker),
        served=[
            Served(f"{egress}/{incarnations.get(str(egress), '')}", r.name, r.dropped, r.sent_bytes)
            for egress, status in stream.served.items()
            for r in status.renditions
        ],
        has_standby=publisher is not None and publisher.standby is not None,
    )


def _received(stream: Stream) -> Received | None:
    status = stream.publisher
    if status is None:
        return None
    since = f"{stream.ingest}/{status.since_unix}"
    return Received(since, status.frames, status.bytes, status.dropped, status.switches)


def _made(status: TranscodeStatus | None, worker: ChildId | None) -> Made | None:
    if status is None:
        return None
    return Made(
        f"{worker}/{status.generation}",
        status.frames_out,
        status.decode_errors,
        status.dropped,
        status.dropped_by_renditions,
        {made.name: made.frames for made in status.renditions},
    )


def _renditions(
    stream: Stream, transcode: TranscodeStatus | None, quantiles: Mapping[str, list[float]]
) -> list[RenditionFigures]:
    players: dict[str, int] = dict.fromkeys((SOURCE, *stream.renditions()), 0)
    by: dict[str, dict[str, int]] = {name: {} for name in players}
    for status in stream.served.values():
        for served in status.renditions:
            if served.name in players:
                players[served.name] += served.players
                for protocol, count in served.players_by.items():
                    known = by[served.name]
                    known[protocol] = known.get(protocol, 0) + count
    made = transcode.renditions if transcode is not None else ()
    rates = {one.name: (one.fps, one.bitrate_bps) for one in made}
    states = {one.name: one.state for one in made}
    qualities = {one.name: _quality(one) for one in made}
    if (publisher := stream.publisher) is not None:
        rates[SOURCE] = publisher.fps, publisher.bitrate_bps
    return [
        RenditionFigures(
            name,
            count,
            *rates.get(name, _STILL),
            quantiles.get(TOTAL + name, ()),
            by[name],
            states.get(name, ""),
            *qualities.get(name, ()),
        )
        for name, count in players.items()
    ]


def _quality(made: RenditionStatus) -> tuple[float | None, float | None, float | None, bool]:
    """SSIM, PSNR, the floor, and whether it is below."""
    found = made.quality
    measured = (found.ssim, found.psnr_db) if found is not None else (None, None)
    return *measured, made.quality_floor, made.is_low


_STILL: Final = (0.0, 0.0)


def _slowest(streams: Iterable[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """Of a stage of all renditions, the slowest stream's slowest rendition."""
    by_key: dict[str, list[list[float]]] = {}
    for stages in streams:
        for stage, times in stages.items():
            if len(times) == 2:
                by_key.setdefault(stage, []).append(times)
    slowest: dict[str, list[float]] = {}
    for key, found in by_key.items():
        stage = key.partition(":")[0]
        if stage in STAGES:
            found.append(slowest.get(stage, [0.0, 0.0]))
            medians, p99s = zip(*found, strict=True)
            slowest[stage] = [max(medians), max(p99s)]
    return slowest
