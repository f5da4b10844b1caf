"""Which child of the farm is at the other end of a socket, and whether it may be. Pure.

The kernel names the process that connected (SO_PEERCRED, `common/ipc/bus.py`); the supervisor's
topology says which child each process is. So a child that a stranger's bitstream has taken over
speaks on no socket but those of its own work, under whatever name it likes.
"""

from collections.abc import Iterable, Mapping, Set
from enum import Enum, auto
from typing import Final

from common.ipc.control_messages import Endpoint
from common.ipc.identity import ChildId
from common.ipc.kinds import KINDS

# The kinds of children that may connect to a socket of this name. Whoever else does is not heard.
SENDERS: Final[Mapping[str, Set[str]]] = {
    "media": frozenset({"ingest"}),
    "tags": frozenset({"ingest", "worker", "encoder", "relay"}),
    "units": frozenset({"relay", "srt", "pull", "whip"}),
    "forward": frozenset({"ingest"}),
    "pictures": frozenset({"worker"}),
    "pools": frozenset({"worker"}),
    "handover": frozenset({"ingest"}),
    "viewers": frozenset({"api"}),
    "flv": frozenset({"web"}),
    "ts": frozenset({"srt"}),
    "requests": frozenset({"web"}),
    "whep": frozenset({"web"}),
    "whip": frozenset({"web"}),
    "sound": frozenset({"egress", "push", "record", "rtc", "web"}),
    "datagrams": frozenset({"rtc"}),
    "whip_datagrams": frozenset({"whip"}),
    "decrypted": frozenset(kind.name for kind in KINDS.values() if kind.ends_tls),
    "listeners": frozenset(kind.name for kind in KINDS.values() if "listeners" in kind.sockets),
}
# Those beside which a listener has a plain socket: who says `is_plain` goes by that.
PLAIN: Final = frozenset({"tags", "units", "forward"})
# Of these the topology tells nothing: the supervisor names one process that may connect.
BY_ORDER: Final = frozenset({"listeners"})


class PeerState(Enum):
    """What a process is to a socket."""

    ADMITTED = auto()
    UNKNOWN = auto()  # of no child that was announced: it may have started a moment ago
    FOREIGN = auto()  # of a child that has no business here


class SocketPeers:
    """Who may send on one socket, as the last topology has them."""

    def __init__(self, socket: str) -> None:
        """`socket`: its name in `SENDERS`."""
        self._kinds = SENDERS[socket]
        self._children: dict[int, ChildId] = {}
        self._takes_any = False

    def follow(self, endpoints: Iterable[Endpoint]) -> None:
        """Take over the children that run now.

        A process of 0 is of a supervisor that does not say (an older one): it stands for any.
        """
        running = tuple(endpoints)
        self._children = {end.pid: end.child for end in running if end.pid}
        self._takes_any = any(not end.pid and end.child.kind in self._kinds for end in running)

    def state(self, pid: int) -> PeerState:
        """Tell what a process is; 0: the kernel did not say which."""
        child = self._children.get(pid)
        if child is not None and child.kind in self._kinds:
            return PeerState.ADMITTED
        if self._takes_any:
            return PeerState.ADMITTED
        return PeerState.UNKNOWN if child is None else PeerState.FOREIGN

    def child(self, pid: int) -> ChildId | None:
        """Return the child that an admitted process is; None: it is not known which."""
        return self._children.get(pid)

    def why_not(self, pid: int) -> str:
        """Say why a process is not heard, for the log."""
        child = self._children.get(pid)
        who = f"process {pid}" + (f", {child}," if child is not None else "")
        return f"{who} is no {' or '.join(sorted(self._kinds))} of this farm"
