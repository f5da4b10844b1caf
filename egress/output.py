"""What a way out of the egress is: RTMP play is one. Protocols and values; pure.

An output lets viewers in by its protocol, and subscribes to what they ask for. It knows streams and
renditions; they know no output. `egress.run` has the table of all of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from common.access.address_limits import AddressLimit
from common.access.bans import Bans
from common.access.refusals import RefusalTable
from common.access.used_urls import Claims
from common.config.settings import Settings
from common.ipc.control_messages import Endpoint
from common.ipc.identity import ChildId, StreamId
from egress.streams.registry import Streams
from egress.streams.stream import Stream
from egress.streams.waiting import WaitingViewers
from egress.viewer_hooks import ViewerHooks

if TYPE_CHECKING:
    from egress.entrance import Entrance


def _none() -> Any:
    raise LookupError("this egress has none")


class RequestStream(Protocol):
    """Have a stream sent here."""

    def __call__(self, stream_id: StreamId, /, *renditions: str) -> object:
        """These renditions, none named: all."""


@dataclass(frozen=True, slots=True)
class OutputContext:
    """The egress, as its outputs see it."""

    child: ChildId  # this process: the others of a farm have the same outputs
    streams: Streams
    waiting: WaitingViewers
    by_address: AddressLimit  # of all outputs together
    clock: Callable[[], float]
    endpoint: Callable[[str, str], str]  # of this incarnation, by name and scheme
    report_demand: Callable[[StreamId], object]  # somebody waits for a rendition from now on
    # Where the stream is not at home; the egress does it by itself for what has subscribers here.
    request_stream: "RequestStream"
    refusals: RefusalTable = field(default_factory=RefusalTable)  # of viewers, for status
    bans: Bans = field(default_factory=lambda: Bans(float))  # whom the operator keeps out
    # the uses of URLs that are signed for one
    claims: Claims = field(default_factory=lambda: Claims(lambda _: None))
    # who is let in, and the groups of those who get tags as they are; both of all outputs together
    entrance: "Callable[[], Entrance]" = _none
    channels: Callable[[], Any] = _none  # a `egress.fanout.channel.Channels`
    sounds: Callable[[], Any] = _none  # a `egress.sound.coded.SoundForms`
    hooks: ViewerHooks = field(default_factory=lambda: ViewerHooks(lambda _: True, float, float))


@dataclass(frozen=True, slots=True)
class Audience:
    """Who takes one rendition by one output."""

    players: int
    dropped: int  # tags that they missed because they were slow
    sent_bytes: int = 0  # to them, and to those who left; as the protocol has it
    others: Mapping[str, int] = field(default_factory=dict)  # of the players, by another protocol


@dataclass(frozen=True, slots=True)
class ViewerStatus:
    """One who takes a rendition."""

    number: int  # of this output's, never used again
    stream_id: StreamId
    rendition: str
    protocol: str
    address: str
    seconds: float  # since the connection came
    dropped: int


class Output(Protocol):
    """One way out. It is made with an `OutputContext`, on the running loop."""

    @property
    def protocol(self) -> str:
        """What its viewers speak, as status has it."""

    @property
    def endpoints(self) -> Mapping[str, str]:
        """Its sockets that other processes connect to, by their field of `Endpoint`."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Its counters, for the heartbeat. All outputs share one namespace: names have a prefix."""

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        """Who takes a stream's renditions now; a recording counts no players."""

    def viewers(self) -> Iterable[ViewerStatus]:
        """Each of those, for the operator; nobody where it is none that could be ended."""

    def end_viewer(self, number: int, reason: str) -> None:
        """End one of them; nothing, where there is none of this number."""

    def serves(self) -> bool:
        """Tell if it serves somebody who would lose by the end of this process."""

    def configure(self, settings: Settings) -> None:
        """Use other settings from now on; who is served goes on.

        The first call brings the default settings, right after all outputs are made.
        """

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        """These children run now: from whom viewers may come."""

    def on_stream(self, stream: Stream) -> None:
        """A stream has new renditions, of which nothing has been given out yet.

        It comes when a stream opens and when its ladder changes. Who subscribes in it, with
        `Start.FIRST`, gets the rendition from its first keyframe on.
        """

    def check(self, now: float) -> None:
        """Do what is due once a second, such as a look for viewers who take nothing."""

    async def stop(self, reason: str) -> None:
        """Let nobody in any more, report the end to all, and give them a moment to get it.

        The process ends behind this and `close`, and `on_end` comes no more: what is still queued
        for a file is written here.
        """

    def close(self, reason: str) -> None:
        """Close what is still open; `stop` may have been cut short, or not have been called."""
