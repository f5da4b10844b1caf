"""A TOML file → `Settings`, checked whole: every fault with its key's path, none hides another.

`load` reads the file and those it includes (IO); `parse` is pure. An included file gives what the
including one does not say (`tfarm calibrate` writes such a file). What is not written keeps the
defaults of `common/config/settings.py`: an empty file is the built-in farm.

Keys given in clear are hashed here and stand nowhere else, in no fault either.
"""

import difflib
import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from common.config import values
from common.config.ladder import (
    SOURCE,
    AwayPicture,
    Pipeline,
    RateControl,
    Rendition,
    Takeover,
    Template,
)
from common.config.policy import never_tried, unserved
from common.config.settings import (
    DEFAULT_RENDITIONS,
    Calibration,
    Devices,
    EgressSettings,
    IngestSettings,
    Listen,
    Settings,
    Software,
    WorkerSettings,
)
from common.errors import ConfigError, ConfigFault

T = TypeVar("T")
Read = Callable[[Any], T]

MAX_FILE_BYTES = 1024 * 1024
MAX_INCLUDES = 16
_NONE: tuple[str, ...] = ()
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_PRESETS = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
_PROFILES = ("baseline", "main", "high")


def load(path: Path) -> Settings:
    """The settings in a file.

    Raises:
        ConfigError: with every fault found; unreadable files are faults too.
    """
    document = _read_file(path)
    faults: list[ConfigFault] = []
    includes = _Table(document, "", faults).take("include", _list_of(values.text), _NONE)
    if len(includes) > MAX_INCLUDES:
        faults.append(ConfigFault("include", f"must be at most {MAX_INCLUDES} files"))
    for index, name in enumerate(includes[:MAX_INCLUDES]):
        try:
            included = _read_file(path.parent / name)
        except ConfigError as error:
            faults += [ConfigFault(f"include[{index}]", f.problem) for f in error.faults]
            continue
        if "include" in included:
            faults.append(ConfigFault(f"include[{index}]", f"{name} must not include others"))
        document = _merge(document, included)
    return _settings({k: v for k, v in document.items() if k != "include"}, faults)


