"""Which children a farm has, and how each is started. Pure."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.identity import ChildName
from common.settings import Listen, Settings
from supervisor.banner import address_text

# What runs a child of a kind; tests run toys.
Program = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start a child. `command` is asked at each start: it may change in between."""

    name: ChildName
    command: Callable[[], Sequence[str]]
    environ: Mapping[str, str] = field(default_factory=dict)  # over the supervisor's own


def python_module(kind: str) -> Sequence[str]:
    """A child is a Python of its own: never forked, never imported here."""
    return (sys.executable, "-P", "-m", kind)


def child_names(settings: Settings, gpu_uuids: Iterable[str]) -> list[ChildName]:
    """All that a farm has from its start."""
    names = [f"egress:{i}" for i in range(settings.egress.processes)]
    names += [f"worker:cpu:{i}" for i in range(settings.software.workers)]
    names += [f"worker:{uuid}" for uuid in gpu_uuids]
    names += [f"ingest:{i}" for i in range(settings.ingest.processes)]
    return [ChildName(name) for name in names]


def gpu_uuids(names: Iterable[ChildName]) -> list[str]:
    """Of the GPUs that have a worker among these children."""
    devices = [name.removeprefix("worker:") for name in names]
    return [device for device in devices if device.startswith("GPU-")]


def child_command(
    name: ChildName, program: Program, run_dir: Path, settings: Settings, listen: Listen
) -> list[str]:
    """The command line; `listen` is the real address, once the port is known."""
    kind, _, rest = name.partition(":")
    argv = [*program(kind), "--name", name, "--run-dir", str(run_dir)]
    argv += ["--orphan-timeout", str(settings.orphan_timeout_s)]
    if kind == "ingest":
        argv += ["--listen", address_text(listen)]
        if settings.ingest.processes > 1:
            argv.append("--share-port")
    if kind == "worker":
        argv += ["--device", rest]
        argv += ["--threads", str(settings.software.encoder_threads)]
    return argv


def child_environ(name: ChildName) -> dict[str, str]:
    """A GPU's worker sees that GPU, everyone else none."""
    kind, _, device = name.partition(":")
    is_on_gpu = kind == "worker" and not device.startswith("cpu:")
    return {"CUDA_VISIBLE_DEVICES": device if is_on_gpu else ""}
