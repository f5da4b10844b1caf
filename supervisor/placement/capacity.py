"""How many streams of one kind a fleet takes, if it has nothing else: what is announced. Pure.

Exactly as many as `place` finds room for, one after the other. It takes whichever device of a
pipeline is least full, so of streams that are all alike a pipeline takes as many as its devices do
together, or as the host's shared limits allow.
"""

import math
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from common.config.ladder import Pipeline, SourceFormat, Template
from supervisor.placement.cost import (
    HOST_WIDE,
    OF_WORKER,
    Amounts,
    largest_source,
    stream_cost,
)
from supervisor.placement.fleet import TINY, Device, Fleet

_BY_HEIGHT: Final = re.compile(r"(?P<height>\d{2,5})p(?P<fps>\d{1,3}(\.\d{1,3})?)")
_BY_SIZE: Final = re.compile(r"(?P<width>\d{2,5})x(?P<height>\d{2,5})@(?P<fps>\d{1,3}(\.\d{1,3})?)")
HD30 = SourceFormat(1280, 720, fps=Fraction(30))


def kind_name(source: SourceFormat) -> str:
    """A kind of source for people: 720p30, or 128x96@5."""
    fps = f"{float(source.fps):.4g}" if source.fps is not None else "?"
    if source.width * 9 == source.height * 16:
        return f"{source.height}p{fps}"
    return f"{source.width}x{source.height}@{fps}"


def read_kind(text: str) -> SourceFormat:
    """A kind of source, of 720p30 or 1280x720@30. Raises ValueError with what it has to be."""
    size = _BY_HEIGHT.fullmatch(text) or _BY_SIZE.fullmatch(text)
    if size is None:
        raise ValueError("must be a size and a rate, as 720p30 or 1280x720@30")
    named = size.groupdict()
    height, fps = int(named["height"]), Fraction(named["fps"])
    width = int(named["width"]) if "width" in named else -(-height * 16 // 9 // 2) * 2
    if not 16 <= width <= 16_384 or not 16 <= height <= 16_384 or not 1 <= fps <= 300:
        raise ValueError("must have 16 to 16384 pixels a side, and 1 to 300 pictures a second")
    return SourceFormat(width, height, fps=fps)


def typical_source(template: Template) -> SourceFormat:
    """720p30, or what `max_source` says where that is smaller."""
    most = largest_source(template)
    is_smaller = most.width * most.height < HD30.width * HD30.height
    return most if is_smaller else HD30


def streams_that_fit(fleet: Fleet, template: Template, source: SourceFormat) -> dict[Pipeline, int]:
    """By pipeline, in the order of the template's policy; of those that have devices.

    Those that would be passed through are not counted. What is placed already is not looked at.
    """
    found: dict[Pipeline, int] = {}
    if not template.renditions:
        return found
    cost = stream_cost(template, source)
    taken: dict[str, float] = {}
    for pipeline in template.policy:
        if pipeline in (Pipeline.REFUSE, Pipeline.PASSTHROUGH):
            break
        devices = [device for device in fleet.devices.values() if _is_counted(device, pipeline)]
        left = {name: limit - taken.get(name, 0.0) for name, limit in fleet.host.items()}
        total = 0
        for device, amounts in _budgets(devices, [device.amounts(cost) for device in devices]):
            count = _times_by_all(fleet, device, amounts, left)
            total += count
            for resource in HOST_WIDE & set(amounts):
                used = count * amounts[resource]
                taken[resource] = taken.get(resource, 0.0) + used
                if resource in left:
                    left[resource] -= used
        if devices:
            found[pipeline] = total
    return found


def _is_counted(device: Device, pipeline: Pipeline) -> bool:
    """A GPU counts once its limits are known, when its worker is up."""
    is_known = device.is_up or pipeline is Pipeline.SOFTWARE
    return device.pipeline is pipeline and device.reserved_for is None and is_known


def _budgets(
    devices: Iterable[Device], amounts: Iterable[Amounts]
) -> Iterable[tuple[Device, Amounts]]:
    """One device of each GPU, whose workers share its limits; one of all that have none."""
    seen: dict[str, tuple[Device, Amounts]] = {}
    for device, wanted in zip(devices, amounts, strict=True):
        seen.setdefault(device.name.device_name if device.limits else "", (device, wanted))
    return seen.values()


def _times_by_all(fleet: Fleet, device: Device, amounts: Amounts, left: Amounts) -> int:
    """How often by the device, with the workers that share it and what is left of the host."""
    own = {name: limit for name, limit in device.limits.items() if name in OF_WORKER}
    shared = {name: limit for name, limit in device.limits.items() if name not in OF_WORKER}
    count = _times(amounts, {**shared, **left})
    if own:
        count = min(count, fleet.workers_of(device) * _times(amounts, own))
    return count


def _times(amounts: Amounts, limits: Amounts) -> int:
    """How often so much fits into the limits."""
    return min(
        (
            math.floor((max(0.0, limits[resource]) + TINY) / amount)
            for resource, amount in amounts.items()
            if resource in limits and amount > 0
        ),
        default=0,
    )
