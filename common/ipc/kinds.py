"""The kinds of children that a farm has: one table. Pure.

To add a kind: a folder with a `__main__.py` that runs a `common.ipc.child.ChildProcess`, and an
entry in `KINDS`. The supervisor launches, watches and shows it by that entry.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from common.config.settings import Listen, Settings
from common.extras import S3, WEBRTC, is_installed
from common.srt import installed as libsrt

HEARTBEAT_S: Final = 1.0


class Replacing(Enum):
    """How a process gives way to one of the next version (`supervisor/processes/succession.py`).

    In all but the first its successor is up before it does.
    """

    RESTART = auto()  # it ends, and is started again
    END = auto()  # it ends
    MOVE = auto()  # its streams go to others of its kind, then it ends
    RETIRE = auto()  # it serves whom it has until they leave, and takes nobody new


@dataclass(frozen=True, slots=True)
class ChildKind:
    """The facts of one kind of child that the supervisor and its tools need."""

    name: str  # as `ChildId.kind` has it
    module: str  # that `python -m` starts
    libraries: tuple[str, ...]  # codec and GPU libraries that it may import; pyproject.toml agrees
    parses_strangers: bool  # reads bytes that come from the network, so it belongs in a sandbox
    death_costs: str  # what players and publishers notice
    # How many a farm has from its start, 0 where it is not configured. None: one or more for every
    # device (`supervisor/processes/worker_counts.py`).
    count: Callable[[Settings], int] | None
    is_vital: bool = False  # a farm whose first one cannot start had better not start
    listens: str = ""  # the key of `[listen]` that says where
    address: Callable[[Settings], Listen] | None = None  # that it listens at, if one of its own
    protocol: str = ""  # of what it listens for, as status has it
    commands: frozenset[str] = frozenset()  # that it may give to the supervisor for an operator
    heartbeat_s: float = HEARTBEAT_S  # of one that has something to do
    memory_is_limited: bool = False  # by `worker.max_memory`
    # So many connections can it make to others, should it be taken over. None: as many as it may
    max_descriptors: int | None = None
    is_sandboxed: bool = False  # its `__main__` gives `run_child` a `Sandbox`
    starts_nothing: bool = False  # no program, no process; it has its files, and connects to hosts
    meets_hosts: bool = False  # it is given the certificates of `[cluster]`
    ends_tls: bool = False  # it is given the certificates of `[tls]`, and makes connections
    admits: bool = False  # lets publishers or viewers in, and is told the keys for that
    has_viewers: bool = False  # sends renditions to viewers, and reports them by stream
    speaks_srt: bool = False  # and is told the passphrases of publishers
    fetches: bool = False  # connects to other servers, and is told their URLs
    pushes: bool = False  # and is told whom streams are sent to
    records: bool = False  # it writes to the directories of `[templates.APP.record]`
    uploads: bool = False  # it copies what is there to buckets, and has the credentials for that
    calls_hooks: bool = False  # and is told the secrets that sign what it sends
    # A process with all imports done waits to be its next child (`common/process/standby.py`).
    has_standby: bool = False
    # It cuts segments: of what it begins to want it is sent the last whole GOPs too.
    takes_last_gop: bool = False
    # That others connect to: names of `common.ipc.socket_peers.SENDERS`, fields of its `Endpoint`.
    sockets: tuple[str, ...] = ()
    replacing: Replacing = Replacing.RESTART


# What an operator may do by HTTP; who does it is checked in the child (`api/access.py`).
API_COMMANDS: Final = frozenset(
    (
        *("status", "kick", "ban", "unban", "drain", "undrain", "rebalance", "reload"),
        *("pull", "unpull", "push", "unpush", "switch"),
    )
)


def _webrtc_count(settings: Settings) -> int:
    """One where it can be: its viewers come by way of `web`."""
    is_wanted = settings.webrtc.is_enabled and settings.web.is_enabled
    return int(is_wanted and is_installed(WEBRTC))


def _whip_count(settings: Settings) -> int:
    """One where it can be: its publishers come by way of `web`."""
    is_wanted = settings.listen_whip is not None and settings.web.is_enabled
    return int(is_wanted and is_installed(WEBRTC))


def _upload_count(settings: Settings) -> int:
    """One where it can be."""
    is_wanted = any(template.recording.is_uploaded for template in settings.templates)
    return int(is_wanted and is_installed(S3))


# In the order of a clean end: who only looks, then publishers, so that workers and players get all
# that was taken; last who passes on what players are told.
# They start in the opposite order.
KINDS: Final[dict[str, ChildKind]] = {
    kind.name: kind
    for kind in (
        ChildKind(
            "api",
            module="api",
            libraries=(),
            parses_strangers=True,
            death_costs="the API and the page do not answer for a second; streams notice nothing",
            count=lambda settings: int(settings.api.is_enabled),
            address=lambda settings: settings.api.listen,
            protocol="http",
            commands=API_COMMANDS,
        ),
        ChildKind(
            "audio",
            module="worker.audio",
            libraries=("av", "numpy"),
            parses_strangers=True,
            death_costs="nothing but the levels of the sound, until it measures again",
            count=lambda settings: int(any(t.audio_levels for t in settings.templates)),
            is_sandboxed=True,
            max_descriptors=512,
            sockets=("tags",),
            replacing=Replacing.END,
        ),
        ChildKind(
            "srt",
            module="ingest.srt",
            libraries=(),
            parses_strangers=True,
            death_costs="who publishes or watches by SRT calls again",
            count=lambda settings: int(settings.listen_srt is not None and libsrt.is_there()),
            address=lambda settings: settings.listen_srt or Listen(),
            protocol="srt",
            is_sandboxed=True,
            speaks_srt=True,
            max_descriptors=2560,  # one for each that watches (`ingest/srt/listener.py`)
        ),
        ChildKind(
            "pull",
            module="ingest.pull",
            libraries=("av",),
            parses_strangers=True,
            death_costs="streams that are pulled are fetched anew; players see the last picture",
            count=lambda settings: int(bool(settings.pulls)),
            is_sandboxed=True,
            fetches=True,
            max_descriptors=2048,
        ),
        ChildKind(
            "whip",
            module="ingest.whip",
            libraries=(),
            parses_strangers=True,
            death_costs="publishers by WHIP connect anew; players see the last picture meanwhile",
            count=_whip_count,
            address=lambda settings: settings.listen_whip or Listen(),
            protocol="whip",
            sockets=("whip", "whip_datagrams"),
            replacing=Replacing.RETIRE,
        ),
        ChildKind(
            "ingest",
            module="ingest",
            libraries=(),
            parses_strangers=True,
            death_costs="its publishers connect anew; players see the last picture meanwhile",
            count=lambda settings: settings.ingest.processes,
            is_vital=True,
            listens="rtmp",
            admits=True,
            has_standby=True,
            sockets=("decrypted", "listeners", "units"),
            replacing=Replacing.RETIRE,
        ),
        ChildKind(
            "worker",
            module="worker",
            libraries=("av", "numpy", "cupy", "cuda", "PyNvVideoCodec"),
            parses_strangers=True,
            death_costs="an IDR of its streams' renditions, made by another worker",
            count=None,
            heartbeat_s=0.25,  # one that hangs must be seen within two seconds
            memory_is_limited=True,
            is_sandboxed=True,
            max_descriptors=2048,  # a driver opens some for each session
            has_standby=True,
            sockets=("media",),
            replacing=Replacing.MOVE,
        ),
        ChildKind(
            "encoder",
            module="worker.encoder",
            libraries=("av", "numpy"),
            parses_strangers=False,  # it gets pictures alone, from those who do
            death_costs="an IDR of its renditions, made by another one",
            # as workers say that they want them (`supervisor/processes/worker_counts.py`)
            count=lambda settings: 0,
            heartbeat_s=0.25,
            memory_is_limited=True,
            is_sandboxed=True,
            max_descriptors=2048,
            sockets=("pictures", "pools"),
            replacing=Replacing.END,
        ),
        ChildKind(
            "web",
            module="egress.web",
            libraries=(),
            parses_strangers=True,
            death_costs="viewers by HTTP ask again; those of HTTP-FLV notice nothing",
            count=lambda settings: settings.web.processes if settings.web.is_enabled else 0,
            address=lambda settings: settings.listen_http,
            protocol="web",
            admits=True,
            has_viewers=True,
            takes_last_gop=True,
            sockets=("tags", "decrypted", "listeners", "requests"),
            replacing=Replacing.RETIRE,
        ),
        ChildKind(
            "rtc",
            module="egress.rtc",
            libraries=(),
            parses_strangers=True,
            death_costs="viewers by WebRTC connect anew",
            count=_webrtc_count,
            address=lambda settings: settings.webrtc.listen,
            protocol="webrtc",
            admits=True,
            has_viewers=True,
            sockets=("tags", "whep", "datagrams"),
            replacing=Replacing.RETIRE,
        ),
        ChildKind(
            "sound",
            module="worker.sound",
            libraries=("av", "numpy"),
            parses_strangers=True,
            death_costs="who is sent another sound than the publisher's hears nothing for a second",
            count=lambda settings: int(settings.codes_sound),
            is_sandboxed=True,
            max_descriptors=512,
            sockets=("sound",),
            replacing=Replacing.END,
        ),
        ChildKind(
            "push",
            module="egress.push",
            libraries=(),
            parses_strangers=True,  # what those answer that it calls
            death_costs="whom it sends streams to is called again",
            count=lambda settings: int(any(t.pushes for t in settings.templates)),
            starts_nothing=True,
            has_viewers=True,
            pushes=True,
            sockets=("tags",),
        ),
        ChildKind(
            "record",
            module="egress.record",
            libraries=(),
            parses_strangers=True,  # headers of what publishers send
            death_costs="its files end, and others begin at the next keyframe; streams go on",
            count=lambda settings: int(any(t.recording.directory for t in settings.templates)),
            is_sandboxed=True,
            records=True,
            has_viewers=True,
            max_descriptors=4096,  # a file for each rendition that is recorded
            sockets=("tags",),
        ),
        ChildKind(
            "upload",
            module="egress.upload",
            libraries=(),
            parses_strangers=True,  # what a bucket's server answers
            death_costs="the file on its way to a bucket is sent anew; streams notice nothing",
            count=_upload_count,
            is_sandboxed=True,
            uploads=True,
            max_descriptors=512,
        ),
        ChildKind(
            "relay",
            module="egress.relay",
            libraries=(),
            parses_strangers=True,  # those who connect with a certificate of the cluster
            death_costs="players of other hosts' streams, here and there, see the last picture",
            count=lambda settings: int(settings.cluster.has_relay),
            address=lambda settings: settings.cluster.relay,
            protocol="relay",
            meets_hosts=True,
            starts_nothing=True,
            has_viewers=True,
            sockets=("tags", "forward", "listeners"),
            replacing=Replacing.RETIRE,
        ),
        ChildKind(
            "egress",
            module="egress",
            libraries=(),
            parses_strangers=True,
            death_costs="its players connect anew",
            count=lambda settings: settings.egress.processes,
            is_vital=True,
            admits=True,
            has_viewers=True,
            has_standby=True,
            sockets=("tags", "handover", "viewers", "flv", "ts"),
            replacing=Replacing.RETIRE,
        ),
        ChildKind(
            "hooks",
            module="hooks",
            libraries=(),
            parses_strangers=True,
            death_costs="who asks a hook meanwhile gets what `on_error` says; no stream notices",
            count=lambda settings: int(any(t.hooks.url for t in settings.templates)),
            calls_hooks=True,
            replacing=Replacing.END,
        ),
        ChildKind(
            "tls",
            module="ingest.tls",
            libraries=(),
            parses_strangers=True,
            death_costs="publishers and players with TLS connect anew; nobody else notices",
            count=lambda settings: int(settings.listen_tls is not None),
            is_vital=True,
            listens="rtmps",
            ends_tls=True,
            is_sandboxed=True,
            sockets=("listeners",),
            replacing=Replacing.RETIRE,
        ),
        ChildKind(
            "https",
            module="ingest.https",
            libraries=(),
            parses_strangers=True,
            death_costs="viewers by HTTP with TLS ask anew; nobody else notices",
            count=lambda settings: int(
                settings.web.is_enabled and settings.listen_https is not None
            ),
            address=lambda settings: settings.listen_https or Listen(),
            protocol="https",
            ends_tls=True,
            is_sandboxed=True,
            sockets=("listeners",),
            replacing=Replacing.RETIRE,
        ),
        ChildKind(
            "cluster",
            module="cluster",
            libraries=(),
            parses_strangers=True,  # what etcd answers
            death_costs="nothing, if the next one is there within the cluster's TTL",
            count=lambda settings: int(settings.cluster.is_enabled),
            starts_nothing=True,
        ),
    )
}


def settings_for(kind: str, settings: Settings) -> Settings:
    """What a child of a kind is told: keys only where it has a use for them."""
    found = KINDS.get(kind)
    if found is None or not found.speaks_srt:
        settings = replace(settings, srt=settings.srt.without_passphrases())
    if found is None or not found.fetches:
        settings = replace(settings, pulls=tuple(pull.without_url() for pull in settings.pulls))
    if found is None or not found.pushes:
        settings = settings.without_pushes()
    closed = settings.without_access(has_hooks=found is not None and found.calls_hooks)
    if found is None:
        return closed
    if found.commands:
        return replace(closed, api=settings.api)
    return replace(settings.without_hook_secrets(), api=closed.api) if found.admits else closed


def is_sandboxed(kind: str) -> bool:
    """True of a kind that decodes what strangers send, and may be taken over by it."""
    return kind in KINDS and KINDS[kind].is_sandboxed


def has_viewers(kind: str) -> bool:
    """True of a kind that sends renditions to viewers."""
    return kind in KINDS and KINDS[kind].has_viewers


def takes_tags(kind: str) -> bool:
    """True of a kind that tags may be sent to; of one that is not known here, too."""
    return kind not in KINDS or "tags" in KINDS[kind].sockets


def is_relay(kind: str) -> bool:
    """True of the process with the links to other hosts."""
    return kind == "relay"


def takes_last_gop(kind: str) -> bool:
    """True of a kind that is sent the last whole GOPs of what it begins to want."""
    return kind in KINDS and KINDS[kind].takes_last_gop


def admits(kind: str) -> bool:
    """True of a kind that lets publishers or viewers in."""
    return kind in KINDS and KINDS[kind].admits


def records(kind: str) -> bool:
    """True of a kind that writes streams to files."""
    return kind in KINDS and KINDS[kind].records


def uploads(kind: str) -> bool:
    """True of a kind that copies recordings to buckets."""
    return kind in KINDS and KINDS[kind].uploads


def has_devices(kind: str) -> bool:
    """True of a kind whose processes work on a device each."""
    return kind in KINDS and KINDS[kind].count is None
