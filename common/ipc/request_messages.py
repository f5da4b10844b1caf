"""A viewer's request on its way from one `web` child to another. Pure values.

It goes with its connection by the handover of `common.ipc.socket_handover`, on the socket
`Endpoint.requests`: what is asked further on that connection comes to the other process.
"""

from dataclasses import dataclass, field

from common.ipc.envelope import message


@message("passed-request")
@dataclass(frozen=True, slots=True)
class PassedRequest:
    """A request that another process is to answer, as it was read."""

    peer: str  # HOST:PORT of whose connection it is
    request: bytes = field(repr=False)  # its line and headers, up to the empty line
