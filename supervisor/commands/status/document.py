"""What `tfarm status --json` gives: the farm's facts as one JSON document. Pure.

Children as their parent has them, streams and devices as the farm state has them; rates are those
that the children report. `table.py` makes the terminal's tables from this document and
nothing else, so a program sees all that a person sees. Times ending in `_unix` are wall-clock.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

from common.access.authorise import is_key_secret, is_open_to_players
from common.access.exposure import exposure, publishers_addresses
from common.access.refusals import RefusalTable
from common.config.ladder import (
    SOURCE,
    OmittedRendition,
    SourceFormat,
    Template,
    fit_ladder,
)
from common.config.settings import Settings
from common.ipc.identity import ChildId, split_stream_id
from common.ipc.status_messages import (
    OFF,
    WHOLE,
    AudioLevels,
    PublisherStatus,
    RenditionStatus,
    StandbyStatus,
)
from supervisor.commands.status.cluster_rows import cluster_document
from supervisor.commands.status.free_rows import free_rows
from supervisor.commands.status.pushes import push_row, push_rule_rows
from supervisor.commands.status.recordings import recording_row
from supervisor.commands.status.remote_rows import remote_rows
from supervisor.commands.status.uploads import upload_rows
from supervisor.farm.admission.free_streams import FreeStreams
from supervisor.farm.admission.readiness import why_no_room
from supervisor.farm.farm import Farm
from supervisor.farm.forwarding.audio_levels import levels
from supervisor.farm.operators.ban_list import ban_documents
from supervisor.farm.stream import Present, Stream
from supervisor.placement.cost import ENGINES, HOST_WIDE, Resource
from supervisor.placement.encoding import codec_of
from supervisor.placement.fleet import Device, Fleet

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChildFacts:
    """One process as its parent sees it."""

    name: ChildId
    state: str
    pid: int  # 0: not running
    restarts: int
    reason: str  # of its last end
    since_s: float
    memory_bytes: int
    cpu_percent: float
    version: str = ""  # of tfarm


@dataclass(frozen=True, slots=True)
class FarmFacts:
    """Facts that the farm state does not have."""

    version: str
    run_dir: str
    config: str  # path; "": built-in
    started_unix: float
    supervisor: ChildFacts
    children: Sequence[ChildFacts]
    now_s: float
    now_unix: float
    listen: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by protocol
    gpus: Mapping[str, Json] = field(default_factory=dict)  # how busy they are, by UUID
    free: Mapping[str, FreeStreams] = field(default_factory=dict)  # by app


def snapshot(facts: FarmFacts, farm: Farm) -> Json:
    """The document."""
    state = farm.state
    fleet = state.fleet
    sound, pushes = levels(state), farm.pushes.of_streams()
    recordings = farm.recordings.of_streams()
    listening = publishers_addresses(facts.listen)
    return {
        "version": facts.version,
        "run_dir": facts.run_dir,
        "config": facts.config,
        "since_unix": facts.started_unix,
        "now_unix": facts.now_unix,
        "listen": {protocol: list(where) for protocol, where in facts.listen.items()},
        "warnings": [*filter(None, [exposure(state.settings, listening)]), *_unconfined(farm)],
        "apps": renditions_by_app(state.settings),
        "cluster": cluster_document(farm),
        "supervisor": _child(facts.supervisor, facts.now_s),
        "children": [
            _child(child, facts.now_s)
            | {"sandbox": _sandbox(farm, child.name), "counters": _counters(farm, child.name)}
            for child in facts.children
        ],
        "host": host_rows(fleet),
        "encoder_session_limit": _encoder_session_limit(farm, facts.now_s),
        "totals": _totals(farm),
        "devices": [device_row(farm, fleet.devices[name], facts) for name in sorted(fleet.devices)],
        "streams": [
            _stream(farm, stream, facts, sound.get(stream.stream_id))
            | {
                "pushes": [push_row(push) for push in pushes.get(stream.stream_id, ())],
                "recordings": [recording_row(one) for one in recordings.get(stream.stream_id, ())],
            }
            for stream in state.streams.values()
        ],
        "pulls": remote_rows(farm),
        "push_rules": push_rule_rows(state.settings),
        "uploads": upload_rows(state.settings, farm.uploads.of_apps()),
        "waiting": state.waiting(),
        "queued": farm.admission.queued,
        "closed": farm.admission.closed,
        "no_room": why_no_room(farm.state, facts.now_s),
        "free_streams": free_rows(facts.free),
        **_kept_out(farm, facts),
        **_refusals(state.refusals),
        "decisions": _decisions(farm, facts),
    }


def renditions_by_app(settings: Settings) -> dict[str, list[str]]:
    """The renditions of each app, with the source."""
    return {template.name: list(template.rendition_names()) for template in settings.templates}


def host_rows(fleet: Fleet) -> dict[str, dict[str, float | None]]:
    """What devices share, by resource."""
    return {
        resource.value.replace(" ", "_"): {
            "capacity": fleet.host.get(resource),
            "used": round(fleet.used(resource), 2),
        }
        for resource in HOST_WIDE
    }


def _refusals(refusals: RefusalTable) -> Json:
    """How many there were, by reason and by cause, and the last ones."""
    return {
        "refused": dict(refusals.by_reason),
        "refused_causes": [
            {"what": what, "reason": reason, "cause": cause, "count": count}
            for (what, reason, cause), count in sorted(refusals.by_cause.items())
        ],
        "refusals": [
            asdict(entry) | {"what": entry.what.value, "reason": entry.reason.value}
            for entry in refusals.entries()
        ],
    }


def _kept_out(farm: Farm, facts: FarmFacts) -> Json:
    """Streams that were kicked, and who is banned."""
    state = farm.state
    return {
        "kicked": [
            {
                "app": split_stream_id(s)[0],
                "key": split_stream_id(s)[1],
                "is_key_secret": is_key_secret(state.settings, s),
                "for_s": round(left_s, 1),
            }
            for s, left_s in state.kicks.left(facts.now_s).items()
        ],
        "bans": [
            ban | {"is_key_secret": is_key_secret(state.settings, ban["target"])}
            for ban in ban_documents(state.bans.current(facts.now_unix))
        ],
    }


def _decisions(farm: Farm, facts: FarmFacts) -> list[Json]:
    """The last decisions about streams, the oldest first."""
    return [
        {
            "at_unix": facts.now_unix - (facts.now_s - note.at_s),
            "app": split_stream_id(note.stream_id)[0],
            "key": split_stream_id(note.stream_id)[1],
            "is_key_secret": is_key_secret(farm.state.settings, note.stream_id),
            "text": note.text,
            "number": note.number,
        }
        for note in farm.state.history
    ]


def summary(farm: Farm) -> str:
    """One line, for `systemctl status`."""
    devices = farm.state.fleet.devices.values()
    up = sum(device.is_up for device in devices)
    words = f"streams: {len(farm.state.streams)}, workers up: {up} of {len(devices)}"
    closed = farm.admission.closed
    return f"{words}; {closed}" if closed else words


def _child(child: ChildFacts, now_s: float) -> Json:
    return {
        "name": str(child.name),
        "kind": child.name.kind,
        "state": child.state,
        "version": child.version,
        "pid": child.pid,
        "restarts": child.restarts,
        "reason": child.reason,
        "state_s": round(now_s - child.since_s, 1),
        "memory_bytes": child.memory_bytes,
        "cpu_percent": round(child.cpu_percent, 1),
    }


def _encoder_session_limit(farm: Farm, now_s: float) -> Json | None:
    """The host's limit on encoder sessions, where a driver's refusal set it."""
    cap = farm.state.session_limit
    if cap is None:
        return None
    return {
        "sessions": cap.sessions,
        "for_s": round(max(0.0, cap.until_s - now_s), 1),
        "reason": cap.reason,
    }


def _sandbox(farm: Farm, name: ChildId) -> str:
    child = farm.state.children.get(name)
    return child.hello.sandbox if child is not None else ""


def _unconfined(farm: Farm) -> list[str]:
    """What each child says that has a sandbox, and not all of it."""
    return [
        f"{name} runs without its whole sandbox: {found}. `tfarm doctor` says what is missing"
        for name, child in farm.state.children.items()
        if (found := child.hello.sandbox) not in ("", WHOLE, OFF)
    ]


def _counters(farm: Farm, name: ChildId) -> dict[str, int]:
    child = farm.state.children.get(name)
    beat = child.heartbeat if child is not None else None
    return dict(beat.counters) if beat is not None else {}


def device_row(farm: Farm, device: Device, facts: FarmFacts) -> Json:
    """A device, and what of it is booked."""
    fleet = farm.state.fleet
    child = farm.state.children.get(device.name)
    info = child.hello.device if child else None
    worker = farm.state.workers[device.name]
    streams = farm.state.on_device(device.name)
    resource = Resource.LOAD if Resource.LOAD in device.limits else Resource.CORES
    made = [(s.fps_in, s.transcode) for s in streams if s.transcode is not None]
    if not device.is_up:
        state = "lost" if worker.lost else "down"
    elif worker.is_drained:
        state = "draining" if streams or farm.state.sessions(device.name) else "drained"
    elif worker.is_overloaded:
        state = "overloaded"
    else:
        state = "ready"
    return {
        "name": device.name.place,
        "device": info.name if info else device.name.device_name,
        "worker": str(device.name),
        "workers": fleet.workers_of(device),
        "kind": info.kind if info else "",
        "label": info.label if info else "",
        "path": device.pipeline.value,
        "pci_id": info.pci_id if info else "",
        "state": state,
        "capacity": fleet.limit(resource, device) or 0.0,
        "is_capacity_shared": resource in HOST_WIDE,
        "used": round(fleet.used(resource, device.name), 2),
        "memory_bytes": device.limits.get(Resource.MEMORY, 0),
        "memory_used": fleet.used(Resource.MEMORY, device.name),
        "reason": worker.lost,
        "engines": {
            resource.value: round(fleet.used(resource, device.name), 4)
            for resource in ENGINES
            if resource in device.limits
        },
        "use": facts.gpus.get(info.name) if info else None,
        "calibrated": sorted(device.measured),
        "streams": len(streams),
        "fps_in": round(sum(fps_in for fps_in, _ in made), 1),
        "fps_out": round(sum(r.fps for _, t in made for r in t.renditions), 1),
        "queue_ms": round(max((t.queue_ms for _, t in made), default=0.0), 1),
        "notes": list(info.notes) if info else [],
    }


def _two_publishers(publisher: PublisherStatus | None) -> Json:
    """Which of a stream's two is on the air, and who stands by."""
    if publisher is None:
        return {"role": "", "standby": None, "switches": 0}
    standby = _standby(publisher.standby) if publisher.standby is not None else None
    return {"role": publisher.role, "standby": standby, "switches": publisher.switches}


