"""The configuration file's form: every key, declared once, as pydantic models. Pure.

A field is a key: its annotation says the kind of its value (`common/config/values.py`), `key` says
the setting that it gives, its words, and from when it holds. The setting's own default, in
`common/config/settings.py` or `common/config/ladder.py`, is the key's. What keys say together is
checked in `common/config/conflicts.py`. The tables of templates are in `model_templates.py`.

Importing this takes a tenth of a second, so only what reads a file does, inside its functions.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from common.config.access_values import HostName
from common.config.keys import Holds, Table, key, tables
from common.config.model_calibration import Amount, CalibrationTable
from common.config.model_cluster import ClusterTable
from common.config.model_http import ApiTable, WebrtcTable, WebTable
from common.config.model_listen import ListenTable, SrtTable
from common.config.model_remote import PullTable
from common.config.model_templates import TemplateTable
from common.config.settings import (
    ApiSettings,
    Calibration,
    CaptureSettings,
    ClusterSettings,
    Devices,
    EgressSettings,
    IngestSettings,
    Settings,
    Software,
    SrtSettings,
    TlsSettings,
    WebrtcSettings,
    WebSettings,
    WorkerSettings,
)
from common.config.values import (
    Boolean,
    ByteCount,
    Integer,
    Milliseconds,
    Name,
    Network,
    Number,
    Seconds,
    Text,
    Word,
)

MAX_INCLUDES = 16
NOW, MORE_NOW, NEW_STREAMS = Holds.NOW, Holds.MORE_NOW, Holds.NEW_STREAMS
NEW_PROCESSES, RESTART = Holds.NEW_PROCESSES, Holds.RESTART

# Ranges that several keys have.
Timeout = Annotated[float, Seconds(0.1, 3600)]
Many = Annotated[int, Integer(1, 1_000_000)]
Processes = Annotated[int, Integer(1, 64)]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file says of how it is read; no setting of the farm."""

    include: tuple[str, ...] = ()


class SoftwareTable(Table):
    """`[software]`."""

    title: ClassVar[str] = "the host's cores as a device"

    workers: Annotated[int, Integer(0, 64)] = key(
        Software,
        "workers",
        "processes `cpu:0`, `cpu:1`, …; 0: none",
        MORE_NOW,
        default="one for 8 cores, at least 2",
        example=2,
    )
    capacity: Amount = key(
        Software,
        "capacity",
        "how much the whole host can do, in units",
        NOW,
        default="100 for each core",
        example=800,
    )
    encoder_threads: Annotated[int, Integer(1, 64)] = key(
        Software, "encoder_threads", "threads of one encoder", NEW_PROCESSES
    )
    encoder_processes: Annotated[bool, Boolean()] = key(
        Software,
        "encoder_processes",
        "whether these workers only decode and scale, and encoder processes encode, as for GPUs "
        "without NVENC",
        RESTART,
    )


class DevicesTable(Table):
    """`[devices]`."""

    title: ClassVar[str] = "GPUs"

    use_gpus: Annotated[bool, Boolean()] = key(
        Devices, "use_gpus", "look for GPUs and use them", RESTART
    )
    exclude: tuple[Annotated[str, Text()], ...] = key(
        Devices,
        "exclude",
        "UUIDs or PCI ids of GPUs to leave alone, in any spelling (`GPU-4f2b…`, `0000:65:00.0`, "
        "`65:00.0`)",
        RESTART,
    )
    max_encoder_sessions: Annotated[int, Integer(0, 1000)] = key(
        Devices,
        "max_encoder_sessions",
        "NVENC sessions on the host; drivers of GeForce GPUs limit them",
        NOW,
        default="found out",
        example=8,
    )
    capacity: dict[str, Amount] = key(
        Devices,
        "capacity",
        "a table: UUID or PCI id = capacity of that GPU",
        NOW,
        default="900 for each GPU",
        example={"0000:65:00.0": 900},
    )
    hybrid_capacity: Amount = key(
        Devices,
        "hybrid_capacity",
        "how much of `software.capacity` encoding for GPUs without NVENC may take",
        NOW,
        default="all of it",
        example=400,
    )
    encoder_processes: Processes = key(
        Devices,
        "encoder_processes",
        "processes that encode on the host's cores for all GPUs without NVENC",
        MORE_NOW,
        default="one for 4 cores, at least 2",
        example=4,
    )

    def settings(self) -> dict[str, Any]:
        given = super().settings()
        if "capacity" in given:
            given["capacity"] = tuple(given["capacity"].items())
        return given


