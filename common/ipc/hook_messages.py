"""Messages about hooks: ingest or egress → supervisor → the hooks child, and back. Pure values.

The supervisor only passes them on (`supervisor/farm/forwarding/hook_forwarding.py`). What they say
of a peer may be a credential: none of it stands in a repr.
"""

from dataclasses import dataclass, field

from common.config.hooks import HookEvent
from common.config.limits import StreamLimits
from common.ipc.envelope import message
from common.ipc.identity import ChildId
from common.ipc.status_messages import Notice


@dataclass(frozen=True, slots=True)
class HookSubject:
    """Whom and what an event is about."""

    app: str
    key: str = field(repr=False)  # of the stream
    rendition: str  # "" of a publisher
    address: str  # with its port
    session: str  # the same in all events of one publisher's or viewer's session
    protocol: str = "rtmp"
    query: dict[str, str] = field(default_factory=dict, repr=False)  # of the URL, without keys

    @property
    def stream(self) -> str:
        return f"{self.app}/{self.key}"


@dataclass(frozen=True, slots=True)
class HookVerdict:
    """What a hook answers."""

    is_allowed: bool | None = None  # None: there is no answer
    words: str = ""  # for who is refused
    detail: str = ""  # for the operator: why there is no answer
    key: str = field(default="", repr=False)  # the stream is this one instead; "": as asked
    template: str = ""  # whose ladder and limits it gets; "": its app's
    limits: StreamLimits | None = None  # instead of these
    play_keys: tuple[str, ...] = field(default=(), repr=False)  # SHA-256: it is played with these
    owner: str = ""  # who publishes, as a hash: only the same one takes over; "": not said


@message("hook-question")
@dataclass(frozen=True, slots=True)
class HookQuestion:
    """A child asks whether a peer may have what it asks for. Answered by `HookAnswer`."""

    request_id: int
    event: HookEvent
    subject: HookSubject
    child: ChildId | None = None  # that asks; the supervisor fills it in


@message("hook-answer")
@dataclass(frozen=True, slots=True)
class HookAnswer:
    """The hooks child, or the supervisor where there is none, answers `HookQuestion`."""

    child: ChildId  # that asked
    request_id: int
    verdict: HookVerdict


@message("hook-notice")
@dataclass(frozen=True, slots=True)
class HookNotice:
    """A child reports the end of a session, a recording's file or its upload. Not answered."""

    event: HookEvent
    subject: HookSubject
    at_unix: float
    seconds: float
    bytes: int  # received of a publisher, taken by a viewer, in the file
    reason: str
    findings: tuple[Notice, ...] = ()  # of the publisher's doctor, at the end
    file: str = field(default="", repr=False)  # of a recording; its path holds the key
    object: str = field(default="", repr=False)  # that it is in a bucket, likewise
    is_low: bool = False  # of QUALITY: the rendition looks worse than its floor allows
