"""What a host has free, for others to know: units by pipeline. Pure."""

from collections.abc import Mapping

from supervisor.placement.cost import Resource
from supervisor.placement.fleet import Fleet


def host_room(fleet: Fleet) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Units that are free, and all of them, of the devices that take streams."""
    free: dict[str, float] = {}
    capacity: dict[str, float] = {}
    seen: set[tuple[str, str]] = set()
    for device in fleet.devices.values():
        resource = Resource.LOAD if Resource.LOAD in device.limits else Resource.CORES
        limit = fleet.limit(resource, device)
        if not device.is_up or not device.is_open or device.reserved_for or limit is None:
            continue
        name = device.pipeline.value
        place = (name, device.name.device_name if resource is Resource.LOAD else "")
        if place in seen:  # workers share it
            continue
        seen.add(place)
        left = max(0.0, limit - fleet.used_beside(resource, device))
        free[name] = free.get(name, 0.0) + left
        capacity[name] = capacity.get(name, 0.0) + limit
    return free, capacity
