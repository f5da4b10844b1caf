"""Messages of the control plane: children ↔ supervisor. Pure values.

`Hello` carries a child's whole state. Times named `_s` are CLOCK_MONOTONIC, `_unix` wall-clock.
"""

from dataclasses import dataclass, field

from common.access.bans import Ban
from common.access.credentials import UNTOLD, Credentials
from common.access.refusal import Refusal
from common.access.refusals import RefusalStatus
from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.config.settings import Settings
from common.ipc.envelope import message
from common.ipc.gop_items import TransferItem
from common.ipc.identity import BootId, ChildId, Generation, StreamId
from common.ipc.remote_status import RemoteStatus
from common.ipc.status_messages import AudioLevels, PublisherStatus, ServedStatus, TranscodeStatus
from common.media.clock import ResumeTime
from common.media.pictures import DecodeLimits
from common.media.units import VideoCodec
from common.process.stage_times import DelayCounts


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device as its worker found it."""

    name: str  # "cpu:0" or a GPU UUID
    kind: str  # "software" | "gpu"
    label: str  # "16 cores, libx264" or "NVIDIA H100 80GB HBM3"
    path: Pipeline = Pipeline.SOFTWARE  # what it can be used as: gpu-only, hybrid or software
    pci_id: str = ""
    memory_bytes: int = 0
    notes: tuple[str, ...] = ()
    decodes: tuple[DecodeLimits, ...] = ()  # none: all that is taken in
    encodes: tuple[VideoCodec, ...] = ()  # codecs of renditions; none: all of them


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running child's sockets, announced to the others."""

    child: ChildId
    boot_id: BootId
    media: str = ""  # a worker's Unix socket for access units
    tags: str = ""  # an egress's Unix socket for tags
    handover: str = ""  # an egress's Unix socket for players
    pid: int = 0  # its process, as the supervisor has it; 0: from one that does not say
    decrypted: str = ""  # an ingest's or web's, for connections that TLS was taken off
    pictures: str = ""  # an encoder process's Unix socket for scaled pictures' places
    pools: str = ""  # … and for the memory that they lie in
    viewers: str = ""  # an egress's Unix socket for viewers by HTTP
    listeners: str = ""  # an ingest's or tls child's Unix socket for its successor
    is_retiring: bool = False  # it serves whom it has, and takes nobody new
    flv: str = ""  # an egress's Unix socket for viewers by HTTP, who are to be judged
    whep: str = ""  # the rtc child's Unix socket for requests of viewers by WebRTC
    sound: str = ""  # the sound child's Unix socket for sound to be coded
    datagrams: str = ""  # an rtc child's, where its successor is given the UDP port
    units: str = ""  # an ingest's Unix socket for publishers that another child speaks with
    requests: str = ""  # a web's Unix socket for requests of its viewers that came to another web
    forward: str = ""  # a relay's Unix socket for publishers whose streams other hosts have
    whip: str = ""  # the whip child's Unix socket for requests of publishers by WebRTC
    whip_datagrams: str = ""  # a whip child's, where its successor is given the UDP port
    ts: str = ""  # an egress's Unix socket for viewers of transport streams, who are to be judged


# ---- child → supervisor -----------------------------------------------------------------------


@message("hello")
@dataclass(frozen=True, slots=True)
class Hello:
    """A child presents itself with its whole state; again when the supervisor's boot id changes."""

    child: ChildId
    boot_id: BootId
    pid: int
    start_ticks: int  # field 22 of /proc/PID/stat: with the pid, this process and no other
    endpoint: Endpoint
    listen: tuple[str, ...] = ()  # ingest, tls: real addresses, "127.0.0.1:1935"
    device: DeviceInfo | None = None  # worker
    publishers: tuple[PublisherStatus, ...] = ()  # ingest
    transcodes: tuple[TranscodeStatus, ...] = ()  # worker
    served: tuple[ServedStatus, ...] = ()  # egress
    sandbox: str = ""  # of a kind that has one: WHOLE, OFF, or what is not closed, in words
    version: str = ""  # of tfarm, as the child was started; "": from one that does not say
    is_retiring: bool = False  # it was told `Retire`
    pulled: tuple[StreamId, ...] = ()  # a relay that retires: other hosts' streams that it has


