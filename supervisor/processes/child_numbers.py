"""Which children a farm lacks, and the numbers that they get. Pure.

A farm has so many children of each group (kind and device), under whatever numbers: a successor has
another number than the process before it, as both run for a while.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace

from common.ipc.identity import ChildId

Group = ChildId  # a child with the number 0 stands for its group


def group_of(child: ChildId) -> Group:
    """Return the group that a child counts in."""
    return replace(child, index=0)


def missing(
    wanted: Iterable[ChildId],
    running: Iterable[ChildId],
    taken: Collection[ChildId],
    before: Collection[ChildId] = (),
) -> list[ChildId]:
    """Return whom to start, so that there are as many of each group as are wanted.

    `running` are those that count; `taken` are all whose names are in use, as of those that retire.
    Names of `before` come first: some may know children by them.
    """
    counts = Counter(map(group_of, running))
    names = {*taken, *running}
    new = []
    for child in wanted:
        group = group_of(child)
        if counts[group] > 0:
            counts[group] -= 1
            continue
        name = next((name for name in sorted(before) if _is_free(name, group, names)), None)
        name = name or unused(group, names)
        names.add(name)
        new.append(name)
    return new


def unused(like: ChildId, taken: Collection[ChildId]) -> ChildId:
    """Return a name of the group of `like` that is in nobody's use, by the lowest number."""
    numbered = (replace(like, index=number) for number in itertools.count())
    return next(name for name in numbered if name not in taken)


def _is_free(name: ChildId, group: Group, taken: Collection[ChildId]) -> bool:
    return group_of(name) == group and name not in taken
