"""The farm's settings as frozen values, with the defaults that hold when no file is given. Pure.

`common/config/load.py` makes them from TOML. They reach the children in `Welcome` and `Configure`.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction

from common.config.hooks import Hooks
from common.config.ladder import Pipeline, Rendition, Template
from common.config.overrides import NO_OVERRIDES, StreamOverrides
from common.config.stream_keys import StreamKeys


@dataclass(frozen=True, slots=True)
class Listen:
    """Where publishers and players connect."""

    host: str = "127.0.0.1"
    port: int = 1935  # 0: any free one, told by `tfarm status --json`


@dataclass(frozen=True, slots=True)
class Software:
    """The host's cores as a device."""

    workers: int | None = None  # processes cpu:0, cpu:1, …; None: by the host's cores
    capacity: float | None = None  # of the host; None: from its cores
    encoder_threads: int = 1  # an encoder
    encoder_processes: bool = False  # encode for its workers too


@dataclass(frozen=True, slots=True)
class Devices:
    """Which GPUs are used, and capacities given by hand."""

    use_gpus: bool = True
    exclude: tuple[str, ...] = ()  # UUIDs or PCI ids
    capacity: tuple[tuple[str, float], ...] = ()  # by UUID or PCI id
    max_encoder_sessions: int | None = None  # host-wide; None: found out
    hybrid_capacity: float | None = None  # of the host's cores, for encoding beside GPUs; None: all
    encoder_processes: int | None = None  # for GPUs without NVENC; None: by the host's cores


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Limits towards publishers and towards peers that have not said yet what they are."""

    processes: int = 1
    handshake_timeout_s: float = 10.0  # one deadline from accept to publish or play
    first_video_timeout_s: float = 10.0  # from Publish.Start
    idle_timeout_s: float = 15.0  # a publisher that sends nothing
    max_connections: int = 4000
    max_connections_per_address: int = 100
    max_handshakes_per_address: float = 20.0  # a second
    max_publishes_per_address: int = 20
    max_message_bytes: int = 10 * 1024 * 1024
    exempt_networks: tuple[str, ...] = ("127.0.0.1/32", "::1/128")  # from per-address limits
    takeover_idle_s: float = 3.0
    # whose PROXY protocol header says whose connection it is
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EgressSettings:
    """Limits towards players."""

    processes: int = 1
    max_players: int = 10_000
    max_players_per_address: int = 500  # but for ingest's exempt networks
    queue_ms: int = 1_000  # media that may wait for one player before it is cut to a keyframe
    stall_timeout_s: float = 10.0  # a player that takes no byte for this long is disconnected
    send_buffer_bytes: int = 262_144


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Limits of one worker process."""

    queue_ms: int = 1_000  # media that may wait for one stream's decoder
    max_memory_bytes: int = 8 * 1024**3
    hang_timeout_s: float = 1.5  # work waits and none gets done
    is_adapting: bool = True  # a device that is behind makes less, step by step


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """The last messages of each publisher, and the files of them."""

    memory_bytes: int = 256 * 1024**2  # for the whole farm; 0: nothing is kept
    seconds: float = 60.0
    directory: str = ""  # "": `captures` in the run directory
    kept_files: int = 20
    kept_bytes: int = 256 * 1024**2  # of all files together
    pictures: bool = True  # in what is written by itself


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The process that ends TLS before ingest; `Settings.listen_tls` says where."""

    certificate: str = ""  # a PEM file, with the chain
    key: str = ""  # a PEM file; "": it stands in the certificate's
    max_connections: int = 1000
    # for clients that ask for another name: that, or *.REST, and a PEM file with both
    named: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one stream of a template takes on a device, as `tfarm calibrate` measured it."""

    device: str  # "cpu", or a GPU's UUID or PCI id
    template: str
    path: Pipeline  # as what the device was used
    source: tuple[int, int, int]  # width, height, fps of the clip
    streams: int  # so many kept real time
    units: float  # the stream's cost by pixel rate; other sources are in proportion to it
    load: float  # of the device's capacity, which `streams` of them fill
    decode: float = 0.0  # shares of the device's decoders …
    scale: float = 0.0
    encode: float = 0.0
    memory_bytes: int = 0  # of the device
    cores: float = 0.0  # of the host, in the unit of `software.capacity`


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The HTTP API with its page."""

    is_enabled: bool = True
    listen: Listen = field(default_factory=lambda: Listen(port=9180))
    tokens: tuple[str, ...] = ()  # SHA-256 hex digests; empty: nothing can be changed by HTTP
    max_connections: int = 200
    has_stream_metrics: bool = True
    max_viewers: int = 50  # of the page's player and whoever else, of each egress
    pull_urls: tuple[str, ...] = ()  # patterns (`remote_url.is_allowed`); empty: none is allowed
    push_urls: tuple[str, ...] = ()  # likewise


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Viewers by HTTP; `Settings.listen_http` says where."""

    is_enabled: bool = True
    max_connections: int = 4000
    max_viewers: int = 2000  # at once here, whatever they are sent
    cors_origins: tuple[str, ...] = ("*",)  # pages of which sites may play streams of this farm
    # whose X-Forwarded-For says whose request it is
    trusted_proxies: tuple[str, ...] = ()
    part_s: float = 0.333  # what low-latency HLS is cut into, about
    window_s: float = 12.0  # how far back HLS can be asked for
    window_bytes: int = 64 * 1024 * 1024  # of one rendition, at most
    processes: int = 1  # that share the address
    has_obs_config: bool = False  # OBS is told what to encode