def _standby(standby: StandbyStatus) -> Json:
    source = standby.format
    return {
        "role": standby.role,
        "publisher": standby.address,
        "since_unix": standby.since_unix,
        "is_ready": standby.is_ready,
        "width": source.width if source else 0,
        "height": source.height if source else 0,
        "fps": standby.fps,
        "bitrate_bps": standby.bitrate_bps,
        "codec": standby.codec,
        "audio": standby.audio,
    }


def _stream(farm: Farm, stream: Stream, facts: FarmFacts, sound: AudioLevels | None) -> Json:
    app, key = split_stream_id(stream.stream_id)
    publisher, transcode = stream.publisher, stream.transcode
    worker = farm.state.device_of(stream)
    served = {
        name: [r for s in stream.served.values() for r in s.renditions if r.name == name]
        for name in (SOURCE, *stream.renditions(), *filter(None, [stream.template.audio_only]))
    }
    source = stream.format
    return {
        "app": app,
        "key": key,
        "is_key_secret": is_key_secret(farm.state.settings, stream.stream_id),
        "is_open_to_players": is_open_to_players(farm.state.settings, stream.stream_id),
        "state": stream.state.value if stream.is_live else "held",
        "placement": stream.state.value,
        "is_live": stream.is_live,
        "is_registered": stream.stream_id not in farm.registry.unregistered,
        "away_s": _away_s(stream, facts.now_s),
        "publisher": stream.address,
        "by_host": publisher.by_host if publisher else "",
        **_two_publishers(publisher),
        "ingest": str(stream.ingest),
        "since_unix": publisher.since_unix if publisher else 0.0,
        "generation": stream.generation,
        "worker": str(worker) if worker else None,
        "device": worker.place if worker else "",
        "reason": stream.reason,
        "cannot_move": farm.migration.stuck.get(stream.stream_id, ""),
        "crashes": stream.crashes,
        "degraded": stream.degradation.name.lower().replace("_", " ") if stream.degradation else "",
        "dropped_by_renditions": transcode.dropped_by_renditions if transcode else 0,
        "dedicated_worker": str(stream.dedicated_worker or ""),
        "width": source.width if source else 0,
        "height": source.height if source else 0,
        "fps": round(publisher.fps, 2) if publisher else 0.0,
        "bitrate_bps": round(publisher.bitrate_bps) if publisher else 0,
        "codec": publisher.codec if publisher else "",
        "bytes": publisher.bytes if publisher else 0,
        "av_skew_ms": publisher.av_skew_ms if publisher else 0.0,
        "line": asdict(publisher.line) if publisher and publisher.line else None,
        "gop_ms": publisher.gop_ms if publisher else 0,
        "audio": publisher.audio if publisher else "",
        "source_clock": publisher.source_clock if publisher else "",
        "notices": _notices(stream, sound),
        "levels": {"peak_dbfs": sound.peak_dbfs, "rms_dbfs": sound.rms_dbfs} if sound else None,
        "left_out": list(publisher.omitted) if publisher else [],
        "frames": publisher.frames if publisher else 0,
        "dropped": dict(publisher.dropped) if publisher else {},
        "frames_in": transcode.frames_in if transcode else 0,
        "frames_decoded": transcode.frames_out if transcode else 0,
        "decode_errors": transcode.decode_errors if transcode else 0,
        "dropped_by_worker": transcode.dropped if transcode else 0,
        "queue_ms": round(transcode.queue_ms, 1) if transcode else 0.0,
        "waiting_players": sum(s.waiting_players for s in stream.served.values()),
        "omitted": [{"name": entry.name, "reason": entry.reason} for entry in _omitted(stream)],
        "renditions": [_rendition(stream, name, served_as) for name, served_as in served.items()],
        "stages_ms": stage_quantiles(stream),
    }


