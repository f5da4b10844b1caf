"""Messages between the supervisor and relays about streams of other hosts. Pure values."""

from dataclasses import dataclass

from common.ipc.envelope import message
from common.ipc.identity import Generation, StreamId


@message("remote-play")
@dataclass(frozen=True, slots=True)
class RemotePlay:
    """Supervisor → relay: a stream that is not here is wanted; pull it from whoever has it.

    Again, with a higher generation, when it has another owner.
    """

    stream_id: StreamId
    generation: Generation  # under which it is played here
    renditions: tuple[str, ...]  # that are wanted to begin with


@message("remote-play-end")
@dataclass(frozen=True, slots=True)
class RemotePlayEnd:
    """Supervisor → relay: nobody wants it here any more, or it is published here."""

    stream_id: StreamId
    reason: str
    hold_ms: int = 0  # its players are kept so long: it is published here
