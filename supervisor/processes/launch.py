"""Which children a farm has, and how each is started. Pure."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.config.settings import Listen, Settings
from common.ipc.child_arguments import identity_arguments
from common.ipc.identity import CPU, ChildId, cpu_worker, gpu_worker
from supervisor.commands.banner import address_text
from supervisor.processes.worker_counts import software_workers

# What runs a child of a kind; tests run toys.
Program = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start a child. `command` is asked at each start: it may change in between."""

    name: ChildId
    command: Callable[[], Sequence[str]]
    environ: Mapping[str, str] = field(default_factory=dict)  # over the supervisor's own


def python_module(kind: str) -> Sequence[str]:
    """A child is a Python of its own: never forked, never imported here."""
    return (sys.executable, "-P", "-m", kind)


def child_names(settings: Settings, gpu_uuids: Iterable[str], cores: int) -> list[ChildId]:
    """All that a farm has from its start; hybrid GPUs get further workers (`worker_counts.py`)."""
    return [
        *(ChildId("egress", index=index) for index in range(settings.egress.processes)),
        *(cpu_worker(index) for index in range(software_workers(settings, cores))),
        *(gpu_worker(uuid) for uuid in gpu_uuids),
        *(ChildId("ingest", index=index) for index in range(settings.ingest.processes)),
    ]


def gpu_uuids(names: Iterable[ChildId]) -> list[str]:
    """Of the GPUs that have workers among these children, each once."""
    return list(dict.fromkeys(name.device for name in names if name.device not in ("", CPU)))


def child_command(
    name: ChildId,
    program: Program,
    run_dir: Path,
    settings: Settings,
    listen: Listen,
    share: int = 1,
) -> list[str]:
    """The command line; `listen` is the real address, once the port is known.

    `share`: so many workers, itself included, a worker shares the host's cores with.
    """
    kind = name.kind
    argv = [*program(kind), *identity_arguments(name), "--run-dir", str(run_dir)]
    argv += ["--orphan-timeout", str(settings.orphan_timeout_s)]
    if kind == "ingest":
        argv += ["--listen", address_text(listen)]
        if settings.ingest.processes > 1:
            argv.append("--share-port")
    if kind == "worker":
        argv += ["--share", str(share), "--threads", str(settings.software.encoder_threads)]
    return argv


def child_environ(name: ChildId) -> dict[str, str]:
    """A GPU's worker sees that GPU, everyone else none."""
    return {"CUDA_VISIBLE_DEVICES": "" if name.is_software else name.device}
