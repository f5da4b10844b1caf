"""Which children a farm has, and how each is started. Pure."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from common.config.settings import Listen, Settings
from common.ipc.child_arguments import identity_arguments
from common.ipc.identity import CPU, ChildId, cpu_worker, gpu_worker
from common.ipc.kinds import KINDS, ChildKind
from common.process.log_lines import LogFormat
from supervisor.commands.banner import address_text
from supervisor.processes.worker_counts import software_workers

# What Amazon's tools read; no other kind of child has a use for it.
BUCKET_CREDENTIALS: Final = frozenset(
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
)

# What runs a child of a kind; tests run toys.
Program = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """Says how to start a child. `command` is called at each start: it may change in between."""

    child: ChildId
    command: Callable[[], Sequence[str]]
    environ: Mapping[str, str] = field(default_factory=dict)  # over the supervisor's own
    standby: Sequence[str] = ()  # how one begins that waits to be this child; (): none does


def python_module(kind: str) -> Sequence[str]:
    """Start a child as a Python of its own: never forked, never imported here."""
    return (sys.executable, "-P", "-m", KINDS[kind].module)


def standby_program(child: ChildId, program: Program) -> Sequence[str]:
    """Say how a process is started that waits to be this child; () where none is to wait.

    A GPU's worker cannot: its driver is set up for its GPU before all imports. A dedicated worker
    has a process of another worker of the host's cores.
    """
    is_software = not child.device or child.is_software
    return program(child.kind) if KINDS[child.kind].has_standby and is_software else ()


def child_ids(settings: Settings, gpu_uuids: Iterable[str], cores: int) -> list[ChildId]:
    """List what a farm has from its start; encoder processes come later (`worker_counts.py`)."""
    children: list[ChildId] = []
    for kind in reversed(KINDS.values()):
        if kind.count is not None:
            count = kind.count(settings)
            children += [ChildId(kind.name, index=index) for index in range(count)]
        else:
            children += map(cpu_worker, range(software_workers(settings, cores)))
            children += map(gpu_worker, gpu_uuids)
    return children


def gpu_uuids(names: Iterable[ChildId]) -> list[str]:
    """List the GPUs that have workers among these children, each once."""
    return list(dict.fromkeys(name.device for name in names if name.device not in ("", CPU)))


def child_command(
    child: ChildId,
    program: Program,
    run_dir: Path,
    settings: Settings,
    listen: Listen,
    share: int = 1,
    log_format: LogFormat = LogFormat.AUTO,
    listeners: str = "",
    *,
    shares_port: bool = False,
) -> list[str]:
    """Make the command line; `listen` is where its kind listens, once the port is known.

    `listeners`: the path where the process before it gives its listening sockets away.
    `shares_port`: others of its kind listen there too.

    `share`: so many encoder processes, itself included, one shares the host's cores with.
    """
    kind = KINDS[child.kind]
    argv = [*program(kind.name), *identity_arguments(child), "--run-dir", str(run_dir)]
    argv += ["--orphan-timeout", str(settings.orphan_timeout_s)]
    if log_format is not LogFormat.AUTO:
        argv += ["--log-format", log_format]
    if (kind.is_sandboxed or kind.starts_nothing) and not settings.has_sandbox:
        argv.append("--no-sandbox")
    if kind.listens:
        argv += ["--listen", address_text(listen)]
        if shares_port:
            argv.append("--share-port")
    if kind.address is not None:
        argv += ["--listen", address_text(listen)]
        if shares_port:
            argv.append("--share-port")
    if kind.speaks_srt:
        argv += ["--latency", str(settings.srt.latency_ms)]
    argv += _files(kind, settings)
    if listeners:
        argv += ["--listeners", listeners]
    if child.device or child.kind == "encoder":
        argv += ["--threads", str(settings.software.encoder_threads)]
    if child.kind == "encoder":
        argv += ["--share", str(share)]
    elif child.device and (not child.is_software or settings.software.encoder_processes):
        argv += ["--pictures", "shared"]
    return argv


def _files(kind: ChildKind, settings: Settings) -> list[str]:
    """What a kind reads and writes that the configuration names."""
    argv: list[str] = []
    if kind.records:
        for directory in dict.fromkeys(t.recording.directory for t in settings.templates):
            argv += ["--directory", directory] if directory else []
    if kind.uploads:
        rules = [t.recording for t in settings.templates if t.recording.is_uploaded]
        for directory in dict.fromkeys(rule.directory for rule in rules):
            argv += ["--directory", directory]
        files = [f for rule in rules for f in (rule.upload.credentials_file, rule.upload.ca_file)]
        for file in dict.fromkeys(filter(None, files)):
            argv += ["--file", file]
    if kind.ends_tls:
        argv += ["--certificate", settings.tls.certificate]
        argv += ["--key", settings.tls.key or settings.tls.certificate]
        for name, file in settings.tls.named:
            argv += ["--named", f"{name}={file}"]
    if kind.meets_hosts:
        cluster = settings.cluster
        argv += ["--certificate", cluster.cert, "--key", cluster.key, "--trusted", cluster.ca]
    return argv


def inherited_environ(environ: Mapping[str, str], kind: str) -> dict[str, str]:
    """What a child has of the supervisor's environment: credentials of buckets if it uploads."""
    return dict(environ) if KINDS[kind].uploads else without_credentials(environ)


def without_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """The same environment without credentials of buckets."""
    return {name: value for name, value in environ.items() if name not in BUCKET_CREDENTIALS}


def child_environ(child: ChildId) -> dict[str, str]:
    """Let a GPU's worker see that GPU, everyone else none."""
    return {"CUDA_VISIBLE_DEVICES": "" if child.is_software else child.device}
