"""What the supervisor must know of it: the one entry in the table."""

from common.ipc.kinds import ChildKind

TAP = ChildKind(
    "tap",
    module="tests.kit.tap",
    libraries=(),
    parses_strangers=False,
    death_costs="nothing that streams",
    count=lambda settings: 1,
    sockets=("tags",),
)