@message("heartbeat")
@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Alive, and what it counts: once a second, from workers with streams four times."""

    child: ChildId
    boot_id: BootId
    publishers: tuple[PublisherStatus, ...] = ()
    transcodes: tuple[TranscodeStatus, ...] = ()
    served: tuple[ServedStatus, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)  # connections, refusals, bad messages
    # ingest and egress, where there are several: connections and publishers by address
    address_usage: dict[str, tuple[int, int]] = field(default_factory=dict)
    levels: tuple[AudioLevels, ...] = ()  # the audio child
    refusals: tuple[RefusalStatus, ...] = ()  # ingest and egress: since the last one
    # Of the frame path since the process began, by stage, or "encode:720p". Empty: as before.
    delays: dict[str, DelayCounts] = field(default_factory=dict)
    served_last: tuple[ServedStatus, ...] = ()  # streams that have ended since the last one
    remotes: tuple[RemoteStatus, ...] = ()  # pull
    pulled: tuple[StreamId, ...] = ()  # a relay that retires: other hosts' streams that it has


@message("fatal")
@dataclass(frozen=True, slots=True)
class Fatal:
    """A child is about to exit, with the reason."""

    child: ChildId
    boot_id: BootId
    reason: str
    exit_code: int


@message("publish-request")
@dataclass(frozen=True, slots=True)
class PublishRequest:
    """Ingest asks for a reservation before Publish.Start. Answered by `Placement` or `Refused`.

    `RequestQueued` may come before the answer. `is_at_limit`: by what ingest knows of the others,
    its address publishes as much as it may. It may be this very stream that is counted there.
    """

    request_id: int
    stream_id: StreamId
    address: str
    is_at_limit: bool = False
    credentials: Credentials = UNTOLD
    overrides: StreamOverrides = NO_OVERRIDES
    is_forwarded: bool = False  # it comes from another host, which will not have it back
    replaces: int = 0  # the epoch of a claim that may be replaced for it


@message("source-estimate")
@dataclass(frozen=True, slots=True)
class SourceEstimate:
    """What a publisher announces is booked, if there is room; `SourceFormatReport` decides."""

    stream_id: StreamId
    generation: Generation
    format: SourceFormat


@message("source-format")
@dataclass(frozen=True, slots=True)
class SourceFormatReport:
    """Ingest read the parameter sets: correct the reservation.

    Answered by `Placement`, of a new generation where the stream moved, or by `Refused`.
    """

    request_id: int
    stream_id: StreamId
    generation: Generation
    format: SourceFormat
    codec: str = ""  # RFC 6381, "avc1.64001f": other profiles want other devices


@message("publisher-back")
@dataclass(frozen=True, slots=True)
class PublisherBack:
    """Ingest has a publisher again for a stream that was held: its room is not to be had."""

    stream_id: StreamId
    generation: Generation
    address: str
    credentials: Credentials = UNTOLD


@message("publish-end")
@dataclass(frozen=True, slots=True)
class PublishEnd:
    """Ingest gives a stream up: its reservation is free."""

    stream_id: StreamId
    generation: Generation
    reason: str
    last: PublisherStatus | None = None  # its last counts; None: it never began


@message("session-end")
@dataclass(frozen=True, slots=True)
class SessionEnd:
    """A worker has ended its session of a stream: its last counts."""

    child: ChildId
    last: TranscodeStatus


@message("stream-trouble")
@dataclass(frozen=True, slots=True)
class StreamTrouble:
    """A worker cannot serve one stream (any more); the others on it go on."""

    child: ChildId
    stream_id: StreamId
    generation: Generation
    reason: str
    is_workers_own: bool = False  # not its device's: other workers of that may serve the stream
    is_bystander: bool = False  # another stream's session met that first


@message("encoder-limit")
@dataclass(frozen=True, slots=True)
class EncoderLimitReport:
    """A worker was refused an encoder session: more are not to be had on this host for now."""

    child: ChildId
    open_sessions: int  # that the worker had when it was refused one more
    reason: str  # the driver's


@message("stream-revoked")
@dataclass(frozen=True, slots=True)
class StreamRevoked:
    """Ingest answers `StreamRevoke`: it let go of the stream, or its publisher stays."""

    request_id: int
    stream_id: StreamId
    refusal: Refusal | None = None  # of the other publisher; None: the stream is given up
    resume_time: ResumeTime | None = None  # None: nothing of it was sent


@message("gop-transfer")
@dataclass(frozen=True, slots=True)
class GopTransfer:
    """Ingest, behind `StreamRevoked`: what it has of a stream; the supervisor passes it on.

    To the ingest that has the stream now: configurations, and all since the last keyframe.
    Payloads: one for each item.
    """

    stream_id: StreamId
    generation: Generation  # of the placement that ends with it
    format: SourceFormat | None
    items: tuple[TransferItem, ...]


@message("stream-wanted")
@dataclass(frozen=True, slots=True)
class StreamWanted:
    """A child with a socket for tags wants a stream that does not come to it.

    An egress sends it when a player asks for the stream; any other kind for the renditions that it
    names, and again every few seconds as long as it wants them.
    """

    child: ChildId
    stream_id: StreamId
    renditions: tuple[str, ...] = ()  # none named: all


@message("urls-used")
@dataclass(frozen=True, slots=True)
class UrlsUsed:
    """Ingest or egress has let somebody in by single-use URLs; the supervisor tells the others."""

    uses: tuple[tuple[str, float], ...]  # of `common.access.used_urls`: digest, until (Unix time)
    at_unix: float = 0.0


@message("positions")
@dataclass(frozen=True, slots=True)
class Positions:
    """Egress answers `SwitchGeneration`: the last PTS it took of the old generation."""

    request_id: int
    stream_id: StreamId
    last_pts_ms: int | None


# ---- supervisor → child -----------------------------------------------------------------------


@message("welcome")
@dataclass(frozen=True, slots=True)
class Welcome:
    """Answers `Hello`."""

    boot_id: BootId  # the supervisor's
    settings: Settings
    endpoints: tuple[Endpoint, ...]


@message("configure")
@dataclass(frozen=True, slots=True)
class Configure:
    """New settings for new streams (SIGHUP, `tfarm reload`)."""

    settings: Settings


@message("topology")
@dataclass(frozen=True, slots=True)
class Topology:
    """The children that run now, with their sockets; whole, whenever it changes."""

    endpoints: tuple[Endpoint, ...]


@message("supervisor-beat")
@dataclass(frozen=True, slots=True)
class SupervisorBeat:
    """Once a second to every child: alive. Another boot id than before: say `Hello` again."""

    boot_id: BootId


@message("placement")
@dataclass(frozen=True, slots=True)
class Placement:
    """To ingest: where the stream is transcoded. `worker` None: passthrough only.

    `request_id` 0 when nobody asked: a re-placement after a loss (resume_after_ms) or a drain
    (splice_ms). A generation above the stream's own is a new placement: `StreamStart` there.
    """

    request_id: int
    stream_id: StreamId
    generation: Generation
    template: Template
    worker: ChildId | None
    renditions: tuple[str, ...]  # expected; from the template until the format is known
    reason: str  # why there: for status and log
    resume_after_ms: int | None = None
    splice_ms: int | None = None
    resume_time: ResumeTime | None = None  # the stream ran at an ingest that is gone


@message("request-queued")
@dataclass(frozen=True, slots=True)
class RequestQueued:
    """To ingest: this publish request waits for room; it is answered within so many seconds."""

    request_id: int
    stream_id: StreamId
    wait_s: float


@message("refused")
@dataclass(frozen=True, slots=True)
class Refused:
    """To ingest: this publish request, or this stream, is not to be had, and why."""

    request_id: int
    stream_id: StreamId
    refusal: Refusal


@message("end-stream")
@dataclass(frozen=True, slots=True)
class EndStream:
    """To ingest: end this publisher (kick, no device left), with the reason.

    Where the refusal is lasting, its next attempt at once is refused for the same reason.
    """

    stream_id: StreamId
    refusal: Refusal
    hold_ms: int = 0  # its players are kept so long: another host has the stream


@message("switch-publisher")
@dataclass(frozen=True, slots=True)
class SwitchPublisher:
    """To ingest: have a stream be of its other publisher, the one that stands by, or choose again.

    It happens at that one's next keyframe, if it is there.
    """

    stream_id: StreamId
    role: str  # "main" or "backup"; "": by the rules again
    reason: str
    is_lasting: bool = False  # an operator wants it; else a main publisher that comes anew ends it


@message("readmit")
@dataclass(frozen=True, slots=True)
class Readmit:
    """To every ingest: forget why this stream was refused."""

    stream_id: StreamId


@message("ban-list")
@dataclass(frozen=True, slots=True)
class BanList:
    """To ingests and egresses: whom the operator keeps out, and what of theirs ends; as a whole."""

    bans: tuple[Ban, ...]


@message("stream-revoke")
@dataclass(frozen=True, slots=True)
class StreamRevoke:
    """To ingest: a publisher of this stream has come to another ingest; does it take over?"""

    request_id: int
    stream_id: StreamId
    credentials: Credentials = UNTOLD  # that one's


@message("address-usage")
@dataclass(frozen=True, slots=True)
class AddressUsage:
    """To ingest and egress: what addresses have at the others of their kind, as in heartbeats."""

    usage: dict[str, tuple[int, int]]  # connections and publishers, by subscriber


@message("host-load")
@dataclass(frozen=True, slots=True)
class HostLoad:
    """To workers that encode on the host's cores: how many streams other workers do there."""

    streams: int


