"""Outputs that take the streams that the supervisor names, and let nobody in."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.control_messages import Endpoint
from common.ipc.identity import StreamId
from common.ipc.push_messages import PushStreams, known_as
from common.ipc.record_messages import RecordStreams
from egress.output import Audience, Output, OutputContext, ViewerStatus
from egress.service import ViewerService
from egress.streams.rendition import Rendition
from egress.streams.stream import StreamState


class AssignedOutput(Output):
    """What such outputs have in common."""

    endpoints: Mapping[str, str] = MappingProxyType({})

    def __init__(self, context: OutputContext) -> None:
        self._context = context
        self._streams: tuple[StreamId, ...] = ()
        self._settings = Settings()

    def follow(self, streams: Sequence[StreamId]) -> None:
        """These streams are there now."""
        self._streams = tuple(streams)
        self._reconcile()

    @property
    def known(self) -> int:
        """Which streams it was told."""
        return known_as(self._streams)

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        self._reconcile()

    def audience(self, stream_id: StreamId) -> Mapping[str, Audience]:
        return {}  # they are no players

    def viewers(self) -> Iterable[ViewerStatus]:
        return ()

    def end_viewer(self, number: int, reason: str) -> None:
        """Nobody could be ended."""

    def on_topology(self, endpoints: Sequence[Endpoint]) -> None:
        """Nobody comes from another child."""

    @abstractmethod
    def _reconcile(self) -> None:
        """Begin what is new by streams and settings, end what is over."""

    def _rendition_of(self, stream_id: StreamId, name: str) -> Rendition | None:
        """What is to be taken; None: there is none now."""
        stream = self._context.streams.get(stream_id)
        if stream is None or stream.state in (StreamState.ENDING, StreamState.ENDED):
            return None
        return stream.renditions.get(name)


AssignedT = TypeVar("AssignedT", bound=AssignedOutput)


class AssignedService(ViewerService, Generic[AssignedT]):
    """A `ChildService` whose only output is such a one."""

    output: AssignedT

    def __init__(self, process: ChildProcess, make: Callable[[OutputContext], AssignedT]) -> None:
        def made(egress: OutputContext) -> AssignedT:
            self.output = make(egress)
            return self.output

        super().__init__(process, (made,), lambda settings: 0)

    def on_message(self, message: Any, payloads: Sequence[bytes]) -> None:
        if isinstance(message, PushStreams | RecordStreams):
            self.output.follow(message.streams)
        else:
            super().on_message(message, payloads)

    async def listen(self) -> None:
        """Nobody comes here."""
