"""Between the supervisor and the push child: which streams there are, and where they go. Pure."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from common.ipc.envelope import message
from common.ipc.identity import StreamId


class PushState(StrEnum):
    """How far a push is."""

    WAITING = "waiting"  # for the stream, or for its rendition's first picture
    CALLING = "calling"
    SENDING = "sending"
    RETRYING = "retrying"  # it waits before it calls again


@message("push-streams")
@dataclass(frozen=True, slots=True)
class PushStreams:
    """To the push child: the streams of apps that are pushed; whole, whenever it changes."""

    streams: tuple[StreamId, ...]


@dataclass(frozen=True, slots=True)
class PushStatus:
    """One rendition of one stream on its way to one address."""

    stream_id: StreamId
    rendition: str
    address: str  # without credentials
    state: PushState
    reason: str = ""  # of its last end
    seconds: float = 0.0  # in this state
    calls: int = 0  # so far
    sent_bytes: int = 0
    dropped: int = 0  # pictures that the line was too slow for
    rtt_ms: float = 0.0  # of a protocol that knows
    repeated: int = 0  # packets, likewise


@message("push-report")
@dataclass(frozen=True, slots=True)
class PushReport:
    """From the push child, once a second: all of its pushes."""

    pushes: tuple[PushStatus, ...]
    known: int  # which streams it was told: `known_as`


def known_as(streams: Sequence[StreamId]) -> int:
    """A list of streams as a number."""
    return zlib.crc32("\n".join(streams).encode(errors="replace"))
