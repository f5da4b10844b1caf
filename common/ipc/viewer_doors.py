"""The egresses that a viewer's connection may be handed over to, and in which order. Pure."""

from collections.abc import Mapping, Sequence

from common.ipc.control_messages import Endpoint
from common.ipc.egress_homes import weight
from common.ipc.identity import ChildId


class ViewerDoors:
    """Those of one kind of viewers."""

    def __init__(self, socket: str, *, tries: int = 1) -> None:
        """`socket`: the egresses' for this, a field of `Endpoint`; `tries`: of how many at most."""
        self._socket = socket
        self._tries = tries
        self._egresses: Mapping[ChildId, str] = {}

    def follow(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run; those that retire take nobody new."""
        taking = [end for end in endpoints if getattr(end, self._socket) and not end.is_retiring]
        self._egresses = {end.child: getattr(end, self._socket) for end in taking}

    def addresses(self, stream_id: str) -> list[str]:
        """Where to try, the stream's home first; empty: no egress runs."""
        found = sorted(self._egresses, key=lambda egress: weight(stream_id, egress), reverse=True)
        return [self._egresses[egress] for egress in found[: self._tries]]
