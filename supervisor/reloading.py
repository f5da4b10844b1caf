"""What a running farm takes of a configuration that was read again. Pure."""

from dataclasses import dataclass, replace

from common.identity import ChildName
from common.settings import Settings


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The settings from now on."""

    settings: Settings
    kept: tuple[str, ...]  # in words: what holds only after a restart
    new_workers: tuple[ChildName, ...]


def reloaded(before: Settings, loaded: Settings) -> Reloaded:
    """`loaded`, but for what is decided at the start."""
    kept = []
    if _start(loaded) != _start(before):
        kept.append("[listen] and the choice of GPUs only change with a restart")
    if _processes(loaded) != _processes(before):
        kept.append("the number of ingest and egress processes only changes with a restart")
    if loaded.software.workers < before.software.workers:
        kept.append("fewer software workers only after a restart")
    settings = replace(
        loaded,
        listen=before.listen,
        ingest=replace(loaded.ingest, processes=before.ingest.processes),
        egress=replace(loaded.egress, processes=before.egress.processes),
    )
    new = range(before.software.workers, loaded.software.workers)
    return Reloaded(settings, tuple(kept), tuple(ChildName(f"worker:cpu:{i}") for i in new))


def _start(settings: Settings) -> tuple[object, ...]:
    return settings.listen, settings.devices.use_gpus, settings.devices.exclude


def _processes(settings: Settings) -> tuple[int, int]:
    return settings.ingest.processes, settings.egress.processes
