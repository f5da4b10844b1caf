"""How many more streams of one kind the farm takes, by placing them on a copy of its fleet. Pure.

They are placed one after the other as `publish_requests.py` and `source_formats.py` place a source
that is known: what is booked for sources that are not known gives way, and so do streams whose
publisher is away. What is on a device already counts as one allocation, so that a step takes as
long on a full farm as on an empty one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from common.config.ladder import Pipeline, SourceFormat, Template
from common.config.limits import too_many_publishers
from common.ipc.identity import ChildId, Generation, StreamId, stream_id
from supervisor.farm.blame.unusual_sources import is_large
from supervisor.farm.state import FarmState
from supervisor.farm.stream import NO_INGEST, Present, Stream
from supervisor.placement.capacity import typical_source
from supervisor.placement.cost import Resource
from supervisor.placement.fleet import Allocation, Fleet, Need, NoRoom, lacking, place

MOST = 1000  # beyond that nobody counts
LOOK_S = 2.0  # between two looks at all templates
APART = "a source that large runs on a worker of its own: how many of it fit is not known"
NOT_TRANSCODED = "streams of this app are passed through: they take no room"
_PROBE = "?"  # no key: none can be published by this name


@dataclass(frozen=True, slots=True)
class FreeStreams:
    """What was found for one kind of source."""

    source: SourceFormat
    count: int = 0
    by_pipeline: Mapping[Pipeline, int] = field(default_factory=dict)
    # The resource that each pipeline was short of when it took no more, in the order of the policy;
    # of those that were short of one.
    ends: Mapping[Pipeline, Resource] = field(default_factory=dict)
    why: str = ""  # one more would not be let in, or not be transcoded
    is_more: bool = False  # there is room for more than `count`
    is_passed_through: bool = False  # one more would be, in place of a refusal

    @property
    def ends_first(self) -> str:
        """The resource that ends first; "": it is not for the lack of one that streams end."""
        return next((resource.value for resource in self.ends.values()), "")


def free_streams(
    state: FarmState,
    template: Template,
    source: SourceFormat,
    *,
    codec: str = "",
    closed: str = "",
    most: int = MOST,
) -> FreeStreams:
    """So many more publishers of such a source would be let in and transcoded, `most` at most.

    `codec` is an RFC 6381 name, for devices that do not decode all; `closed`: why the farm takes
    none at all.
    """
    if closed:
        return FreeStreams(source, why=closed)
    if is_large(source):
        return FreeStreams(source, why=APART)
    probe = Stream(stream_id(template.name, _PROBE), template, Present(NO_INGEST), "", 0.0)
    probe.learn_format(source, codec, 0.0)
    need = replace(state.need(probe), is_reservation=False)
    excluded = state.excluded(probe)
    fleet = _summed_up(_known_and_present(state))
    allowed = _allowed(state, template, most)
    found: dict[Pipeline, int] = {}
    count = 0
    while count < allowed:
        room = place(fleet, need, excluded)
        if isinstance(room, NoRoom):
            return FreeStreams(source, count, found, _ends(fleet, need), room.reason)
        pipeline = room.allocation.pipeline
        if pipeline is Pipeline.PASSTHROUGH:
            why = room.allocation.reason.partition("; ")[2] or NOT_TRANSCODED
            ends = _ends(fleet, need)
            return FreeStreams(source, count, found, ends, why, is_passed_through=True)
        found[pipeline] = found.get(pipeline, 0) + 1
        count += 1
        fleet = _summed_up(room.fleet)
    if allowed < most:
        return FreeStreams(source, count, found, why=too_many_publishers(template.limits))
    return FreeStreams(source, count, found, is_more=True)


def _allowed(state: FarmState, template: Template, most: int) -> int:
    """How many more the app takes, room or not."""
    if not template.limits.publishers:
        return most
    there = sum(stream.app == template.name for stream in state.streams.values())
    return min(most, max(0, template.limits.publishers - there))


def _ends(fleet: Fleet, need: Need) -> dict[Pipeline, Resource]:
    """What each pipeline of a full fleet is short of."""
    found: dict[Pipeline, Resource] = {}
    for pipeline in need.policy:
        for device in fleet.devices.values():
            if device.pipeline is pipeline and device.takes(need) and device.is_up:
                resource = lacking(fleet, device, device.amounts(need.cost))
                if resource is not None:
                    found.setdefault(pipeline, resource)
    return found


class FreeStreamsByApp:
    """What is free of each app's usual source, looked at anew when something changed."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._looked_s = float("-inf")
        self._seen: tuple[object, ...] = ()
        self._found: dict[str, FreeStreams] = {}

    def look(self, closed: str, now: float) -> Mapping[str, FreeStreams]:
        """By app; those that are passed through alone are not among them."""
        seen = (self._state.fleet, self._state.settings, closed)
        is_other = len(self._seen) != len(seen) or any(
            a is not b for a, b in zip(seen, self._seen, strict=True)
        )
        if is_other and now >= self._looked_s + LOOK_S:
            self._looked_s, self._seen = now, seen
            self._found = {
                template.name: free_streams(
                    self._state, template, typical_source(template), closed=closed
                )
                for template in self._state.settings.templates
                if template.renditions
            }
        return self._found


def _known_and_present(state: FarmState) -> Fleet:
    """The fleet without what gives way to a source that is known."""
    fleet = state.fleet.without_reservations()
    away = {stream.generation for stream in state.streams.values() if not stream.is_live}
    allocations = {g: a for g, a in fleet.allocations.items() if g not in away}
    return replace(fleet, allocations=allocations)


def _summed_up(fleet: Fleet) -> Fleet:
    """The fleet with one allocation a device, which has what all its allocations have."""
    sums: dict[ChildId | None, dict[Resource, float]] = {}
    for allocation in fleet.allocations.values():
        of_device = sums.setdefault(allocation.device, {})
        for resource, amount in allocation.amounts.items():
            of_device[resource] = of_device.get(resource, 0.0) + amount
    allocations = {
        Generation(-number): Allocation(
            Generation(-number), StreamId(""), device, Pipeline.REFUSE, amounts, "", False
        )
        for number, (device, amounts) in enumerate(sums.items(), 1)
    }
    return replace(fleet, allocations=allocations)
