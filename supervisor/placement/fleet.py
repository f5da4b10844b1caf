"""Streams on devices: who has room, who takes it, what is given back. Pure functions on values.

A `Fleet` is the devices, the host's shared limits and the placements made; every function returns
a new one. What is used is never stored, only summed from the placements: nothing can leak, and
what was taken is given back by taking the placement away.

`place` follows the template's policy: the first pipeline that has a device with room. Among the
devices of a pipeline the one with the lowest used/capacity wins, for the resource it is shortest
of; ties rotate. Host-wide limits (cores, encoder sessions) are shared by all devices: software
workers are devices of their own on one budget of cores. So do the workers of one GPU share its
limits: each is a device with the whole of them, of which any may take what the others left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from common.config.ladder import Pipeline
from common.config.settings import Calibration
from common.errors import UsageError
from common.ipc.identity import ChildId, Generation, StreamId, gpu_worker
from common.media.pictures import DecodeLimits
from common.media.units import VideoCodec
from supervisor.placement.cost import HOST_WIDE, OF_WORKER, Amounts, Resource, StreamCost, amounts
from supervisor.placement.encoding import why_not_encoded

NOTHING: Amounts = MappingProxyType({})
MIB = 1024**2
TINY = 1e-9  # sums of floats may miss a limit that they meet exactly


@dataclass(frozen=True, slots=True)
class Device:
    """One worker's device, or its part in one that it shares."""

    name: ChildId  # of its worker
    pipeline: Pipeline  # GPU_ONLY, HYBRID or SOFTWARE
    limits: Amounts = field(default_factory=dict)  # its GPU's; a resource not named has no limit
    is_up: bool = True
    is_open: bool = True  # False: keeps what it has, takes nothing more …
    why_closed: str = ""  # … for people
    reserved_for: StreamId | None = None  # takes this stream alone
    measured: Mapping[str, Calibration] = field(default_factory=dict)  # by template
    encoder_threads: int = 1
    unbooked_bytes: float = 0.0  # that its worker has beyond what its streams have booked
    decodes: tuple[DecodeLimits, ...] = ()  # none: all that is taken in
    encodes: tuple[VideoCodec, ...] = ()  # none: every codec of renditions

    def takes(self, need: "Need") -> bool:
        """Whether it is there for this stream, room or not."""
        return self.reserved_for in (None, need.stream_id) or self.name == need.worker

    def amounts(self, cost: StreamCost) -> Amounts:
        """What a stream takes here: as calibrated, else by its pixel rate."""
        memory = cost.worker_memory(self.pipeline, self.encoder_threads)
        taken = amounts(cost, self.pipeline, self.measured.get(cost.template))
        return {**taken, Resource.WORKER_MEMORY: memory}


@dataclass(frozen=True, slots=True)
class Allocation:
    """One stream's room. `device` None: passthrough, which takes none."""

    generation: Generation
    stream_id: StreamId
    device: ChildId | None
    pipeline: Pipeline
    amounts: Amounts
    reason: str
    is_reservation: bool  # its source is not known yet


@dataclass(frozen=True, slots=True)
class NoRoom:
    """No device can take it, with the reason for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Need:
    """A stream that wants room."""

    generation: Generation
    stream_id: StreamId
    policy: tuple[Pipeline, ...]
    cost: StreamCost
    is_reservation: bool = False
    worker: ChildId | None = None  # that is its own, alone or with others
    codecs: tuple[VideoCodec, ...] = ()  # of its renditions


@dataclass(frozen=True, slots=True)
class Fleet:
    """All devices and all that is placed on them."""

    host: Amounts = field(default_factory=dict)  # limits on what is HOST_WIDE; not named: none
    devices: Mapping[ChildId, Device] = field(default_factory=dict)
    allocations: Mapping[Generation, Allocation] = field(default_factory=dict)
    turn: int = 0  # where the search for a tie begins

    def used(self, resource: Resource, device: ChildId | None = None) -> float:
        """What is taken of a resource, by one device's streams or by all."""
        return sum(
            placement.amounts.get(resource, 0.0)
            for placement in self.allocations.values()
            if device is None or placement.device == device
        )

    def used_beside(self, resource: Resource, device: Device) -> float:
        """What is taken of a resource by all with which the device shares it, itself included."""
        if resource in HOST_WIDE:
            return self.used(resource)
        if resource in OF_WORKER:
            return self.used(resource, device.name) + device.unbooked_bytes
        gpu = device.name.device_name
        return sum(
            placement.amounts.get(resource, 0.0)
            for placement in self.allocations.values()
            if placement.device is not None and placement.device.device_name == gpu
        )

    def workers_of(self, device: Device) -> int:
        """How many workers share the limits of its GPU, itself included."""
        return sum(name.device_name == device.name.device_name for name in self.devices)

    def limit(self, resource: Resource, device: Device) -> float | None:
        limits = self.host if resource in HOST_WIDE else device.limits
        return limits.get(resource)

    def on_device(self, device: ChildId) -> tuple[Allocation, ...]:
        return tuple(p for p in self.allocations.values() if p.device == device)

    def has_reservations(self) -> bool:
        """Whether the source of some placement is not known yet: it may shrink, or go."""
        return any(p.is_reservation and p.device is not None for p in self.allocations.values())

    def without_reservations(self) -> "Fleet":
        """The fleet with nothing booked for sources that are not known yet: they use nothing."""
        allocations = {
            generation: replace(p, amounts=NOTHING) if p.is_reservation else p
            for generation, p in self.allocations.items()
        }
        return replace(self, allocations=allocations)

    def with_device(self, device: Device) -> "Fleet":
        return replace(self, devices={**self.devices, device.name: device})

    def without_device(self, name: ChildId) -> "Fleet":
        """The fleet without a device and all that was on it."""
        return replace(
            self,
            devices={n: d for n, d in self.devices.items() if n != name},
            allocations={g: p for g, p in self.allocations.items() if p.device != name},
        )

    def with_only(self, generation: Generation) -> "Fleet":
        """The fleet as if this placement were alone on it."""
        return replace(self, allocations={generation: self.allocations[generation]})

    def with_allocation(self, placement: Allocation) -> "Fleet":
        """As it is, room or not: what runs already when a new supervisor finds it."""
        allocations = {**self.allocations, placement.generation: placement}
        return replace(self, allocations=allocations)


