"""What the banner, `tfarm check` and `tfarm doctor` say of a host's room, in words. Pure.

All numbers are those of `supervisor/placement/capacity.py`: what is announced is what is let in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.settings import Settings
from common.ipc.identity import cpu_worker, gpu_worker
from common.words import counted
from supervisor.farm.devices import Devices
from supervisor.farm.state import FarmState
from supervisor.placement.capacity import kind_name, streams_that_fit, typical_source
from supervisor.placement.cost import (
    NEWCOMER,
    Resource,
    StreamCost,
    largest_source,
    newcomer_cost,
    stream_cost,
)
from supervisor.placement.fleet import Device, Fleet
from supervisor.processes.worker_counts import software_workers

_WHERE = {
    Pipeline.GPU_ONLY: "on GPUs",
    Pipeline.HYBRID: "on GPUs and the host's cores",
    Pipeline.SOFTWARE: "on the host's cores",
}


@dataclass(frozen=True, slots=True)
class PlannedGpu:
    """A GPU as a farm would use it."""

    uuid: str
    pci_id: str
    label: str  # "NVIDIA L4"
    memory_bytes: int
    pipeline: Pipeline = Pipeline.GPU_ONLY


def planned_fleet(
    settings: Settings,
    cores: int,
    gpus: Sequence[PlannedGpu] = (),
    *,
    uses_cores: bool = True,
) -> Fleet:
    """The devices that a farm with these settings would have here; each GPU as one worker.

    `uses_cores`: streams are placed on the host's cores too, unless the settings rule that out.
    """
    state = FarmState(settings, cores)
    devices = Devices(state)
    if uses_cores and settings.software.workers != 0:
        for index in range(software_workers(settings, cores)):
            devices.up(cpu_worker(index), Pipeline.SOFTWARE)
    for gpu in gpus:
        aliases = (gpu.uuid, gpu.pci_id)
        devices.up(gpu_worker(gpu.uuid), gpu.pipeline, aliases, gpu.memory_bytes)
    return state.fleet


def room_lines(settings: Settings, fleet: Fleet) -> list[str]:
    """For the banner: how many streams of a usual kind each app has room for."""
    lines = []
    for template in settings.templates:
        if not template.renditions:
            continue
        source = typical_source(template)
        fits = streams_that_fit(fleet, template, source)
        if not fits:
            continue
        where = ", ".join(f"{count} {_WHERE[pipeline]}" for pipeline, count in fits.items())
        streams = counted(sum(fits.values()), "stream")
        only = f" ({where})" if len(fits) > 1 else ""
        lines.append(
            f'room for {streams} of {kind_name(source)} in "{template.name}" alone{only}'
            f"{_of_cores(fleet, template, source)}"
        )
    return lines


def _of_cores(fleet: Fleet, template: Template, source: SourceFormat) -> str:
    """What one takes of the host's cores, where these serve it."""
    units = _units(fleet, stream_cost(template, source))
    limit = fleet.host.get(Resource.CORES)
    if units is None or limit is None or Pipeline.SOFTWARE not in template.policy:
        return ""
    return f"; each takes {_number(units)} of the {_number(limit)} units of the host's cores"


def check_lines(settings: Settings, cores: int, gpus: Sequence[PlannedGpu] = ()) -> list[str]:
    """For `tfarm check`: what a stream of each template costs, and how many fit this host."""
    fleet = planned_fleet(settings, cores)
    limit = fleet.host[Resource.CORES]
    lines = [f"this host: {counted(cores, 'core')}, counted as {_number(limit)} units"]
    for template in settings.templates:
        lines.append(f'app "{template.name}": {", ".join(template.rendition_names())}')
        if not template.renditions:
            lines.append("  nothing is transcoded: streams take no room")
            continue
        lines += [f"  {line}" for line in _template_lines(settings, fleet, template, cores, gpus)]
    return lines


def _template_lines(
    settings: Settings, fleet: Fleet, template: Template, cores: int, gpus: Sequence[PlannedGpu]
) -> list[str]:
    most, usual = largest_source(template), typical_source(template)
    kinds = {f"{most.width}x{most.height}@{most.fps} (max_source)": most}
    if usual != most:
        kinds[f"{usual.width}x{usual.height}@{usual.fps} ({kind_name(usual)})"] = usual
    lines = []
    for name, source in kinds.items():
        cost = stream_cost(template, source)
        units = _units(fleet, cost)
        parts = [f"{_number(cost.total if units is None else units)} units a stream"]
        if units is not None and Pipeline.SOFTWARE in template.policy:
            count = streams_that_fit(fleet, template, source).get(Pipeline.SOFTWARE, 0)
            parts.append(f"the host's cores have room for {count}")
        for gpu in gpus if Pipeline.GPU_ONLY in template.policy else ():
            alone = planned_fleet(settings, cores, [gpu], uses_cores=False)
            count = streams_that_fit(alone, template, source).get(Pipeline.GPU_ONLY, 0)
            parts.append(f"{gpu.label} {gpu.pci_id}, if its NVENC works, for {count}")
        lines.append(f"{name}: {', '.join(parts)}")
    newcomer = newcomer_cost(template)
    units = _units(fleet, newcomer)
    lines.append(
        f"reserved before the size of a source is known: "
        f"{_number(newcomer.total if units is None else units)} units, as for "
        f"{NEWCOMER.described}; its real cost is booked at its first header"
    )
    return lines


def streams_here(
    settings: Settings, cores: int, source: SourceFormat, gpu: PlannedGpu | None
) -> dict[str, int]:
    """For `tfarm doctor`: how many streams of a kind one device takes, by app.

    `gpu` None: the host's cores.
    """
    gpus = [gpu] if gpu is not None else []
    fleet = planned_fleet(settings, cores, gpus, uses_cores=gpu is None)
    pipeline = gpu.pipeline if gpu is not None else Pipeline.SOFTWARE
    by_app = {t.name: streams_that_fit(fleet, t, source) for t in settings.templates}
    return {app: fits[pipeline] for app, fits in by_app.items() if pipeline in fits}


def _units(fleet: Fleet, cost: StreamCost) -> float | None:
    """What a stream takes of the host's cores, calibrated or not; None: they serve none."""
    for device in fleet.devices.values():
        if _is_of_cores(device):
            return device.amounts(cost).get(Resource.CORES)
    return None


def _is_of_cores(device: Device) -> bool:
    return device.pipeline is Pipeline.SOFTWARE and device.reserved_for is None


def _number(value: float) -> str:
    """At most one digit behind the point; small ones keep two that tell."""
    return f"{value:.1f}".removesuffix(".0") if value >= 1 else f"{value:.2g}"
