"""What a server session's parts share: how far the connection is, what it does, what it says. Pure.

`ServerSession` reads input and media and answers requests, `PeerCommands` does what the peer's
commands say; both write here.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Self

from common.rtmp import replies
from common.rtmp.chunks import DEFAULT_CHUNK_SIZE
from common.rtmp.events import Event
from common.rtmp.message_streams import MessageStreams, StreamUse
from common.rtmp.requests import Requests
from common.rtmp.snapshot import SessionSnapshot


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
    fourccs: frozenset[str] = frozenset()  # codecs that the peer takes, besides classic ones
    out_chunk_size: int = DEFAULT_CHUNK_SIZE
    out: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @classmethod
    def restore(cls, snapshot: SessionSnapshot, max_message_streams: int) -> Self:
        """Make the state of a session that was handed over, its play request raised anew."""
        play, stream_ids = snapshot.play, snapshot.message_stream_ids
        streams = MessageStreams(max(max_message_streams, len(stream_ids)))
        for stream_id in stream_ids:
            streams.open(stream_id)
        streams.known(play.message_stream_id).use = StreamUse.PLAY_PENDING
        requests = Requests()
        requests.resume(play)
        return cls(
            streams,
            Stage.CONNECTED,
            requests,
            is_handed_over=True,
            app=snapshot.app,
            tc_url=snapshot.tc_url,
            flash_version=snapshot.flash_version,
            object_encoding=snapshot.object_encoding,
            fourccs=snapshot.fourccs,
            out_chunk_size=snapshot.out_chunk_size,
            events=[play],
        )

    def send_status(self, message_stream_id: int, level: str, code: str, description: str) -> None:
        """Queue an onStatus."""
        self.out.append(
            replies.status(self.out_chunk_size, message_stream_id, level, code, description)
        )