def _notices(stream: Stream, sound: AudioLevels | None) -> list[Json]:
    """What is wrong with the source, by all who look at it; what began first stands first."""
    by = (stream.publisher, stream.transcode, sound)
    found = [notice for status in by if status is not None for notice in status.notices]
    return [asdict(notice) for notice in sorted(found, key=lambda notice: notice.since_unix)]


def _away_s(stream: Stream, now_s: float) -> float | None:
    """How long its publisher is away; None while it is there."""
    presence = stream.presence
    return None if isinstance(presence, Present) else round(now_s - presence.since_s, 1)


def _totals(farm: Farm) -> Json:
    """Of all streams: what publishers send, and what players are sent."""
    streams = farm.state.streams.values()
    served = [r for s in streams for status in s.served.values() for r in status.renditions]
    publishers = [s.publisher for s in streams if s.publisher is not None]
    return {
        "players": sum(rendition.players for rendition in served),
        "in_bps": round(sum(publisher.bitrate_bps for publisher in publishers)),
        "out_bps": round(sum(rendition.players * rendition.bitrate_bps for rendition in served)),
    }


def _omitted(stream: Stream) -> Sequence[OmittedRendition]:
    """Renditions that are not made: not fitting the source, or lost at the worker."""
    found = _not_fitting(stream.template, stream.format) if stream.format else ()
    transcode = stream.transcode
    if transcode is None:
        return found
    # The source may have been another one when the worker began.
    reported = {entry.name for entry in transcode.omitted}
    reported |= {rendition.name for rendition in transcode.renditions}
    return (*(entry for entry in found if entry.name not in reported), *transcode.omitted)