@dataclass(frozen=True, slots=True)
class WebrtcSettings:
    """Viewers by WebRTC, who ask for it by HTTP."""

    is_enabled: bool = True  # where its packages are installed
    listen: Listen = field(default_factory=lambda: Listen(port=8189))  # of UDP
    addresses: tuple[str, ...] = ()  # that viewers are told; empty: those of this host
    max_viewers: int = 500


@dataclass(frozen=True, slots=True)
class SrtSettings:
    """Publishers by SRT; `Settings.listen_srt` says where."""

    latency_ms: int = 120  # at least: what is lost can be sent again for so long
    passphrase: str = field(default="", repr=False)  # of all that have none of their own
    passphrases: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # by APP or APP/KEY

    def passphrase_of(self, app: str, key: str) -> str:
        """What a publisher of this stream has to encrypt with; "": with none."""
        own = dict(self.passphrases)
        return own.get(f"{app}/{key}", own.get(app, self.passphrase))

    def without_passphrases(self) -> "SrtSettings":
        """The same for who speaks no SRT."""
        return SrtSettings(self.latency_ms)


class RtspTransport(StrEnum):
    """How an RTSP server sends what is pulled."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class Pull:
    """A stream that this farm fetches from elsewhere; `app` names its template."""

    app: str
    key: str = field(repr=False)
    url: str = field(repr=False)  # "": for who is not to know it
    rtsp_transport: RtspTransport = RtspTransport.TCP
    is_added: bool = False  # by a request, and not by the configuration

    @property
    def stream_id(self) -> str:
        """APP/KEY."""
        return f"{self.app}/{self.key}"

    def without_url(self) -> "Pull":
        """The same for who fetches nothing."""
        return Pull(self.app, self.key, "", is_added=self.is_added)


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Several hosts as one farm, by etcd."""

    name: str = ""  # of the cluster; "": this host is alone
    host: str = ""  # of this host; "": its own name
    secret_file: str = ""  # names streams between hosts
    etcd: tuple[str, ...] = ()  # URLs of its members
    etcd_ca: str = ""  # PEM file of the certificates that are trusted; "": the system's
    etcd_cert: str = ""  # PEM file with this host's certificate; "": none is shown
    etcd_key: str = ""
    etcd_user: str = ""  # "": none
    etcd_password_file: str = ""
    ttl_s: float = 5.0  # a host that etcd does not hear for so long is gone
    relay: Listen = field(default_factory=lambda: Listen("0.0.0.0", 1936))  # nosec B104 # mTLS
    relay_address: str = ""  # HOST:PORT that other hosts connect to; "": by `host`
    cert: str = ""  # PEM file with this host's certificate, for other hosts
    key: str = ""
    ca: str = ""  # PEM file of the certificates of the other hosts
    keep_s: float = 10.0  # a stream of another host after its last player

    @property
    def is_enabled(self) -> bool:
        """Whether there are other hosts."""
        return bool(self.name)

    @property
    def has_relay(self) -> bool:
        """Whether media goes to other hosts and comes from them."""
        return self.is_enabled and bool(self.cert)

    @property
    def relay_shown(self) -> str:
        """HOST:PORT that other hosts connect to; "": there is no relay."""
        if not self.has_relay:
            return ""
        return self.relay_address or f"{self.host}:{self.relay.port}"


