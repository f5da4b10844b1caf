"""Messages about publishers whose streams other hosts have: supervisor ↔ ingest → relay.

An ingest forwards such a publisher: it keeps the connection, and the relay takes what it brings to
the host that has the stream. Ingest and relay speak by the relay's socket `forward` as a child and
an ingest do by `units` (`unit_messages.py`), but that the request names the host. Pure values.
"""

from dataclasses import dataclass, field

from common.access.refusal import Refusal
from common.config.ladder import Template
from common.ipc.envelope import message
from common.ipc.identity import Generation, StreamId
from common.ipc.unit_messages import PublishAsk


@message("forward-to")
@dataclass(frozen=True, slots=True)
class ForwardTo:
    """Supervisor → ingest, in place of a `Placement`: that host has the stream, or is to have it.

    `request_id` 0: of a publisher that is forwarded already, whose owner is lost; or, with
    `is_cut`, of a stream that is here, or at a host that is drained, and goes on there from its
    next keyframe on.
    """

    request_id: int
    stream_id: StreamId
    generation: Generation  # of the way there; a later one takes its place
    template: Template
    host: str
    relay: str  # HOST:PORT of its relay
    replaces: int = 0  # the epoch of the claim that is to be the host's
    is_cut: bool = False


@message("forward-lost")
@dataclass(frozen=True, slots=True)
class ForwardLost:
    """Ingest → supervisor: the way to that host is gone, or did not come to be.

    Answered by `ForwardTo`, `Placement` or `Refused`. `request_id` 0: the publisher was let in.
    """

    request_id: int
    stream_id: StreamId
    generation: Generation
    reason: str
    refusal: Refusal | None = None  # the host's, which has no room
    is_here: bool = False  # it is this host's own relay that is gone: nothing is known of the host


@message("forward-ask")
@dataclass(frozen=True, slots=True)
class ForwardAsk:
    """Ingest → relay: a publisher for that host. Payloads: as of `ask`."""

    number: int  # that of `ask`
    host: str
    relay: str  # HOST:PORT of its relay
    ask: PublishAsk = field(repr=False)
