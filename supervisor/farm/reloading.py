"""What a running farm takes of a configuration that was read again. Pure."""

from dataclasses import dataclass, replace

from common.config.settings import Settings
from common.ipc.identity import ChildId, cpu_worker
from supervisor.processes.worker_counts import hybrid_workers, software_workers


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The settings from now on."""

    settings: Settings
    kept: tuple[str, ...]  # in words: what holds only after a restart
    new_workers: tuple[ChildId, ...]


def reloaded(before: Settings, loaded: Settings, cores: int) -> Reloaded:
    """`loaded`, but for what is decided at the start.

    `new_workers` are those on the host's cores; hybrid GPUs' come of the settings as at the start.
    """
    kept = []
    devices, software = loaded.devices, loaded.software
    if _start(loaded) != _start(before):
        kept.append("[listen] and the choice of GPUs only change with a restart")
        chosen = before.devices
        devices = replace(devices, use_gpus=chosen.use_gpus, exclude=chosen.exclude)
    if _processes(loaded) != _processes(before):
        kept.append("the number of ingest and egress processes only changes with a restart")
    workers = software_workers(before, cores), software_workers(loaded, cores)
    if workers[1] < workers[0]:
        kept.append("fewer software workers only after a restart")
        software = replace(software, workers=before.software.workers)
    if hybrid_workers(loaded, cores, 1) < hybrid_workers(before, cores, 1):
        kept.append("fewer workers a hybrid GPU only after a restart")
        devices = replace(devices, hybrid_workers=before.devices.hybrid_workers)
    settings = replace(
        loaded,
        listen=before.listen,
        devices=devices,
        software=software,
        ingest=replace(loaded.ingest, processes=before.ingest.processes),
        egress=replace(loaded.egress, processes=before.egress.processes),
    )
    new = tuple(cpu_worker(i) for i in range(*workers))
    return Reloaded(settings, tuple(kept), new)


def _start(settings: Settings) -> tuple[object, ...]:
    return settings.listen, settings.devices.use_gpus, settings.devices.exclude


def _processes(settings: Settings) -> tuple[int, int]:
    return settings.ingest.processes, settings.egress.processes