DEFAULT_RENDITIONS = (
    Rendition("720p", 1280, 720, 2_500_000, Fraction(30)),
    Rendition("480p", 854, 480, 1_200_000, Fraction(30)),
    Rendition("360p", 640, 360, 700_000, Fraction(30)),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it."""

    listen: Listen = field(default_factory=Listen)
    software: Software = field(default_factory=Software)
    devices: Devices = field(default_factory=Devices)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    egress: EgressSettings = field(default_factory=EgressSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    log_level: str = "INFO"
    orphan_timeout_s: float = 30.0  # a child without a supervisor ends after this
    templates: tuple[Template, ...] = (Template("live", DEFAULT_RENDITIONS),)
    calibration: tuple[Calibration, ...] = ()
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    has_sandbox: bool = True  # for the kinds that decode what strangers send
    stream_keys: dict[str, StreamKeys] = field(default_factory=dict)  # by APP/KEY
    api: ApiSettings = field(default_factory=ApiSettings)
    listen_tls: Listen | None = None  # for RTMPS; None: nowhere
    tls: TlsSettings = field(default_factory=TlsSettings)
    listen_http: Listen = field(default_factory=lambda: Listen(port=8080))  # for viewers
    web: WebSettings = field(default_factory=WebSettings)
    webrtc: WebrtcSettings = field(default_factory=WebrtcSettings)
    has_standbys: bool = True  # for the kinds whose absence is noticed
    listen_https: Listen | None = None  # for viewers with TLS; None: nowhere
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    listen_srt: Listen | None = None  # UDP, for publishers by SRT; None: nowhere
    srt: SrtSettings = field(default_factory=SrtSettings)
    listen_whip: Listen | None = None  # UDP, for publishers by WHIP; None: nowhere
    pulls: tuple[Pull, ...] = field(default=(), repr=False)
    codes_sound: bool = True  # for players who cannot be sent what was published

    def template_of(
        self, stream_id: str, overrides: StreamOverrides = NO_OVERRIDES
    ) -> Template | None:
        """The template of a stream, with the limits that are its own; it lets nobody in.

        It travels with the stream, also to processes that are to know no keys.
        """
        app = stream_id.partition("/")[0]
        template, own = self.template(overrides.template or app), self.stream_keys.get(stream_id)
        template = template or self.template(app)  # it may have gone since it was named
        if template is None:
            return None
        closed = template.without_access()
        limits = overrides.limits or (own.limits if own is not None else None)
        return closed if limits is None else replace(closed, limits=limits)

    def without_pushes(self) -> "Settings":
        """The same for processes that call nobody."""
        templates = tuple(replace(template, pushes=()) for template in self.templates)
        return replace(self, templates=templates)

    def without_hook_secrets(self) -> "Settings":
        """The same for processes that send nothing to hooks."""
        return replace(
            self,
            templates=tuple(
                replace(template, hooks=template.hooks.without_secret())
                for template in self.templates
            ),
        )

    def without_access(self, *, has_hooks: bool = False) -> "Settings":
        """The same for processes that let nobody in: they learn no keys."""
        return replace(
            self,
            templates=tuple(
                replace(
                    template.without_access(),
                    pushes=template.pushes,
                    hooks=template.hooks if has_hooks else Hooks(),
                )
                for template in self.templates
            ),
            stream_keys={
                stream: StreamKeys(limits=own.limits)
                for stream, own in self.stream_keys.items()
                if own.limits is not None
            },
            api=replace(self.api, tokens=()),
        )

    def template(self, app: str) -> Template | None:
        for template in self.templates:
            if template.name == app:
                return template
        return None
