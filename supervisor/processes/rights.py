"""What each kind of child may say, and what it is told: as much as its work needs. Pure.

A worker that a stranger's bitstream has taken over says what workers say, and of its own streams
alone (`supervisor/farm` looks at that). It is told of no socket that it has no use for
(and of no key: `common.ipc.kinds.settings_for`).
"""

import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Final

from common.ipc.api_messages import Snapshot
from common.ipc.capture_messages import CaptureWritten
from common.ipc.cluster_messages import (
    ClusterTemplates,
    ClusterView,
    HostReach,
    HostReachWanted,
    OwnerWanted,
    StreamClaimed,
    StreamOwner,
    TemplatesPushed,
)
from common.ipc.control_messages import (
    EncoderLimitReport,
    Endpoint,
    GopTransfer,
    Heartbeat,
    Hello,
    Positions,
    PublishEnd,
    PublisherBack,
    PublishRequest,
    SessionEnd,
    SourceEstimate,
    SourceFormatReport,
    StreamRevoked,
    StreamTrouble,
    StreamWanted,
    UrlsUsed,
)
from common.ipc.endpoint import IPC, UNIX, socket_path
from common.ipc.forward_messages import ForwardLost
from common.ipc.hook_messages import HookAnswer, HookNotice, HookQuestion
from common.ipc.identity import BootId
from common.ipc.kinds import KINDS
from common.ipc.push_messages import PushReport
from common.ipc.record_messages import RecordReport
from common.ipc.socket_peers import BY_ORDER, SENDERS
from common.ipc.status_messages import ChildFloods
from common.ipc.upload_messages import UploadReport

NO_BOOT_ID: Final = BootId("")  # of one that nobody connects to: it would be in its sockets' names

_INGEST: Final = frozenset({"ingest"})
_WORKER: Final = frozenset({"worker"})
_ADMITTING: Final = frozenset(kind.name for kind in KINDS.values() if kind.admits)
_SERVING: Final = frozenset(kind.name for kind in KINDS.values() if kind.has_viewers)
# Which kinds send a message. What is not here, those do that are in no sandbox.
_SENT_BY: Final[Mapping[type, Set[str]]] = {
    PublishRequest: _INGEST,
    SourceEstimate: _INGEST,
    SourceFormatReport: _INGEST,
    PublisherBack: _INGEST,
    PublishEnd: _INGEST,
    StreamRevoked: _INGEST,
    GopTransfer: _INGEST,
    CaptureWritten: _INGEST,
    ForwardLost: _INGEST,
    SessionEnd: _WORKER,
    StreamTrouble: _WORKER,
    EncoderLimitReport: _WORKER,
    Snapshot: _WORKER,
    Positions: _SERVING,
    UrlsUsed: _ADMITTING,
    HookQuestion: _ADMITTING,
    HookNotice: _ADMITTING | {"record", "upload"},
    HookAnswer: frozenset({"hooks"}),
    PushReport: frozenset({"push"}),
    RecordReport: frozenset({"record"}),
    UploadReport: frozenset({"upload"}),
    OwnerWanted: frozenset({"relay"}),
    HostReach: frozenset({"relay"}),
    HostReachWanted: frozenset({"cluster"}),
    StreamOwner: frozenset({"cluster"}),
    StreamClaimed: frozenset({"cluster"}),
    ClusterView: frozenset({"cluster"}),
    ClusterTemplates: frozenset({"cluster"}),
    TemplatesPushed: frozenset({"cluster"}),
}


def may_say(kind: str, message: Any) -> bool:
    """Tell if a child of this kind may send that to the supervisor."""
    if isinstance(message, StreamWanted):
        return "tags" in KINDS[kind].sockets
    if isinstance(message, ChildFloods):  # of who listens; what is taken over accuses nobody
        listens = {"tags", "units"} & set(KINDS[kind].sockets)
        return bool(listens) and not KINDS[kind].is_sandboxed
    senders = _SENT_BY.get(type(message))
    if senders is not None:
        return kind in senders
    return isinstance(message, Heartbeat) or not KINDS[kind].is_sandboxed


def own_endpoint(hello: Hello, run_dir: Path) -> Endpoint:
    """Return the sockets that a child may announce: of its own incarnation, and of its kind.

    The others of its hello are left out.
    """
    sockets = {
        name: address
        for name in KINDS[hello.child.kind].sockets
        if (address := _own_address(getattr(hello.endpoint, name), run_dir, hello, name))
    }
    return Endpoint(
        hello.child, hello.boot_id, pid=hello.pid, **sockets, is_retiring=hello.is_retiring
    )


def _own_address(address: str, run_dir: Path, hello: Hello, name: str) -> str:
    scheme = next((scheme for scheme in (IPC, UNIX) if address.startswith(scheme)), None)
    file_name = socket_path(address).rpartition("/")[2]
    pattern = rf"[a-zA-Z0-9-]*-{re.escape(hello.boot_id)}\.{name}"
    if scheme is None or re.fullmatch(pattern, file_name) is None:
        return ""
    return f"{scheme}{run_dir / file_name}"


def known_to(kind: str, endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Return what a child of this kind is told of those that run.

    Where it may connect, and which processes may connect to it. A kind that commands for an
    operator knows which there are.
    """
    own, sees_all = set(KINDS[kind].sockets) - BY_ORDER, bool(KINDS[kind].commands)
    known = []
    for endpoint in endpoints:
        reached = {
            name: address
            for name, kinds in SENDERS.items()
            if kind in kinds and name not in BY_ORDER and (address := getattr(endpoint, name))
        }
        if reached:
            known.append(
                Endpoint(
                    endpoint.child,
                    endpoint.boot_id,
                    pid=endpoint.pid,
                    **reached,
                    is_retiring=endpoint.is_retiring,
                )
            )
        elif sees_all or any(endpoint.child.kind in SENDERS[name] for name in own):
            known.append(Endpoint(endpoint.child, NO_BOOT_ID, pid=endpoint.pid))
    return tuple(known)