class Room(NamedTuple):
    """Room that was found: the fleet with the allocation in it."""

    fleet: Fleet
    allocation: Allocation


Excluded = Mapping[ChildId, str]  # the devices that a stream may not have, and why, if that tells
NONE_EXCLUDED: Excluded = MappingProxyType({})
_OF_CORES = (Resource.CORES, Resource.HYBRID_CORES)


def place(
    fleet: Fleet, need: Need, exclude: Excluded = NONE_EXCLUDED, had: Amounts = NOTHING
) -> Room | NoRoom:
    """Room for a stream by its policy, on none of the excluded devices.

    `had`: what it gives up for it; as much of the host's cores is its own, whatever is booked.
    """
    why_not: list[str] = []  # of every pipeline before
    passed_by: list[str] = []  # of those that have devices at all
    for pipeline in need.policy:
        if pipeline is Pipeline.REFUSE:
            break
        if pipeline is Pipeline.PASSTHROUGH:
            reason = "; ".join(["passthrough", *passed_by])
            return _put(fleet, need, None, pipeline, {}, reason)
        devices = [
            device
            for device in fleet.devices.values()
            if device.pipeline is pipeline and device.takes(need)
        ]
        fitting = []
        refusals = []
        for index, device in enumerate(devices):
            wanted = device.amounts(need.cost)
            unable = why_not_encoded(device.encodes, need.codecs)
            problem = f"{device.name.device_name}: {unable}" if unable else None
            problem = problem or _problem(fleet, device, wanted, exclude, had)
            if problem is None:
                turn = (index - fleet.turn) % len(devices)
                fitting.append((fullness(fleet, device, wanted), turn, device))
            else:
                refusals.append(problem)
        if fitting:
            full, _, device = min(fitting, key=lambda item: item[:2])
            reason = f"{pipeline.value}: {full:.0%} used, least of {len(fitting)} with room"
            taken = device.amounts(need.cost)
            return _put(fleet, need, device.name, pipeline, taken, "; ".join([reason, *passed_by]))
        others = _hybrid_gpus(fleet) if pipeline is Pipeline.GPU_ONLY else ""
        detail = ", ".join(dict.fromkeys(refusals)) or f"no such device{others}"
        why_not.append(f"{pipeline.value}: {detail}")
        if devices or others:
            passed_by.append(why_not[-1])
    return NoRoom("; ".join(why_not) or "the policy refuses")


def release(fleet: Fleet, generation: Generation) -> Fleet:
    """Give back what a placement took. Raises UsageError when it is not there (any more)."""
    if generation not in fleet.allocations:
        raise UsageError(f"no placement of generation {generation}")
    allocations = {g: p for g, p in fleet.allocations.items() if g != generation}
    return replace(fleet, allocations=allocations)


def correct(
    fleet: Fleet, generation: Generation, cost: StreamCost, *, is_reservation: bool = False
) -> Room | NoRoom:
    """Another cost in place of what a stream has booked, on the device where it is.

    What is no more than before fits, whatever else is on the device. `is_reservation`: its source
    is still not known, the cost is of what it announces.
    """
    old = fleet.allocations.get(generation)
    if old is None:
        raise UsageError(f"no placement of generation {generation}")
    without = release(fleet, generation)
    wanted = amounts(cost, old.pipeline)
    if old.device is not None:
        device = fleet.devices.get(old.device)
        if device is None:
            return NoRoom(f"{old.pipeline.value}: the device is gone")
        wanted = device.amounts(cost)
        is_less = all(amount <= old.amounts.get(key, 0) for key, amount in wanted.items())
        problem = None if is_less else _shortage(without, device, wanted)
        if problem is not None:
            return NoRoom(f"{old.pipeline.value}: {problem}")
    new = replace(old, amounts=wanted, is_reservation=is_reservation)
    return Room(without.with_allocation(new), new)


