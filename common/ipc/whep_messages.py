"""What the `web` child asks for those who come by WHEP and WHIP, and the answer. Pure values.

It asks the `rtc` child for viewers (`Endpoint.whep`), the `whip` child for publishers
(`Endpoint.whip`). Each request is a short connection on a Unix SEQPACKET socket: one message there,
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


@message("whip-offer")
@dataclass(frozen=True, slots=True)
class WhipOffer:
    """A publisher asks for a stream, with its SDP offer."""

    app: str
    key: str = field(repr=False)
    query: dict[str, str] = field(repr=False)  # with the key of `Authorization: Bearer`
    address: str  # the publisher's, HOST:PORT
    offer: str = field(repr=False)
    server_host: str = ""  # as a viewer's
    encoder: str = ""  # that it says it is, for people


@message("whep-end")
@dataclass(frozen=True, slots=True)
class WhepEnd:
    """A viewer or a publisher ends its session."""

    session: str = field(repr=False)


@message("whep-answer")
@dataclass(frozen=True, slots=True)
class WhepAnswer:
    """What becomes of a request."""

    status: int  # HTTP's; 0: as `reason` has it
    words: str = field(repr=False)  # why it is refused; of 201 the SDP answer
    session: str = field(default="", repr=False)  # of 201: the session's name, which is a secret
    reason: str = ""  # of `common.access.refusal.RefusalReason`
