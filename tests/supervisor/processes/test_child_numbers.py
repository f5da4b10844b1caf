"""Which children a farm lacks, and the numbers that they get."""

import pytest

from common.ipc.identity import CPU, ChildId, Role
from supervisor.processes.child_numbers import group_of, missing, unused


def egress(*numbers: int) -> list[ChildId]:
    return [ChildId("egress", index=number) for number in numbers]


def cpu(*numbers: int) -> list[ChildId]:
    return [ChildId("worker", CPU, number) for number in numbers]


DEDICATED = ChildId("worker", CPU, 1, Role.DEDICATED)
GPU = ChildId("worker", "GPU-1", 1)


@pytest.mark.parametrize(
    ("wanted", "running", "taken", "before", "new"),
    [
        (egress(0), [], [], [], egress(0)),
        (egress(0, 1), [], [], [], egress(0, 1)),
        (egress(0), egress(0), egress(0), [], []),
        # a successor of another number counts
        (egress(0), egress(1), egress(1), [], []),
        (cpu(0, 1), cpu(2, 0), cpu(2, 0), [], []),
        # who retires does not, and keeps its name
        (egress(0), [], egress(0), [], egress(1)),
        (egress(0, 1), egress(1), egress(0, 1), [], egress(2)),
        # one that an earlier supervisor had is started under its name
        (cpu(0, 1), cpu(0), cpu(0), cpu(0, 2), cpu(2)),
        (cpu(0, 1), [], [], cpu(2, 5), cpu(2, 5)),
        (cpu(0), [], [], cpu(2, 5), cpu(2)),
        (egress(0), [], [], cpu(2), egress(0)),
        # groups are counted apart
        ([*cpu(0), *egress(0)], [DEDICATED, GPU], [DEDICATED, GPU], [], [*cpu(0), *egress(0)]),
        # more than are wanted
        (cpu(0), cpu(0, 1, 2), cpu(0, 1, 2), [], []),
    ],
)
def test_as_many_of_each_group_as_are_wanted(
    wanted: list[ChildId],
    running: list[ChildId],
    taken: list[ChildId],
    before: list[ChildId],
    new: list[ChildId],
) -> None:
    assert missing(wanted, running, taken, before) == new


def test_a_name_in_nobodys_use_has_the_lowest_number() -> None:
    assert unused(ChildId("egress", index=3), egress(0, 2)) == ChildId("egress", index=1)
    assert unused(GPU, [ChildId("worker", "GPU-1")]) == GPU
    assert unused(DEDICATED, cpu(0, 1)) == ChildId("worker", CPU, 0, Role.DEDICATED)
    assert group_of(GPU) == ChildId("worker", "GPU-1")