class IngestTable(Table):
    """`[ingest]`."""

    title: ClassVar[str] = "limits towards publishers, and peers not known yet"

    processes: Processes = key(
        IngestSettings,
        "processes",
        "processes that share the address to listen on. The limits per address count all of them "
        "together, with a delay of a second or two",
        RESTART,
    )
    handshake_timeout: Timeout = key(
        IngestSettings,
        "handshake_timeout_s",
        "a connection must ask to publish or play within this time",
        NOW,
    )
    first_video_timeout: Timeout = key(
        IngestSettings,
        "first_video_timeout_s",
        "a publisher without video by then is closed",
        NOW,
    )
    idle_timeout: Timeout = key(
        IngestSettings,
        "idle_timeout_s",
        "a publisher that sends nothing for this long is closed",
        NOW,
    )
    max_connections: Many = key(
        IngestSettings, "max_connections", "connections of one ingest process", NOW
    )
    max_connections_per_address: Many = key(
        IngestSettings, "max_connections_per_address", "connections of one address at once", NOW
    )
    max_handshakes_per_address: Annotated[float, Number(0.1, 1_000_000)] = key(
        IngestSettings,
        "max_handshakes_per_address",
        "new connections of one address a second; two seconds' worth may come at once. Each of "
        "several processes takes its part of the rate",
        NOW,
    )
    max_publishes_per_address: Many = key(
        IngestSettings, "max_publishes_per_address", "publishers of one address at once", NOW
    )
    max_message: Annotated[int, ByteCount(65536, 64 * 1024**2)] = key(
        IngestSettings, "max_message_bytes", "the largest RTMP message", NOW
    )
    exempt_networks: tuple[Annotated[str, Network()], ...] = key(
        IngestSettings,
        "exempt_networks",
        "networks to which the limits per address do not apply",
        NOW,
    )
    takeover_idle: Timeout = key(
        IngestSettings,
        "takeover_idle_s",
        'with `takeover = "idle"`: after this silence another publisher may take the key',
        NOW,
    )
    trusted_proxies: tuple[Annotated[str, Network()], ...] = key(
        IngestSettings,
        "trusted_proxies",
        "networks of load balancers that begin each connection with a PROXY protocol header "
        "(version 1 or 2), on both RTMP ports. Limits, bans and logs have the address in it. From "
        "others it is refused, and from these a connection without it",
        NOW,
    )


class EgressTable(Table):
    """`[egress]`."""

    title: ClassVar[str] = "limits towards players"

    processes: Processes = key(
        EgressSettings,
        "processes",
        "processes that share the players; those of a stream go to the same one until it is full",
        RESTART,
    )
    max_players: Many = key(EgressSettings, "max_players", "players of one egress process", NOW)
    max_players_per_address: Many = key(
        EgressSettings,
        "max_players_per_address",
        "players of one address (IPv6: one /64) outside `ingest.exempt_networks`, at all egresses "
        "together",
        NOW,
    )
    queue: Annotated[int, Milliseconds(100, 60_000)] = key(
        EgressSettings,
        "queue_ms",
        "media that may wait for one player; with more, it skips to a keyframe",
        NOW,
    )
    stall_timeout: Annotated[float, Seconds(0.5, 600)] = key(
        EgressSettings,
        "stall_timeout_s",
        "a player that takes no byte for this long is disconnected",
        NOW,
    )
    send_buffer: Annotated[int, ByteCount(4096, 64 * 1024**2)] = key(
        EgressSettings, "send_buffer_bytes", "the send buffer of a player's socket", NOW
    )