def stay(fleet: Fleet, old: Generation, need: Need) -> Room:
    """A stream that has been let in stays where it is, room or not, with what it costs by now.

    Raises UsageError when it is not there (any more).
    """
    without = release(fleet, old)
    before = fleet.allocations[old]
    device = fleet.devices.get(before.device) if before.device is not None else None
    new = replace(
        before,
        generation=need.generation,
        amounts=device.amounts(need.cost) if device is not None else before.amounts,
        is_reservation=need.is_reservation,
    )
    return Room(without.with_allocation(new), new)


def move(
    fleet: Fleet, old: Generation, need: Need, exclude: Excluded = NONE_EXCLUDED
) -> Room | NoRoom:
    """Other room for a stream whose old room is free at once; without room nothing changes."""
    return place(release(fleet, old), need, exclude)


def move_while_running(
    fleet: Fleet, old: Generation, need: Need, exclude: Excluded = NONE_EXCLUDED
) -> Room | NoRoom:
    """As `move`, for a stream that runs: on another worker it takes no more of the cores."""
    return place(release(fleet, old), need, exclude, fleet.allocations[old].amounts)


def _put(
    fleet: Fleet,
    need: Need,
    device: ChildId | None,
    pipeline: Pipeline,
    taken: Amounts,
    reason: str,
) -> Room:
    if need.generation in fleet.allocations:
        raise UsageError(f"generation {need.generation} is placed already")
    placement = Allocation(
        need.generation, need.stream_id, device, pipeline, taken, reason, need.is_reservation
    )
    return Room(replace(fleet.with_allocation(placement), turn=fleet.turn + 1), placement)


def _hybrid_gpus(fleet: Fleet) -> str:
    """The GPUs that cannot encode, where one that can is asked for."""
    hybrid = [d.name for d in fleet.devices.values() if d.pipeline is Pipeline.HYBRID]
    gpus = dict.fromkeys(f"{gpu_worker(name.device)} is hybrid" for name in hybrid)
    return f" ({', '.join(gpus)})" if gpus else ""


def _problem(
    fleet: Fleet, device: Device, wanted: Amounts, exclude: Excluded, had: Amounts
) -> str | None:
    if device.name in exclude:
        why = exclude[device.name]
        return f"{device.name.device_name}: {why}" if why else f"{device.name} is excluded"
    if not device.is_up:
        return f"{device.name} is down"
    if not device.is_open:
        why = f": {device.why_closed}" if device.why_closed else ""
        return f"{device.name} takes no new streams{why}"
    return _shortage(fleet, device, wanted, had)


def _shortage(fleet: Fleet, device: Device, wanted: Amounts, had: Amounts = NOTHING) -> str | None:
    """The resource that the device lacks, in words."""
    resource = lacking(fleet, device, wanted, had)
    if resource is None:
        return None
    amount, limit = wanted[resource], fleet.limit(resource, device) or 0.0
    left = max(0.0, limit - fleet.used_beside(resource, device))
    whose = "the host" if resource in HOST_WIDE else device.name
    if resource in (Resource.WORKER_MEMORY, Resource.MEMORY):
        free = f"{left / MIB:.0f} MiB {resource.value} free"
        return f"needs {amount / MIB:.0f} of the {free} on {whose} ({limit / MIB:.0f} in all)"
    free = f"{left:.4g} {_in_words(resource)} free"
    return f"needs {amount:.4g} of the {free} on {whose} ({limit:.4g} in all)"


def lacking(
    fleet: Fleet, device: Device, wanted: Amounts, had: Amounts = NOTHING
) -> Resource | None:
    """The first resource of which the device has not enough left; None: it has room."""
    for resource, amount in wanted.items():
        limit = fleet.limit(resource, device)
        if limit is None or amount == 0:
            continue
        if resource in _OF_CORES and amount <= had.get(resource, 0.0):
            continue
        if fleet.used_beside(resource, device) + amount > limit + TINY:
            return resource
    return None


def _in_words(resource: Resource) -> str:
    """Units of cost are not to be taken for cores: a core has many."""
    return f"units of {resource.value}" if resource in _OF_CORES else resource.value


def fullness(fleet: Fleet, device: Device, wanted: Amounts) -> float:
    """used/capacity of what the device is shortest of; its own share of what all share."""
    ratios = [0.0]
    for resource in wanted:
        if resource in OF_WORKER:
            continue  # there is plenty, until there is none
        limit = fleet.limit(resource, device)
        if limit:
            ratios.append(fleet.used(resource, device.name) / limit)
    return max(ratios)