def parse(document: Mapping[str, Any]) -> Settings:
    """The settings in a parsed TOML document without includes. Raises ConfigError."""
    return _settings(document, [])


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _fault(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_FILE_BYTES:
        raise _fault(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _fault(f"{path} is no TOML: {error}") from error


def _fault(problem: str) -> ConfigError:
    return ConfigError([ConfigFault("", problem)])


def _merge(over: Mapping[str, Any], under: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both say something `over` holds, tables key by key."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merge(value, below)
        merged[key] = value
    return merged


class _Table:
    """One TOML table, read key by key; faults go to a list that all tables share."""

    def __init__(self, value: Any, path: str, faults: list[ConfigFault]) -> None:
        self.path = path
        self.faults = faults
        self._known: set[str] = set()
        self._values: Mapping[str, Any] = {}
        if isinstance(value, dict):
            self._values = value
        else:
            faults.append(ConfigFault(path, "must be a table"))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def entries(self) -> Sequence[str]:
        return tuple(self._values)

    def key_path(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def fault(self, key: str, problem: str) -> None:
        self.faults.append(ConfigFault(self.key_path(key) if key else self.path, problem))

    def take(self, key: str, read: Read[T], default: T) -> T:
        """The value of a key; its default when it is not there or faulty."""
        self._known.add(key)
        if key not in self._values:
            return default
        try:
            return read(self._values[key])
        except _ItemFault as fault:
            self.fault(f"{key}[{fault.index}]", fault.problem)
        except ValueError as error:
            self.fault(key, str(error))
        return default

    def need(self, key: str, read: Read[T], repeat_picture: T) -> T:
        """As `take`, for a key that must be there."""
        if key not in self._values:
            self.fault(key, "is missing")
        return self.take(key, read, repeat_picture)

    def table(self, key: str) -> "_Table":
        self._known.add(key)
        return _Table(self._values.get(key, {}), self.key_path(key), self.faults)

    def tables(self, key: str) -> list["_Table"]:
        """An array of tables."""
        self._known.add(key)
        items = self._values.get(key, [])
        if not isinstance(items, list):
            self.fault(key, "must be an array of tables")
            return []
        path = self.key_path(key)
        tables = [_Table(item, f"{path}[{i}]", self.faults) for i, item in enumerate(items)]
        return [table for table, item in zip(tables, items, strict=True) if isinstance(item, dict)]

    def finish(self) -> None:
        """Say which keys nobody asked for."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = f'; did you mean "{near[0]}"?' if near else ""
                self.fault(key, f"is no known key{hint}")


class _ItemFault(Exception):
    def __init__(self, index: int, problem: str) -> None:
        super().__init__(problem)
        self.index = index
        self.problem = problem


def _list_of(read: Read[T]) -> Read[tuple[T, ...]]:
    def read_list(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ValueError("must be an array")
        items = []
        for index, item in enumerate(value):
            try:
                items.append(read(item))
            except ValueError as error:
                raise _ItemFault(index, str(error)) from error
        return tuple(items)

    return read_list


def _optional(read: Read[T]) -> Read[T | None]:
    return read


def _settings(document: Mapping[str, Any], faults: list[ConfigFault]) -> Settings:
    defaults = Settings()
    root = _Table(dict(document), "", faults)
    settings = Settings(
        listen=_listen(root.table("listen"), defaults.listen),
        software=_software(root.table("software"), defaults.software),
        devices=_devices(root.table("devices"), defaults.devices),
        ingest=_ingest(root.table("ingest"), defaults.ingest),
        egress=_egress(root.table("egress"), defaults.egress),
        worker=_worker(root.table("worker"), defaults.worker),
        log_level=root.take("log_level", values.word(*_LEVELS), defaults.log_level),
        orphan_timeout_s=root.take(
            "orphan_timeout", values.seconds(3, 3600), defaults.orphan_timeout_s
        ),
        templates=_templates(root, defaults.templates),
        calibration=tuple(_calibration(table) for table in root.tables("calibration")),
    )
    root.finish()
    if not faults:
        faults += unserved(settings)
    if faults:
        raise ConfigError(faults)
    return settings


def _listen(table: _Table, defaults: Listen) -> Listen:
    listen = table.take("rtmp", values.listen_address, defaults)
    table.finish()
    return listen


def _software(table: _Table, defaults: Software) -> Software:
    software = Software(
        workers=table.take("workers", _optional(values.integer(0, 64)), defaults.workers),
        capacity=table.take("capacity", _optional(values.number(0, 1e9)), defaults.capacity),
        encoder_threads=table.take(
            "encoder_threads", values.integer(1, 64), defaults.encoder_threads
        ),
    )
    table.finish()
    return software


def _devices(table: _Table, defaults: Devices) -> Devices:
    by_device = table.table("capacity")
    capacity = tuple(
        (device, by_device.take(device, values.number(0, 1e9), 0.0))
        for device in by_device.entries()
    )
    devices = Devices(
        use_gpus=table.take("use_gpus", values.boolean, defaults.use_gpus),
        exclude=table.take("exclude", _list_of(values.text), defaults.exclude),
        capacity=capacity,
        max_encoder_sessions=table.take(
            "max_encoder_sessions",
            _optional(values.integer(0, 1000)),
            defaults.max_encoder_sessions,
        ),
        hybrid_capacity=table.take(
            "hybrid_capacity", _optional(values.number(0, 1e9)), defaults.hybrid_capacity
        ),
        hybrid_workers=table.take(
            "hybrid_workers", _optional(values.integer(1, 64)), defaults.hybrid_workers
        ),
    )
    table.finish()
    return devices


def _calibration(table: _Table) -> Calibration:
    share, amount = values.number(0, 1), values.number(0, 1e9)
    calibration = Calibration(
        device=table.need("device", values.text, ""),
        template=table.need("template", values.name, ""),
        path=table.need("path", values.choice(Pipeline), Pipeline.SOFTWARE),
        source=table.need("source", values.source_limit, (16, 16, 1)),
        streams=table.need("streams", values.integer(1, 100_000), 1),
        units=table.need("units", values.number(1e-6, 1e9), 1.0),
        load=table.need("load", amount, 0.0),
        decode=table.take("decode", share, 0.0),
        scale=table.take("scale", share, 0.0),
        encode=table.take("encode", share, 0.0),
        memory_bytes=table.take("memory", values.byte_count(0, 1024**4), 0),
        cores=table.take("cores", amount, 0.0),
    )
    table.finish()
    return calibration


def _ingest(table: _Table, defaults: IngestSettings) -> IngestSettings:
    wait, many = values.seconds(0.1, 3600), values.integer(1, 1_000_000)
    ingest = IngestSettings(
        processes=table.take("processes", values.integer(1, 64), defaults.processes),
        handshake_timeout_s=table.take("handshake_timeout", wait, defaults.handshake_timeout_s),
        first_video_timeout_s=table.take(
            "first_video_timeout", wait, defaults.first_video_timeout_s
        ),
        idle_timeout_s=table.take("idle_timeout", wait, defaults.idle_timeout_s),
        max_connections=table.take("max_connections", many, defaults.max_connections),
        max_connections_per_address=table.take(
            "max_connections_per_address", many, defaults.max_connections_per_address
        ),
        max_handshakes_per_address=table.take(
            "max_handshakes_per_address",
            values.number(0.1, 1e6),
            defaults.max_handshakes_per_address,
        ),
        max_publishes_per_address=table.take(
            "max_publishes_per_address", many, defaults.max_publishes_per_address
        ),
        max_message_bytes=table.take(
            "max_message", values.byte_count(65536, 64 * 1024**2), defaults.max_message_bytes
        ),
        exempt_networks=table.take(
            "exempt_networks", _list_of(values.network), defaults.exempt_networks
        ),
        takeover_idle_s=table.take("takeover_idle", wait, defaults.takeover_idle_s),
    )
    table.finish()
    return ingest


def _egress(table: _Table, defaults: EgressSettings) -> EgressSettings:
    egress = EgressSettings(
        processes=table.take("processes", values.integer(1, 64), defaults.processes),
        max_players=table.take("max_players", values.integer(1, 1_000_000), defaults.max_players),
        max_players_per_address=table.take(
            "max_players_per_address",
            values.integer(1, 1_000_000),
            defaults.max_players_per_address,
        ),
        queue_ms=table.take("queue", values.milliseconds(100, 60_000), defaults.queue_ms),
        stall_timeout_s=table.take(
            "stall_timeout", values.seconds(0.5, 600), defaults.stall_timeout_s
        ),
        send_buffer_bytes=table.take(
            "send_buffer", values.byte_count(4096, 64 * 1024**2), defaults.send_buffer_bytes
        ),
    )
    table.finish()
    return egress


def _worker(table: _Table, defaults: WorkerSettings) -> WorkerSettings:
    worker = WorkerSettings(
        # what nobody plays comes in bundles of 0.2 s (ingest/streams/read_batching.py)
        queue_ms=table.take("queue", values.milliseconds(250, 60_000), defaults.queue_ms),
        max_memory_bytes=table.take(
            "max_memory", values.byte_count(64 * 1024**2, 1024**4), defaults.max_memory_bytes
        ),
        hang_timeout_s=table.take(
            "hang_timeout", values.seconds(0.5, 600), defaults.hang_timeout_s
        ),
    )
    table.finish()
    return worker


def _templates(root: _Table, defaults: tuple[Template, ...]) -> tuple[Template, ...]:
    if "templates" not in root:
        root.table("templates")
        return defaults
    tables = root.table("templates")
    templates = []
    if not tables.entries():
        tables.fault("", "must hold at least one app")
    for app in tables.entries():
        try:
            values.name(app)
        except ValueError as error:
            tables.fault(app, f"an app {error}")
        templates.append(_template(tables.table(app), app))
    return tuple(templates)


def _template(table: _Table, app: str) -> Template:
    defaults = Template(app, DEFAULT_RENDITIONS)
    # Without the key the built-in ladder holds; an empty array is "passthrough only".
    if "renditions" in table:
        renditions = tuple(_rendition(item) for item in table.tables("renditions"))
    else:
        table.tables("renditions")
        renditions = defaults.renditions
    keys: dict[str, tuple[str, ...]] = {}
    for side in ("publish_keys", "play_keys"):
        clear = table.take(side, _list_of(values.secret), _NONE)
        hashed = table.take(f"{side}_sha256", _list_of(values.sha256_hex), _NONE)
        keys[side] = (*(hashlib.sha256(key.encode()).hexdigest() for key in clear), *hashed)
    template = Template(
        name=app,
        renditions=renditions,
        gop_ms=table.take("gop", values.milliseconds(250, 20_000), defaults.gop_ms),
        hold_ms=table.take("hold", values.milliseconds(0, 600_000), defaults.hold_ms),
        wait_ms=table.take("wait", values.milliseconds(0, 600_000), defaults.wait_ms),
        max_source=table.take("max_source", values.source_limit, defaults.max_source),
        publish_keys=keys["publish_keys"],
        play_keys=keys["play_keys"],
        takeover=table.take("takeover", values.choice(Takeover), defaults.takeover),
        away_picture=table.take("filler", values.choice(AwayPicture), defaults.away_picture),
        policy=table.take("policy", _list_of(values.choice(Pipeline)), defaults.policy),
        cost=table.take("cost", _optional(values.number(0, 1e9)), defaults.cost),
        flush_ms=table.take("flush", values.flush, defaults.flush_ms),
        audio_hold_ms=table.take(
            "audio_hold", values.milliseconds(0, 1000), defaults.audio_hold_ms
        ),
    )
    _check_template(table, template)
    table.finish()
    return template


def _check_template(table: _Table, template: Template) -> None:
    """What no single key shows."""
    names: set[str] = set()
    for index, rendition in enumerate(template.renditions):
        path = f"renditions[{index}]"
        if rendition.name == SOURCE:
            table.fault(f"{path}.name", f'"{SOURCE}" is the stream as published; take another name')
        if rendition.name and rendition.name in names:
            table.fault(f"{path}.name", f'"{rendition.name}" is there twice')
        names.add(rendition.name)
        if rendition.fps is not None and template.gop_ms * rendition.fps < 1000:
            table.fault(
                f"{path}.fps",
                f"a frame lasts longer than the GOP of {template.gop_ms}ms",
            )
    if len(template.renditions) > 16:
        table.fault("renditions", "must be at most 16")
    if len(set(template.policy)) != len(template.policy) or not template.policy:
        table.fault("policy", "must name at least one path, and each once")
    elif useless := never_tried(template.policy):
        table.fault(f"policy[{useless[0]}]", useless[1])
    if template.takeover is Takeover.ALWAYS and not template.publish_keys:
        table.fault("takeover", '"always" needs publish_keys: else anyone takes over anyone')


def _rendition(table: _Table) -> Rendition:
    defaults = Rendition("", 0, 0, 0)
    rendition = Rendition(
        name=table.need("name", values.name, ""),
        width=table.need("width", values.even(16, 4096), 16),
        height=table.need("height", values.even(16, 4096), 16),
        bitrate_bps=table.need("bitrate", values.bitrate(16_000, 200_000_000), 1_000_000),
        fps=table.take("fps", values.frame_rate, defaults.fps),
        profile=table.take("profile", values.word(*_PROFILES), defaults.profile),
        preset=table.take("preset", values.word(*_PRESETS), defaults.preset),
        vbv_ms=table.take("vbv", values.milliseconds(50, 10_000), defaults.vbv_ms),
        cost=table.take("cost", _optional(values.number(0, 1e9)), defaults.cost),
        rate_control=table.take("rc", values.choice(RateControl), defaults.rate_control),
        maxrate_bps=table.take(
            "maxrate", _optional(values.bitrate(16_000, 400_000_000)), defaults.maxrate_bps
        ),
    )
    if rendition.maxrate_bps is not None:
        if rendition.rate_control is RateControl.CBR:
            table.fault("maxrate", 'is for rc = "vbr"; with "cbr" the bitrate is the most')
        elif rendition.maxrate_bps < rendition.bitrate_bps:
            table.fault("maxrate", "must be at least the bitrate")
    table.finish()
    return rendition