@message("audio-streams")
@dataclass(frozen=True, slots=True)
class AudioStreams:
    """To the audio child: the streams whose sound it measures; whole, whenever it changes."""

    streams: tuple[StreamId, ...]


@dataclass(frozen=True, slots=True)
class Subscription:
    """The renditions of a stream that a child gets that is no egress."""

    child: ChildId
    stream_id: StreamId
    renditions: tuple[str, ...]  # none named: all


@message("egress-routes")
@dataclass(frozen=True, slots=True)
class EgressRoutes:
    """To ingests, and to workers of their own streams: where tags go besides homes; whole."""

    extra: tuple[tuple[StreamId, tuple[ChildId, ...]], ...]  # to egresses, all renditions
    subscriptions: tuple[Subscription, ...] = ()  # of all other kinds


@message("ingest-lost")
@dataclass(frozen=True, slots=True)
class IngestLost:
    """To whoever may get the stream's tags, and to its worker: nobody else will report its end.

    Its ingest is gone. Its worker ends it after what is queued; egress holds its players for
    `hold_ms`. To a worker alone: this session of it, and older ones, are nobody's.
    """

    stream_id: StreamId
    generation: Generation
    reason: str
    hold_ms: int


@message("degrade")
@dataclass(frozen=True, slots=True)
class Degrade:
    """To a worker that falls behind: take less of this stream from now on, or all again.

    The top rendition gets every n-th of its pictures, keyframes always; the largest renditions none
    at all.
    """

    stream_id: StreamId
    generation: Generation
    top_rate_divisor: int  # 1: all
    dropped_renditions: int


@message("switch-generation")
@dataclass(frozen=True, slots=True)
class SwitchGeneration:
    """To egress: this generation is lost; take nothing more of it and say how far it came."""

    request_id: int
    stream_id: StreamId
    generation: Generation
