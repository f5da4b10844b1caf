"""What a membership has its process do, and who it is. Pure values."""

from dataclasses import dataclass, field
from enum import Enum, auto

from cluster.keys import HostRecord
from common.cluster.digest import stream_digest
from common.etcd.messages import Request
from common.ipc.identity import StreamId


class What(Enum):
    """What a call is for."""

    LEASE = auto()  # a keepalive
    GRANT = auto()
    READ = auto()
    BASE = auto()
    HOST = auto()
    CLAIM = auto()
    RELEASE = auto()
    TEMPLATES = auto()
    AGE = auto()  # of another host's last keepalive


@dataclass(frozen=True, slots=True)
class Call:
    """Ask etcd, and give the answer to `answered` or `failed`."""

    what: What
    request: Request
    sent_s: float
    revision: int  # that was known then
    digest: str = ""
    record: HostRecord | None = None


@dataclass(frozen=True, slots=True)
class StartWatch:
    """Watch all keys from a revision on, and no other watch any more."""

    request: Request


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the supervisor."""

    message: object


Action = Call | StartWatch | Say


@dataclass(frozen=True, slots=True)
class Self:
    """Who this host is."""

    cluster: str
    host: str
    farm: str
    secret: bytes = field(repr=False)
    ttl_s: int = 5
    version: str = ""
    relay: str = ""
    rtmp: str = ""

    @property
    def lease(self) -> int:
        """The number of this farm's lease."""
        name = StreamId(f"lease\0{self.cluster}\0{self.host}\0{self.farm}")
        return int(stream_digest(self.secret, name)[:15], 16) | 1
