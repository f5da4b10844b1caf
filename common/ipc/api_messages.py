"""Messages between the API and those that know players and pictures. Pure values.

All but `WatchRequest` and `ViewRequest` go by way of the supervisor, which lets them pass from and
to the kinds that they are for (`supervisor/farm/forwarding/api_requests.py`). `asker` is the child
that gets the answer.
"""

from dataclasses import dataclass, field

from common.ipc.envelope import message
from common.ipc.identity import ChildId, StreamId

MAX_PLAYERS = 2_000  # that one egress names
MAX_JPEG_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class PlayerStatus:
    """One player, as its egress knows it."""

    id: str  # for whoever wants it ended; no other ever has it
    stream_id: StreamId
    rendition: str
    protocol: str  # "rtmp", "http"
    address: str
    seconds: float  # since its connection came
    dropped: int  # pictures that it missed because it read too slowly


@message("players-wanted")
@dataclass(frozen=True, slots=True)
class PlayersWanted:
    """To every egress: name the players; of one stream, if one is named."""

    request_id: int
    asker: ChildId
    stream_id: StreamId
    ends: str = ""  # end this player, and name it alone


@message("player-list")
@dataclass(frozen=True, slots=True)
class PlayerList:
    """An egress answers `PlayersWanted`."""

    request_id: int
    asker: ChildId
    egress: ChildId
    players: tuple[PlayerStatus, ...]  # at most `MAX_PLAYERS`
    total: int


@message("snapshot-wanted")
@dataclass(frozen=True, slots=True)
class SnapshotWanted:
    """To a stream's worker: make a small picture of a keyframe, if one comes soon."""

    request_id: int
    asker: ChildId
    stream_id: StreamId


@message("snapshot")
@dataclass(frozen=True, slots=True)
class Snapshot:
    """A worker, or the supervisor where there is none, answers. Payload: a JPEG."""

    request_id: int
    asker: ChildId
    stream_id: StreamId
    problem: str = ""  # why there is no picture


@message("view-request")
@dataclass(frozen=True, slots=True)
class ViewRequest:
    """To an egress, with a viewer's connection: judge this, and answer from the first byte on."""

    app: str
    key: str = field(repr=False)
    rendition: str  # "": the source
    query: dict[str, str] = field(repr=False)
    address: str  # HOST:PORT
    is_chunked: bool = True  # False: the end of the connection is the end of the body (HTTP/1.0)
    headers: dict[str, str] = field(default_factory=dict)  # of the answer, besides its own


@message("watch-request")
@dataclass(frozen=True, slots=True)
class WatchRequest:
    """To an egress, with a viewer's connection: send this, from an HTTP answer's first byte on."""

    stream_id: StreamId
    rendition: str
    address: str  # HOST:PORT
    has_sound: bool = True
    is_chunked: bool = True  # False: the end of the connection is the end of the body (HTTP/1.0)
