"""Messages about other hosts: supervisor ↔ the cluster child ↔ relays. Pure values.

The cluster child alone talks to etcd. It knows streams of this farm by their ids, and those of
others by a digest of theirs (`common/cluster/digest.py`): no id, which is a credential, leaves the
host. What a relay wants to know of a stream it asks by way of the supervisor.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from common.ipc.envelope import message
from common.ipc.identity import StreamId

NO_STREAM: Final = StreamId("")
MAX_HELD: Final = 8_000  # streams that one `HeldStreams` names


@message("stream-owner")
@dataclass(frozen=True, slots=True)
class StreamOwner:
    """Cluster → supervisor → relays: who has a stream; again whenever that changes.

    An epoch is of one owner's claim. It only grows, over owners too: media of a lower epoch is an
    earlier owner's.
    """

    digest: str  # 64 hex digits
    stream_id: StreamId = NO_STREAM  # "": nobody here has named it
    host: str = ""  # "": nobody has it
    relay: str = ""  # HOST:PORT of that host's relay; "": it has none
    epoch: int = 0
    is_here: bool = False  # this host is the owner
    is_certain: bool = True  # False: as it was when etcd was last heard, or its host is missing
    farm: str = ""  # of that host, a name of its own: a host that has begun anew has another one


@message("owner-wanted")
@dataclass(frozen=True, slots=True)
class OwnerWanted:
    """Relay or supervisor → cluster: who has this stream? Answered by `StreamOwner`.

    By its id or by its digest. Changes are reported too, for 15 s after the last time of asking.
    """

    stream_id: StreamId = NO_STREAM
    digest: str = ""


class ClaimOutcome(StrEnum):
    """What became of a claim."""

    OWNED = "owned"
    ELSEWHERE = "elsewhere"  # a host that is there has it
    AWAY = "away"  # etcd does not answer: it is claimed again when it does
    LOOKING = "looking"  # whether the host that has it is there is being found out: another follows


@message("claim-stream")
@dataclass(frozen=True, slots=True)
class ClaimStream:
    """Supervisor → cluster: this farm has a stream, or is about to. Kept until `ReleaseStream`.

    Answered by `StreamClaimed` where `request_id` is not 0.
    """

    request_id: int
    stream_id: StreamId
    # The epoch of an owner that gives it up for this host, or that no link of this host reaches:
    # its key is replaced, if it is still that.
    replaces: int = 0


@message("stream-claimed")
@dataclass(frozen=True, slots=True)
class StreamClaimed:
    """Cluster → supervisor: what became of a claim.

    With `request_id` 0 nobody asked: a stream that runs here is registered, or another host's.
    """

    request_id: int
    stream_id: StreamId
    outcome: ClaimOutcome
    owner: StreamOwner | None = None


class Reach(StrEnum):
    """What comes of connecting to another host's relay."""

    UP = "up"
    SILENT = "silent"  # it cannot be reached, which may be the network's fault
    GONE = "gone"  # a link to it has broken, and nothing of its farm listens there any more


@message("host-reach-wanted")
@dataclass(frozen=True, slots=True)
class HostReachWanted:
    """Cluster → supervisor → relay: is this host there? Answered by `HostReach`."""

    host: str
    relay: str  # HOST:PORT
    rtmp: str = ""  # likewise; "": it is not known


@message("host-reach")
@dataclass(frozen=True, slots=True)
class HostReach:
    """Relay → supervisor → cluster: whether a host is there, within two seconds."""

    host: str
    reach: Reach


@message("release-stream")
@dataclass(frozen=True, slots=True)
class ReleaseStream:
    """Supervisor → cluster: this farm has the stream no more, or never got it."""

    stream_id: StreamId


@message("held-streams")
@dataclass(frozen=True, slots=True)
class HeldStreams:
    """Supervisor → cluster, after its hello: all streams that the farm has, in several messages."""

    stream_ids: tuple[StreamId, ...]
    is_last: bool = True


@message("leave-cluster")
@dataclass(frozen=True, slots=True)
class LeaveCluster:
    """Supervisor → cluster: the farm ends, so its keys are to go with this process."""


@message("host-room")
@dataclass(frozen=True, slots=True)
class HostRoom:
    """Supervisor → cluster, once a second: what this host has free, for the others to know."""

    free: dict[str, float] = field(default_factory=dict)  # units by pipeline
    capacity: dict[str, float] = field(default_factory=dict)  # likewise
    streams: int = 0
    is_draining: bool = False
    templates_revision: int = 0  # of the shared templates that this host has; 0: none …
    templates_problem: str = ""  # … and why not those that are in etcd


@dataclass(frozen=True, slots=True)
class HostView:
    """A host of the cluster, by its own word."""

    name: str
    version: str = ""  # of tfarm
    relay: str = ""  # HOST:PORT; "": none
    rtmp: str = ""  # likewise, for publishers and players
    free: dict[str, float] = field(default_factory=dict)
    capacity: dict[str, float] = field(default_factory=dict)
    streams: int = 0  # that it owns, by etcd
    is_draining: bool = False
    is_missing: bool = False  # it has not come back yet since etcd was away
    templates_revision: int = 0  # as `HostRoom` has them
    templates_problem: str = ""


@message("cluster-view")
@dataclass(frozen=True, slots=True)
class ClusterView:
    """Cluster → supervisor: what it knows of the cluster; at each change, once a second at most."""

    is_in_touch: bool = False  # this host is registered, and etcd answers
    since_unix: float = 0.0  # that this is so
    reason: str = ""  # why not
    hosts: tuple[HostView, ...] = ()
    owned: int = 0  # streams of this farm that are registered …
    unregistered: int = 0  # … that are not, yet …
    elsewhere: int = 0  # … and that another host owns, though they run here
    # etcd's URLs, and what is wrong with each: "" where it answered last
    endpoints: dict[str, str] = field(default_factory=dict)
    templates_revision: int = 0  # of the shared templates in etcd; 0: there are none


@message("cluster-templates")
@dataclass(frozen=True, slots=True)
class ClusterTemplates:
    """Cluster → supervisor: the templates in etcd that all hosts share; again when they change."""

    revision: int
    text: str  # TOML


@message("push-templates")
@dataclass(frozen=True, slots=True)
class PushTemplates:
    """Supervisor → cluster: put this in their place. Answered by `TemplatesPushed`."""

    text: str


@message("templates-pushed")
@dataclass(frozen=True, slots=True)
class TemplatesPushed:
    """Cluster → supervisor: what became of it."""

    problem: str = ""  # "": it is in etcd
