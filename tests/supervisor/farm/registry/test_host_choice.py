"""supervisor/farm/registry/host_choice.py: many hosts choose, by what the others said lately."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.ladder import Pipeline, SourceFormat
from common.config.settings import Settings
from common.ipc.cluster_messages import HostView
from supervisor.farm.registry.host_choice import FULL_S, SHOWN_S, HostChoices, Units, units_for

CPU, GPU = Pipeline.SOFTWARE, Pipeline.GPU_ONLY
(LIVE,) = Settings().templates
ONE: tuple[Units, Units] = ({CPU: 1.0}, {CPU: 1.0})


def host(name: str, free: float = 10.0, capacity: float = 100.0) -> HostView:
    return HostView(name, relay=f"{name}:1936", free={CPU: free}, capacity={CPU: capacity})


def names(
    choices: HostChoices, hosts: list[HostView], asks: int = 50, now: float = 0.0
) -> set[str]:
    found = (choices.choose(hosts, ONE, now + number * SHOWN_S) for number in range(asks))
    return {one.name for one in found if one is not None}


@pytest.mark.parametrize(
    "unfit",
    [
        replace(host("b", 90.0), is_draining=True),
        replace(host("b", 90.0), is_missing=True),
        replace(host("b", 90.0), relay=""),
        host("b", 0.5),
        replace(host("b"), free={GPU: 90.0}, capacity={GPU: 100.0}),
        host("own", 90.0),
    ],
)
def test_who_cannot_take_it_is_never_chosen(unfit: HostView) -> None:
    assert names(HostChoices("own", "1"), [unfit, host("c", 1.0)]) == {"c"}
    assert HostChoices("own", "1").choose([unfit], ONE, 0.0) is None


def test_the_emptier_of_two_is_chosen_more_often_and_no_host_never() -> None:
    hosts = [host("b", 60.0), host("c", 40.0)]
    choices = HostChoices("own", "1")
    found = [choices.choose(hosts, ONE, n * SHOWN_S) for n in range(200)]
    assert 150 < sum(one is hosts[0] for one in found) < 198


def test_what_was_given_to_a_host_lately_is_counted_as_taken_there() -> None:
    hosts = [host("b", 2.0), host("c", 1.0)]
    choices = HostChoices("own", "1")
    found = [choices.choose(hosts, ONE, 0.0) for _ in range(3)]
    assert sorted(one.name for one in found if one is not None) == ["b", "b", "c"]
    later = choices.choose(hosts, ONE, 0.0)
    assert later is not None, "what was given may have ended: all are asked again"


def test_one_that_refused_is_taken_as_full_for_a_while() -> None:
    hosts = [host("b")]
    choices = HostChoices("own", "1")
    choices.refused("b", 0.0)
    assert choices.choose(hosts, ONE, FULL_S * 0.9) is None
    assert choices.choose(hosts, ONE, FULL_S, exclude={"b"}) is None
    assert choices.choose(hosts, ONE, FULL_S) is hosts[0]


def test_the_first_pipeline_of_the_policy_that_any_host_has_room_in() -> None:
    gpu = HostView("g", relay="g:1", free={GPU: 5.0, CPU: 0.0}, capacity={GPU: 9.0, CPU: 9.0})
    wanted: tuple[Units, Units] = ({GPU: 4.0, CPU: 4.0}, {GPU: 4.0, CPU: 4.0})
    choices = HostChoices("own", "1")
    found = [choices.choose([gpu, host("b", 90.0)], wanted, 0.0) for _ in range(2)]
    assert [one.name for one in found if one is not None] == ["g", "b"]


def test_a_template_that_passes_through_finds_any_host() -> None:
    wanted: tuple[Units, Units] = ({Pipeline.PASSTHROUGH: 0.0}, {Pipeline.PASSTHROUGH: 0.0})
    assert HostChoices("own", "1").choose([host("b", 0.0)], wanted, 0.0) is not None


def test_a_source_that_is_not_known_is_expected_to_be_of_full_size() -> None:
    expected, least = units_for(LIVE)
    assert list(expected) == list(LIVE.policy)
    assert 20.0 < expected[CPU] < 100.0
    assert least[CPU] < 1.0
    small = units_for(LIVE, SourceFormat(640, 360))
    assert small[0] == small[1]
    assert least[CPU] < small[0][CPU] < expected[CPU]
    almost_full = host("b", expected[CPU] - 1.0)
    roomy = host("c", expected[CPU] + 1.0)
    choices = HostChoices("own", "1")
    assert choices.choose([almost_full, roomy], (expected, least), 0.0) is roomy
    assert choices.choose([almost_full], (expected, least), 0.0) is almost_full


@dataclass
class Cluster:
    """Hosts that choose for one another by views that are up to a second old."""

    capacities: list[int]
    seed: int
    used: list[int] = field(init=False)
    views: dict[int, list[HostView]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        count = range(len(self.capacities))
        self.used = [0 for _ in count]
        self.random = Random(self.seed)
        self.choices = [HostChoices(f"{n}", f"{self.seed} {n}") for n in count]
        self.next_view_s = [self.random.random() for _ in count]

    def ask(self, now: float) -> bool:
        """A stream comes to a host without room of its own: whether another took it."""
        asker = self.random.randrange(len(self.capacities))
        if asker not in self.views or self.next_view_s[asker] <= now:
            self.next_view_s[asker] += 1.0
            self.views[asker] = [
                host(f"{n}", capacity - used, capacity)
                for n, (capacity, used) in enumerate(zip(self.capacities, self.used, strict=True))
            ]
        tried: set[str] = set()
        while found := self.choices[asker].choose(self.views[asker], ONE, now, tried):
            index = int(found.name)
            if self.used[index] < self.capacities[index]:
                self.used[index] += 1
                return True
            self.choices[asker].refused(found.name, now)
            tried.add(found.name)
        has_room = [c > u for c, u in zip(self.capacities, self.used, strict=True)]
        assert not any(has_room[:asker] + has_room[asker + 1 :]), "refused, and there is room"
        return False

    @property
    def spread(self) -> float:
        shares = [used / c for used, c in zip(self.used, self.capacities, strict=True)]
        return max(shares) - min(shares)


@pytest.mark.parametrize("seed", [1])
def test_ten_thousand_streams_fill_forty_unequal_hosts_evenly(seed: int) -> None:
    """20 starts a second, as many as there is room for: at no time more than 5 % between two."""
    random = Random(seed)
    sizes = [random.uniform(1.0, 4.0) for _ in range(40)]
    cluster = Cluster([round(10_000 * size / sum(sizes)) for size in sizes], seed)
    spreads = []
    for number in range(sum(cluster.capacities)):
        if not cluster.ask(number / 20):
            break  # its own room is the only one
        if number % 100 == 0:
            spreads.append(cluster.spread)
    assert max(spreads) <= 0.05
    assert sum(cluster.used) > 0.99 * sum(cluster.capacities)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=12),
    st.integers(0, 1000),
    st.sampled_from([5.0, 50.0, 5_000.0]),
)
def test_nobody_is_refused_while_another_host_has_room(
    capacities: list[int], seed: int, rate: float
) -> None:
    cluster = Cluster(capacities, seed)
    for number in range(sum(capacities) + 5):
        cluster.ask(number / rate)  # asserts it
