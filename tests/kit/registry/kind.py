"""What the supervisor must know of it: the one entry in the table."""

from common.ipc.kinds import ChildKind

REGISTRY = ChildKind(
    "cluster",
    module="tests.kit.registry",
    libraries=(),
    parses_strangers=False,
    death_costs="nothing that streams",
    count=lambda settings: 1,
)