@lru_cache(maxsize=1024)
def _not_fitting(template: Template, source: SourceFormat) -> tuple[OmittedRendition, ...]:
    """Of many streams the same, and of each at every look."""
    return fit_ladder(template, source).omitted


def stage_quantiles(stream: Stream) -> dict[str, list[float]]:
    """p50 and p99 of the frame path's stages; of several egresses, those of the slowest."""
    found: dict[str, list[float]] = {}
    for status in (stream.publisher, stream.transcode, *stream.served.values()):
        for stage, times in status.stages_ms.items() if status is not None else ():
            known = found.get(stage)
            found[stage] = list(times if known is None else map(max, known, times))
    return found


def _made(stream: Stream) -> Sequence[RenditionStatus]:
    return stream.transcode.renditions if stream.transcode is not None else ()


def _rendition(stream: Stream, name: str, served: Sequence[RenditionStatus]) -> Json:
    """One row: what its maker makes and its servers serve."""
    made = RenditionStatus(name)
    if name == SOURCE and stream.publisher is not None:
        source = stream.format
        made = RenditionStatus(
            name,
            source.width if source else 0,
            source.height if source else 0,
            stream.publisher.frames,
            fps=stream.publisher.fps,
            bitrate_bps=stream.publisher.bitrate_bps,
            state="made",
        )
    elif name == stream.template.audio_only:
        made = next(iter(served), made)
    else:
        # A track of the publisher comes before what a worker would make.
        by = (stream.publisher.passed if stream.publisher else ()), _made(stream)
        made = next((r for r in chain(*by) if r.name == name), made)
    players_by: Counter[str] = Counter()
    for rendition in served:
        players_by.update(rendition.players_by)
    return {
        "name": name,
        "codec": codec_of(stream.template, name),
        "width": made.width,
        "height": made.height,
        "fps": round(made.fps, 2),
        "bitrate_bps": round(made.bitrate_bps),
        "frames": made.frames,
        "dropped": made.dropped,
        "players": sum(r.players for r in served),
        "players_by_protocol": dict(players_by),
        "dropped_to_players": sum(r.dropped for r in served),
        "last_pts_ms": made.last_pts_ms,
        "state": made.state,
        "quality": asdict(made.quality) if made.quality else None,
        "quality_floor": made.quality_floor,
        "is_low": made.is_low,
    }
