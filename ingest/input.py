"""What a way into the ingest is: RTMP is one. Protocols and values; pure.

An input lets publishers in by its protocol, and gives `Streams` their requests and their media as
units. It knows streams; they know no input. `ingest.run` has the table of all of them.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from common.config.settings import Settings
from common.ipc.control_messages import Endpoint
from ingest.capture.recorder import Recorder
from ingest.streams.admission import Admission
from ingest.streams.registry import Streams


@dataclass(frozen=True, slots=True)
class InputContext:
    """What an input is given of the ingest that it is in."""

    streams: Streams
    admission: Admission  # of the connections of all inputs together
    spawn: Callable[[Coroutine[Any, Any, None]], object]  # starts a task and owns it
    addresses: Sequence[tuple[str, int]]  # of `listen.rtmp`
    is_shared: bool  # other ingest processes listen there too
    recorder: Recorder  # is given all media that come, for captures
    endpoint: Callable[[str, str], str]  # of this incarnation, by name and scheme
    # Binds a `MediaListener` of this name, for children that may send there.
    listener: Callable[[str, Callable[[list[bytes], Any], None]], Any]
    # Listening sockets of the process before this one, in place of new ones at `addresses`.
    inherited: Sequence[Any] = ()


class Input(Protocol):
    """One way in. It is made with an `InputContext`, on the running loop, and listens from then on.

    To make one raises OSError where its address cannot be used.
    """

    @property
    def listen(self) -> Sequence[str]:
        """Its addresses, as people write them."""

    @property
    def listeners(self) -> Sequence[Any]:
        """Its listening sockets, for a successor of this process."""

    @property
    def endpoints(self) -> Mapping[str, str]:
        """Its sockets that other processes connect to, by their field of `Endpoint`."""

    @property
    def connections(self) -> int:
        """How many are open."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What it counts, for the heartbeat."""

    def start(self) -> None:
        """Accept connections: the settings of this farm are known."""

    def configure(self, settings: Settings) -> None:
        """Use other settings for new connections."""

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        """The children that run now."""

    def check(self) -> None:
        """Look for connections that are gone unseen; once a second."""

    def retire(self) -> None:
        """Accept no more, and serve what is open."""

    def stop(self, reason: str) -> None:
        """Accept no more, and close what is open; who is being told why takes a moment."""

    async def emptied(self, timeout_s: float) -> None:
        """Wait until no connection is open, or for the timeout."""

    def close(self) -> None:
        """Close what is still open."""
