"""The states of a stream, and the table of its transitions. Pure.

REQUESTED    there is a publish request; it has no room yet
RESERVED     it has room; its source is not known yet
LIVE         a worker transcodes it
SWITCHING    its worker is lost; the egresses have to report how far it came
WAITING      its worker is lost and no other has room: its source alone is served
SOURCE_ONLY  by policy, because no device can serve it, or because its device is behind
ENDED        it is the farm's no more

`NEXT` is all there is of transitions; what is not in it is a bug. `stream.py` alone applies it.
What is known only in one state stands in that state's class.
"""

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import ClassVar

from common.ipc.identity import ChildId

# ---- states and events ------------------------------------------------------------------------


class StreamState(StrEnum):
    REQUESTED = "requested"
    RESERVED = "reserved"
    LIVE = "live"
    SWITCHING = "switching"
    WAITING = "waiting"
    SOURCE_ONLY = "source only"
    ENDED = "ended"


class StreamEvent(Enum):
    RESERVED = auto()  # placed on a device, its source not known yet
    PLACED = auto()  # placed on a device, its source known
    PASSED_THROUGH = auto()  # placed on no device
    FORMAT_FITS = auto()  # its source is known, and fits where it is
    WORKER_LOST = auto()  # or the worker has no session of it any more, or cannot serve it
    FOUND_NO_ROOM = auto()
    ENDED = auto()


_S, _E = StreamState, StreamEvent
NEXT = {
    (_S.REQUESTED, _E.RESERVED): _S.RESERVED,
    (_S.REQUESTED, _E.PASSED_THROUGH): _S.SOURCE_ONLY,
    (_S.RESERVED, _E.RESERVED): _S.RESERVED,  # it moves, or its publisher came to another ingest
    (_S.RESERVED, _E.PLACED): _S.LIVE,  # its source is known and fits elsewhere
    (_S.RESERVED, _E.PASSED_THROUGH): _S.SOURCE_ONLY,
    (_S.RESERVED, _E.FORMAT_FITS): _S.LIVE,
    (_S.RESERVED, _E.WORKER_LOST): _S.SWITCHING,
    (_S.RESERVED, _E.FOUND_NO_ROOM): _S.WAITING,  # its publisher came to another ingest
    (_S.RESERVED, _E.ENDED): _S.ENDED,
    (_S.LIVE, _E.PLACED): _S.LIVE,
    (_S.LIVE, _E.PASSED_THROUGH): _S.SOURCE_ONLY,
    (_S.LIVE, _E.FORMAT_FITS): _S.LIVE,
    (_S.LIVE, _E.WORKER_LOST): _S.SWITCHING,
    (_S.LIVE, _E.FOUND_NO_ROOM): _S.WAITING,  # its publisher came to another ingest
    (_S.LIVE, _E.ENDED): _S.ENDED,
    (_S.SWITCHING, _E.RESERVED): _S.RESERVED,  # its publisher came to another ingest
    (_S.SWITCHING, _E.PLACED): _S.LIVE,  # likewise
    (_S.SWITCHING, _E.FOUND_NO_ROOM): _S.WAITING,
    (_S.SWITCHING, _E.ENDED): _S.ENDED,
    (_S.WAITING, _E.RESERVED): _S.RESERVED,
    (_S.WAITING, _E.PLACED): _S.LIVE,
    (_S.WAITING, _E.FOUND_NO_ROOM): _S.WAITING,
    (_S.WAITING, _E.ENDED): _S.ENDED,
    (_S.SOURCE_ONLY, _E.PLACED): _S.LIVE,
    (_S.SOURCE_ONLY, _E.PASSED_THROUGH): _S.SOURCE_ONLY,  # its publisher came to another ingest
    (_S.SOURCE_ONLY, _E.FORMAT_FITS): _S.SOURCE_ONLY,
    (_S.SOURCE_ONLY, _E.FOUND_NO_ROOM): _S.WAITING,
    (_S.SOURCE_ONLY, _E.ENDED): _S.ENDED,
}


# ---- what goes with a state -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plain:
    """A state without data of its own."""

    state: StreamState


@dataclass(slots=True)
class Switching:
    """Between two generations: who has yet to report how far the old one came."""

    state: ClassVar[StreamState] = StreamState.SWITCHING
    request_id: int
    deadline_s: float
    pending: set[ChildId]  # egresses
    keeps_worker: bool = False  # where it is, if that can serve it
    positions: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Waiting:
    """For room."""

    state: ClassVar[StreamState] = StreamState.WAITING
    resume_after_ms: int | None = None  # how far players have come; None: nothing reached one


@dataclass(frozen=True, slots=True)
class SourceOnly:
    """Passed through."""

    state: ClassVar[StreamState] = StreamState.SOURCE_ONLY
    overloaded_worker: ChildId | None = None  # that was behind, and may take it back


Phase = Plain | Switching | Waiting | SourceOnly