class WorkerTable(Table):
    """`[worker]`."""

    # What nobody plays comes in batches of 0.2 s (ingest/streams/read_batching.py).
    queue: Annotated[int, Milliseconds(250, 60_000)] = key(
        WorkerSettings, "queue_ms", "media that may wait for one stream's decoder", NEW_STREAMS
    )
    max_memory: Annotated[int, ByteCount(64 * 1024**2, 1024**4)] = key(
        WorkerSettings,
        "max_memory_bytes",
        "streams are placed on a worker process up to this, by what their sources need; one that "
        "takes more all the same is replaced",
        NOW,
    )
    hang_timeout: Annotated[float, Seconds(0.5, 600)] = key(
        WorkerSettings,
        "hang_timeout_s",
        "a worker in which work waits for this long and none gets done is killed. Time without a "
        "core does not count",
        NOW,
    )
    adapt: Annotated[bool, Boolean()] = key(
        WorkerSettings,
        "is_adapting",
        "whether a device that falls behind takes no new streams and makes less of those that it "
        "has, step by step. If not, late pictures are dropped, of all its streams alike",
        RESTART,
    )


class TlsTable(Table):
    """`[tls]`."""

    title: ClassVar[str] = "the process that takes TLS off, where `listen.rtmps` says"

    certificate: Annotated[str, Text()] = key(
        TlsSettings,
        "certificate",
        "a PEM file with the certificate and, behind it, its chain; an absolute path. A changed "
        "file is used within two seconds, or at `tfarm reload`",
        NEW_PROCESSES,
        default="none",
        example="/etc/tfarm/tls/fullchain.pem",
    )
    max_connections: Annotated[int, Integer(1, 1_000_000)] = key(
        TlsSettings, "max_connections", "connections with TLS at once", NOW
    )
    names: dict[Annotated[str, HostName()], Annotated[str, Text()]] = key(
        TlsSettings,
        "named",
        "a table for other names: the name that clients ask for (SNI) = a PEM file with its "
        "certificate, those behind it and its key. `*.example.org` is for all names of one more "
        "part. Who asks for none of them is shown `certificate`",
        NEW_PROCESSES,
        default="none",
        example={"live.example.com": "/etc/tfarm/tls/live.example.com.pem"},
        schema={"propertyNames": HostName().schema()},
    )
    key: Annotated[str, Text()] = key(
        TlsSettings,
        "key",
        "a PEM file with its private key, without a password; an absolute path",
        NEW_PROCESSES,
        default="in the file of the certificate",
        example="/etc/tfarm/tls/privkey.pem",
    )

    def settings(self) -> dict[str, Any]:
        given = super().settings()
        if "named" in given:
            given["named"] = tuple(given["named"].items())
        return given


class CaptureTable(Table):
    """`[capture]`."""

    title: ClassVar[str] = "the last messages of each publisher, and files of them"

    memory: Annotated[int, ByteCount(0, 64 * 1024**3)] = key(
        CaptureSettings,
        "memory_bytes",
        "memory for the last messages of all publishers together, at most; 0: nothing is kept",
        NOW,
    )
    seconds: Annotated[float, Seconds(1, 60)] = key(
        CaptureSettings, "seconds", "how much of each publisher is kept, memory permitting", NOW
    )
    directory: Annotated[str, Text()] = key(
        CaptureSettings,
        "directory",
        "where captures are written, an absolute path",
        NOW,
        default="`captures` in the run directory",
        example="/var/lib/tfarm/captures",
    )
    max_files: Annotated[int, Integer(1, 10_000)] = key(
        CaptureSettings, "kept_files", "captures that are kept there; the oldest are removed", NOW
    )
    max_bytes: Annotated[int, ByteCount(1024**2, 1024**4)] = key(
        CaptureSettings, "kept_bytes", "size of all captures there; the oldest are removed", NOW
    )
    pictures: Annotated[bool, Boolean()] = key(
        CaptureSettings,
        "pictures",
        "whether captures that are written automatically contain pictures and sound",
        NOW,
    )


