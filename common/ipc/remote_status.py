"""Connections of children to other servers, as heartbeats have them. Pure values."""

from dataclasses import dataclass
from enum import StrEnum

from common.ipc.identity import StreamId


class RemoteState(StrEnum):
    """How far a connection to another server is."""

    CONNECTING = "connecting"
    WAITING = "waiting"  # until it is tried again
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class RemoteStatus:
    """A stream that is fetched from another server."""

    stream_id: StreamId
    url: str  # as people may see it (`common.config.remote_url`)
    state: RemoteState
    since_unix: float  # of this state
    reason: str = ""  # why it is not running, or why it ended the last time
    attempts: int = 0  # connections that were tried …
    connected: int = 0  # … and those that came to run
    bytes: int = 0  # of media, of all of them
    retry_unix: float = 0.0  # when it is tried again; 0: it is not waiting for that
