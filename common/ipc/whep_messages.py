"""What the `web` child asks the `rtc` child for a viewer by WHEP, and the answer. Pure values.

Each request is a short connection on a Unix SEQPACKET socket (`Endpoint.whep`): one message there,
one back.
"""

from dataclasses import dataclass, field

from common.ipc.envelope import message

MAX_OFFER_BYTES = 64 * 1024


@message("whep-offer")
@dataclass(frozen=True, slots=True)
class WhepOffer:
    """A viewer asks for a stream, with its SDP offer."""

    app: str
    key: str = field(repr=False)
    rendition: str  # "": its line says which
    query: dict[str, str] = field(repr=False)
    address: str  # the viewer's, HOST:PORT
    offer: str = field(repr=False)
    server_host: str = ""  # the address of this host that the viewer came to; "": not told


@message("whep-end")
@dataclass(frozen=True, slots=True)
class WhepEnd:
    """A viewer ends its session."""

    session: str = field(repr=False)


@message("whep-answer")
@dataclass(frozen=True, slots=True)
class WhepAnswer:
    """What becomes of a request."""

    status: int  # HTTP's; 0: as `reason` has it
    words: str = field(repr=False)  # why it is refused; of 201 the SDP answer
    session: str = field(default="", repr=False)  # of 201: the session's name, which is a secret
    reason: str = ""  # of `common.access.refusal.RefusalReason`
