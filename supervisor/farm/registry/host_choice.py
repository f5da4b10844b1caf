"""Which host takes a new stream that this one has no room for. Pure.

Rule: *of three hosts that are drawn by what they have free, the one with the larger free share.*
Every host draws for itself, by what the others said last, which is up to some seconds old: so they
do not all choose the same one, as the emptiest of all would be. Drawn by what is free, hosts of any
size fill evenly. (With two draws, the usual number, a small host lags by twice as much at times.)
What this host gave another one lately is counted as taken there, and one that has just refused as
full: what the others say does not show that yet.

A host that drains, that is missing, or that no media reaches is never chosen.
"""

from collections.abc import Collection, Iterable, Mapping
from random import Random
from typing import Final

from common.config.ladder import Pipeline, SourceFormat, Template
from common.ipc.cluster_messages import HostView
from supervisor.placement.cost import (
    FULL_HD30,
    StreamCost,
    largest_source,
    load_of,
    newcomer_cost,
    stream_cost,
)

Units = Mapping[Pipeline, float]  # what a stream takes in each pipeline of its policy, in order

SHOWN_S: Final = 2.5  # until a choice is in what others say: claimed, written and reported
FULL_S: Final = 1.0  # for which one that refused is taken as full
DRAWN: Final = 3
MAX_RECENT: Final = 4_096  # choices that are counted; the oldest go first


def units_for(template: Template, source: SourceFormat | None = None) -> tuple[Units, Units]:
    """What a stream will take, and what is booked for it at first.

    A source that is not known yet is expected to be 1080p30, or as the template's `max_source` is
    where that is less.
    """
    if source is not None:
        expected = stream_cost(template, source)
        return _units(template, expected), _units(template, expected)
    costs = [stream_cost(template, one) for one in (FULL_HD30, largest_source(template))]
    expected = min(costs, key=lambda cost: cost.total)
    return _units(template, expected), _units(template, newcomer_cost(template))


class HostChoices:
    """Those of one host."""

    def __init__(self, own: str, seed: str) -> None:
        """`own` is never chosen. `seed`: another one on each host."""
        self._own = own
        self._random = Random(seed)  # nosec B311 # spreads load, guards nothing
        self._recent: list[tuple[float, str, Pipeline, float]] = []  # when, host, what it took
        self._full_s: dict[str, float] = {}  # until when

    def choose(
        self,
        hosts: Iterable[HostView],
        wanted: tuple[Units, Units],
        now: float,
        exclude: Collection[str] = (),
    ) -> HostView | None:
        """The host that is to be asked; None: none has room. Counted as taken there.

        `wanted` is of `units_for`; `exclude`: those that have been asked for this stream already.
        Where no host has what is expected, one that has what is booked at first is asked.
        """
        self._forget(now)
        able = [
            host
            for host in hosts
            if host.name not in exclude and host.name not in self._full_s and self._is_able(host)
        ]
        expected, least = wanted
        for units, is_counted in ((expected, True), (least, True), (least, False)):
            for pipeline, amount in units.items():
                free = self._free(able, pipeline, is_counted=is_counted)
                found = self._draw([(h, left) for h, left in free if left >= amount], pipeline)
                if found is not None:
                    self._recent.append((now, found.name, pipeline, expected.get(pipeline, amount)))
                    return found
        return None

    def refused(self, host: str, now: float) -> None:
        """One that was asked had no room after all."""
        self._full_s[host] = now + FULL_S

    # ---- inside -------------------------------------------------------------------------------

    def _is_able(self, host: HostView) -> bool:
        is_there = not host.is_draining and not host.is_missing
        return is_there and bool(host.relay) and host.name != self._own

    def _forget(self, now: float) -> None:
        since_s = now - SHOWN_S
        if self._recent and (self._recent[0][0] <= since_s or len(self._recent) > MAX_RECENT):
            self._recent = [one for one in self._recent if one[0] > since_s][-MAX_RECENT:]
        if self._full_s:
            self._full_s = {name: s for name, s in self._full_s.items() if s > now}

    def _free(
        self, hosts: Iterable[HostView], pipeline: Pipeline, *, is_counted: bool
    ) -> list[tuple[HostView, float]]:
        """What each has, without or with what was given to it lately."""
        taken: dict[str, float] = {}
        for _, name, of, amount in self._recent if is_counted else ():
            if of is pipeline:
                taken[name] = taken.get(name, 0.0) + amount
        if pipeline is Pipeline.PASSTHROUGH:  # takes nothing, of any host
            return [(host, max(1e-9, sum(host.free.values()))) for host in hosts]
        return [
            (host, host.free[pipeline] - taken.get(host.name, 0.0))
            for host in hosts
            if host.capacity.get(pipeline, 0.0) > 0.0 and pipeline in host.free
        ]

    def _draw(self, able: list[tuple[HostView, float]], pipeline: Pipeline) -> HostView | None:
        """Of those that are drawn by what is free, the one with the larger free share."""
        if not able:
            return None
        weights = [max(left, 1e-9) for _, left in able]
        drawn = self._random.choices(able, weights, k=DRAWN)
        return max(drawn, key=lambda one: one[1] / (one[0].capacity.get(pipeline) or 1.0))[0]


def _units(template: Template, cost: StreamCost) -> Units:
    found: dict[Pipeline, float] = {}
    for pipeline in template.policy:
        if pipeline is Pipeline.REFUSE:
            break
        found[pipeline] = load_of(cost, pipeline)
    return found
