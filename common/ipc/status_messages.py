"""What children count, in every heartbeat, and what they say of one another. Pure values.

Counters run since the stream's start at that child, unless a line says otherwise.
"""

from dataclasses import dataclass, field

from common.access.credentials import UNTOLD, Credentials
from common.config.ladder import OmittedRendition, SourceFormat
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.ipc.envelope import message
from common.ipc.identity import ChildId, Generation, StreamId
from common.media.clock import ClockReference

WHOLE, OFF = "whole", "off"  # sandboxes: as they should be, and switched off


@dataclass(frozen=True, slots=True)
class Notice:
    """One fact about a source that its publisher should know, and what to set."""

    code: str  # "long-gop": stable, for programs
    words: str  # "keyframes are 8.3 s apart: set the keyframe interval to 2 s"
    since_unix: float
    is_fault: bool = True  # False: a fact, which may be meant so


PASSED = "passed"  # the state of a rendition that is a track of the publisher


@dataclass(frozen=True, slots=True)
class Quality:
    """How much a rendition's last measured keyframe is like the picture that it was made of."""

    ssim: float  # 1: the same
    psnr_db: float
    at_unix: float  # when it was measured


@dataclass(frozen=True, slots=True)
class RenditionStatus:
    """One rendition as its maker or its server counts it, since the stream's start there."""

    name: str
    width: int = 0  # its maker's word; who serves it does not look into it
    height: int = 0
    frames: int = 0
    bytes: int = 0
    fps: float = 0.0  # over the last seconds
    bitrate_bps: float = 0.0
    players: int = 0
    dropped: int = 0
    last_pts_ms: int | None = None
    sent_bytes: int = 0  # to viewers, by who serves it
    players_by: dict[str, int] = field(default_factory=dict)  # protocol; of `players`
    # By its maker: "made", "starting" or, as nobody plays it, "cold"; PASSED: it is a track of the
    # publisher.
    state: str = ""
    quality: Quality | None = None  # by its maker; None: nothing is measured, or not yet
    quality_floor: float | None = None  # the least SSIM, as configured
    is_low: bool = False  # it has been less in the last measurements


@dataclass(frozen=True, slots=True)
class LineFigures:
    """How a publisher's packets come, by a protocol that counts them; of its connection."""

    protocol: str  # "srt"
    latency_ms: int  # how long a lost one may still come
    rtt_ms: float  # the round trip
    received: int  # packets, those that came again included
    missed: int  # of which it was seen that they were lost; they are asked for again
    lost: int  # … and did not come in time
    undecrypted: int = 0


@dataclass(frozen=True, slots=True)
class StandbyStatus:
    """A publisher that stands by for a stream."""

    role: str  # "backup", or "main" while the backup is on the air
    address: str
    since_unix: float
    is_ready: bool  # its pictures come
    codec: str = ""
    format: SourceFormat | None = None
    audio: str = ""
    fps: float = 0.0
    bitrate_bps: int = 0


@dataclass(frozen=True, slots=True)
class PublisherStatus:
    """A stream as its ingest knows it."""

    stream_id: StreamId
    generation: Generation
    worker: ChildId | None
    address: str  # "203.0.113.7:50122"; "" while the publisher is away
    since_unix: float
    is_live: bool  # False: held, its publisher is away
    reference: ClockReference
    format: SourceFormat | None = None
    codec: str = ""  # "avc1.64001f"
    audio: str = ""  # "AAC-LC 48 kHz 2ch", "omitted: Opus"
    fps: float = 0.0
    bitrate_bps: float = 0.0
    gop_ms: int = 0
    frames: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # by place
    stages_ms: dict[str, tuple[float, ...]] = field(default_factory=dict)  # p50, p99 by stage
    notices: tuple[Notice, ...] = ()  # what is wrong with the source
    source_clock: str = ""  # what is wrong with the publisher's stamps; empty: nothing
    can_move: bool = True  # ingest has its last keyframe, for another worker to begin from
    omitted: tuple[str, ...] = ()  # what it sends and nobody is given: "video track 1 (H.264, …)"
    owner: Credentials = UNTOLD  # of the publisher, or of the last one
    bytes: int = 0  # of pictures and sound
    av_skew_ms: float = 0.0  # how much later sound comes than pictures; 0: nothing is known
    overrides: StreamOverrides = NO_OVERRIDES  # of what its app has
    epoch_ms: int | None = None  # Unix time at which its stream time was 0; None: no media yet
    forwarded_to: str = ""  # the host that has the stream; "": it is here
    line: LineFigures | None = None  # None: nothing counts there
    by_host: str = ""  # the host that its publisher came to, if another one
    passed: tuple[RenditionStatus, ...] = ()  # renditions that are tracks of the publisher
    role: str = ""  # of its publisher, where two may publish it: "main" or "backup"
    standby: StandbyStatus | None = None
    switches: int = 0  # from one publisher to the other


@dataclass(frozen=True, slots=True)
class TranscodeStatus:
    """A stream as its worker knows it."""

    stream_id: StreamId
    generation: Generation
    frames_in: int
    frames_out: int  # decoded pictures
    queue_ms: float
    decode_errors: int
    renditions: tuple[RenditionStatus, ...]
    omitted: tuple[OmittedRendition, ...] = ()
    dropped: int = 0
    last_in_s: float = 0.0  # when a unit last came in …
    last_out_s: float = 0.0  # … and a picture last came out
    stages_ms: dict[str, tuple[float, ...]] = field(default_factory=dict)
    stalled_s: float = 0.0  # how long what waits here has waited and nothing got done
    dropped_by_renditions: int = 0  # pictures, because a rendition was behind
    overflows: int = 0  # how often units were dropped because its decoder was slow
    top_rate_divisor: int = 1  # what is taken from it: see `Degrade`
    dropped_renditions: int = 0
    notices: tuple[Notice, ...] = ()  # what its pictures show
    threads: tuple[int, ...] = ()  # that work for it alone, as a crash would name them


@dataclass(frozen=True, slots=True)
class AudioLevels:
    """A stream's sound as the audio child measured it last, in dB of full scale (dBFS)."""

    stream_id: StreamId
    peak_dbfs: float
    rms_dbfs: float
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class ServedStatus:
    """A stream as an egress knows it."""

    stream_id: StreamId
    generation: Generation
    renditions: tuple[RenditionStatus, ...]
    waiting_players: int = 0
    stages_ms: dict[str, tuple[float, ...]] = field(default_factory=dict)


@message("child-floods")
@dataclass(frozen=True, slots=True)
class ChildFloods:
    """Another child sends what none sends that is well: it had better be ended."""

    child: ChildId
    what: str
