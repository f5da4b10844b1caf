"""The farm's figures as the supervisor gives them to who keeps count: compact, without keys. Pure.

A status document says all of everything; this is what metrics need of it, as arrays: of 200 streams
it costs the supervisor a fifth. Streams are named by their labels. It crosses as JSON, in the
answer to the command `status` with `as = figures`; fields may be added at the end with a default,
as in `common/ipc/envelope.py`.

Counters run since whoever counts began to; `since` names that, so that a counter which begins anew
is known for another one.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

AS: Final = "as"  # the argument of the command `status`, and …
FIGURES: Final = "figures"  # … its value


class Received(NamedTuple):
    """What ingest counts of a stream's publisher."""

    since: str
    frames: int
    bytes: int
    dropped: Mapping[str, int]  # by place
    switches: int = 0  # from one publisher to the other


class Made(NamedTuple):
    """What a worker counts of a stream's session."""

    since: str
    frames_decoded: int
    decode_errors: int
    dropped: int
    dropped_by_renditions: int
    frames: Mapping[str, int]  # by rendition


class Served(NamedTuple):
    """What an egress counts of one of a stream's renditions."""

    since: str
    rendition: str
    dropped: int
    sent_bytes: int


class RenditionFigures(NamedTuple):
    """One rendition as it is now."""

    name: str
    players: int
    fps: float
    bitrate_bps: float
    delays_ms: Sequence[float]  # p50 and p99 of the whole way; empty: not known
    players_by: Mapping[str, int] = MappingProxyType({})  # protocol; of `players`
    state: str = ""  # of one that is transcoded, as in `RenditionStatus`
    ssim: float | None = None  # of its last measured keyframe; None: of none
    psnr_db: float | None = None
    floor: float | None = None  # the least SSIM, as configured
    is_low: bool = False  # it has been less


class StreamFigures(NamedTuple):
    """One stream as it is now, and what is counted of it."""

    app: str
    label: str
    state: str
    device: str
    width: int
    height: int
    codec: str
    bitrate_bps: float
    fps: float
    queue_ms: float
    notices: int
    av_skew_ms: float
    waiting_players: int
    renditions: Sequence[RenditionFigures]
    received: Received | None
    made: Made | None
    served: Sequence[Served]
    has_standby: bool = False  # a publisher stands by for it


class Delays(NamedTuple):
    """How often one stage of the frame path took how long at one process."""

    stage: str
    rendition: str  # "" where it is of none
    counts: Sequence[int]  # as in `common.process.stage_times.DelayCounts`
    seconds: float


class ChildFigures(NamedTuple):
    """One process."""

    name: str
    kind: str
    since: str
    is_ready: bool
    restarts: int
    memory_bytes: int
    cpu_percent: float
    counters: Mapping[str, int]  # of hooks, cluster and relay alone
    delays: Sequence["Delays"]


class Refusals(NamedTuple):
    """How often somebody was refused for one reason."""

    what: str
    reason: str
    cause: str
    times: int


class ClusterFigures(NamedTuple):
    """What a host of a cluster knows of it."""

    is_in_touch: bool  # with etcd
    hosts: Mapping[str, int]  # by state: ready, draining, missing
    streams: Mapping[str, int]  # of this farm, by state: owned, unregistered, elsewhere
    etcd: Mapping[str, bool]  # by member's URL: whether it answered last
    refuses_templates: bool


class FarmFigures(NamedTuple):
    """All of one farm."""

    version: str
    since_unix: float
    is_ready: bool
    queued: int
    bans: int
    apps: Mapping[str, Sequence[str]]  # its renditions, by app
    children: Sequence[ChildFigures]
    devices: Sequence[Mapping[str, Any]]  # as in the status document
    host: Mapping[str, Mapping[str, float | None]]  # likewise
    refused: Sequence[Refusals]
    streams: Sequence[StreamFigures]
    stages_ms: Mapping[str, Sequence[float]]  # p50 and p99 of each, of the slowest stream
    cluster: ClusterFigures | None = None  # None: this farm is alone
    free_streams: Mapping[str, int] = MappingProxyType({})  # of its usual source, by app


def read_figures(values: Sequence[Any]) -> FarmFigures:
    """Return the figures that crossed as JSON. Raises TypeError for what are none."""
    found = FarmFigures(*values[: len(FarmFigures._fields)])
    return found._replace(
        children=[_child(row) for row in found.children],
        refused=[Refusals(*row[:4]) for row in found.refused],
        streams=[_stream(row) for row in found.streams],
        cluster=ClusterFigures(*found.cluster[:5]) if found.cluster else None,
    )


def _child(row: Sequence[Any]) -> ChildFigures:
    child = ChildFigures(*row[: len(ChildFigures._fields)])
    return child._replace(delays=[Delays(*delay[:4]) for delay in child.delays])


def _stream(row: Sequence[Any]) -> StreamFigures:
    stream = StreamFigures(*row[: len(StreamFigures._fields)])
    return stream._replace(
        renditions=[RenditionFigures(*one[:11]) for one in stream.renditions],
        received=Received(*stream.received[:4]) if stream.received else None,
        made=Made(*stream.made[:6]) if stream.made else None,
        served=[Served(*one[:4]) for one in stream.served],
    )
