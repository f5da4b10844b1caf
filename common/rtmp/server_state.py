"""What a server session's parts share: how far the connection is, what it does, what it says. Pure.

`ServerSession` reads input and media and answers requests, `PeerCommands` does what the peer's
commands say; both write here.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from common.rtmp import replies
from common.rtmp.chunks import DEFAULT_CHUNK_SIZE
from common.rtmp.events import Event
from common.rtmp.message_streams import MessageStreams
from common.rtmp.requests import Requests


class Stage(Enum):
    """How far `connect` has come."""

    HANDSHAKE = auto()
    UNCONNECTED = auto()
    CONNECT_PENDING = auto()
    CONNECTED = auto()
    REFUSED = auto()


@dataclass(slots=True)
class ServerState:
    """Of one connection."""

    streams: MessageStreams
    stage: Stage = Stage.HANDSHAKE
    requests: Requests = field(default_factory=Requests)
    publishing: int | None = None  # the message stream, between `accept` and the end
    is_handed_over: bool = False  # it has asked to play in another process before
    app: str = ""
    tc_url: str = ""
    flash_version: str = ""
    object_encoding: float = 0.0
    out_chunk_size: int = DEFAULT_CHUNK_SIZE
    out: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def send_status(self, message_stream_id: int, level: str, code: str, description: str) -> None:
        """Queue an onStatus."""
        self.out.append(
            replies.status(self.out_chunk_size, message_stream_id, level, code, description)
        )