class File(Table):
    """The whole file; its own keys stand at the top."""

    log_level: Annotated[str, Word(("DEBUG", "INFO", "WARNING", "ERROR"))] = key(
        Settings, "log_level", "lines below this level are not logged", NOW
    )
    orphan_timeout: Annotated[float, Seconds(3, 3600)] = key(
        Settings,
        "orphan_timeout_s",
        "a child that hears no supervisor for this long ends",
        NEW_PROCESSES,
    )
    sandbox: Annotated[bool, Boolean()] = key(
        Settings,
        "has_sandbox",
        "whether workers and the `tls` process may use only the files, network and programs that "
        "they need (Landlock, seccomp). `tfarm doctor` says what the kernel lacks for it",
        NEW_PROCESSES,
    )
    standbys: Annotated[bool, Boolean()] = key(
        Settings,
        "has_standbys",
        "whether processes wait, their imports done, to take the place of an ingest, an egress or "
        "a software worker that dies. Each takes 20 to 40 MB; without them the next one comes a "
        "second or two later",
        RESTART,
    )
    sound: Annotated[bool, Boolean()] = key(
        Settings,
        "codes_sound",
        "whether a process codes sound for players who cannot be sent it as it was published: Opus "
        "by RTMP, AAC by WebRTC. It takes 40 MB; without it these players hear nothing",
        RESTART,
    )
    include: tuple[Annotated[str, Text()], ...] = key(
        Reading,
        "include",
        "further files, relative to this one; they give keys that this file does not have. "
        "`tfarm calibrate` writes such a file",
        NOW,
        schema={"maxItems": MAX_INCLUDES},
    )
    listen: ListenTable = tables()
    software: SoftwareTable = tables()
    devices: DevicesTable = tables()
    ingest: IngestTable = tables()
    egress: EgressTable = tables()
    worker: WorkerTable = tables()
    tls: TlsTable = tables()
    capture: CaptureTable = tables()
    api: ApiTable = tables()
    web: WebTable = tables()
    webrtc: WebrtcTable = tables()
    srt: SrtTable = tables()
    cluster: ClusterTable = tables()
    templates: dict[Annotated[str, Name()], TemplateTable] = tables(
        at_least=1, schema={"propertyNames": Name().schema()}
    )
    calibration: tuple[CalibrationTable, ...] = tables()
    pull: tuple[PullTable, ...] = tables()

    def all_settings(self) -> Settings:
        """The farm's settings; what the file does not say keeps its default."""
        given = self.settings()
        given.pop("include", None)
        if self.listen is not None:
            given |= self.listen.settings()
        for name, settings_type in SECTIONS.items():
            table: Table | None = getattr(self, name)
            if table is not None:
                given[name] = settings_type(**table.settings())
        if self.templates is not None:
            given["templates"] = tuple(table.template(app) for app, table in self.templates.items())
            given["stream_keys"] = {
                f"{app}/{stream}": keys
                for app, table in self.templates.items()
                for stream, keys in table.own_keys().items()
            }
        if self.calibration is not None:
            given["calibration"] = tuple(
                Calibration(**table.settings()) for table in self.calibration
            )
        if self.pull is not None:
            given["pulls"] = tuple(table.setting() for table in self.pull)
        return Settings(**given)


# Tables that give one dataclass each, of the same name in `Settings`.
SECTIONS: dict[str, type[Any]] = {
    "software": Software,
    "devices": Devices,
    "ingest": IngestSettings,
    "egress": EgressSettings,
    "worker": WorkerSettings,
    "tls": TlsSettings,
    "capture": CaptureSettings,
    "api": ApiSettings,
    "web": WebSettings,
    "webrtc": WebrtcSettings,
    "srt": SrtSettings,
    "cluster": ClusterSettings,
}
