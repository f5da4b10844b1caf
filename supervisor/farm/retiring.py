"""Children that have a successor, and serve whom they have until these leave. Pure.

Who retires says so in its hello, so a next supervisor knows it.
"""

from dataclasses import replace
from typing import Final

from common.ipc.identity import ChildId
from supervisor.farm.state import FarmState

HOOKS: Final = "hooks"
# What such a child counts, where that is not "connections".
_LEFT: Final = {
    "egress": ("players", "http viewers", "http-flv viewers", "srt viewers"),
    "rtc": ("rtc viewers",),
    # streams and publishers of other hosts, and those of here that other hosts have
    "relay": ("relay pulled streams", "relay forwarded", "relay streams", "relay publishers"),
}
RETIRING: Final = "retiring"  # the state of such a child, for people


def retiring(state: FarmState) -> set[ChildId]:
    """Return the children that take nobody new."""
    return {name for name, child in state.children.items() if child.hello.is_retiring}


def taking(state: FarmState, kind: str) -> list[ChildId]:
    """Return the children of a kind that are up and take what is new."""
    gone = retiring(state)
    return [child for child in state.of_kind(kind) if child not in gone]


def homes(state: FarmState) -> set[ChildId]:
    """Return the egresses that take new players."""
    return state.egresses - retiring(state)


def asked(state: FarmState, child: ChildId) -> int:
    """Return how many questions and events a hooks child has still, as it reported last."""
    known = state.children.get(child)
    if child.kind != HOOKS or known is None or known.heartbeat is None:
        return 0
    return known.heartbeat.counters.get("waiting", 0)


def left(state: FarmState, child: ChildId) -> int:
    """Return how many connections a child has still that retires, as it reported last."""
    known = state.children.get(child)
    counters = known.heartbeat.counters if known is not None and known.heartbeat else {}
    names = _LEFT.get(child.kind, ("connections",))
    return sum(counters.get(name, 0) for name in names)


def mark(state: FarmState, child: ChildId) -> None:
    """Note that a child takes nobody new from now on: its endpoint tells all."""
    known = state.children[child]
    endpoint = replace(known.hello.endpoint, is_retiring=True)
    known.hello = replace(known.hello, endpoint=endpoint, is_retiring=True)
