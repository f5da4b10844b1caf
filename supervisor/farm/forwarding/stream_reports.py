"""Which streams a child follows, and what it said of each last: of pushes, of recordings. Pure.

Such a child says with each report which list of streams it knows, so a child or a supervisor that
is new gets it by itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from common.config.ladder import Template
from common.ipc.identity import ChildId, StreamId, split_stream_id
from common.ipc.push_messages import known_as
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState

Handler = Callable[[ChildId, Any, float], list[Action]]


class Item(Protocol):
    """What a report says of one stream."""

    @property
    def stream_id(self) -> StreamId: ...


ItemT = TypeVar("ItemT", bound=Item)


class StreamReports(ABC, Generic[ItemT]):
    """What children of one kind are told, and what they said last."""

    def __init__(self, state: FarmState, report: type) -> None:
        """`report`: the message, with which streams it knows in `known`."""
        self._state = state
        self._reports: dict[ChildId, Any] = {}
        self.handlers: Mapping[type, Handler] = {report: self.on_report}

    @abstractmethod
    def takes(self, template: Template, key: str) -> bool:
        """Whether a stream of that app is followed."""

    @abstractmethod
    def message(self, streams: tuple[StreamId, ...]) -> object:
        """The message that says so."""

    @abstractmethod
    def items(self, report: Any) -> Sequence[ItemT]:
        """What a report says."""

    def on_report(self, child: ChildId, report: Any, now: float) -> list[Action]:
        """Keep a report, and answer with the streams if they are others than it knows."""
        self._reports[child] = report
        streams = self._streams()
        return [] if report.known == known_as(streams) else [Send(child, self.message(streams))]

    def of_streams(self) -> Mapping[StreamId, Sequence[ItemT]]:
        """What was said of each stream of which there is something."""
        found: dict[StreamId, list[ItemT]] = {}
        for child in tuple(self._reports):
            if child not in self._state.children:
                del self._reports[child]
                continue
            for item in self.items(self._reports[child]):
                found.setdefault(item.stream_id, []).append(item)
        return found

    def _streams(self) -> tuple[StreamId, ...]:
        templates = {template.name: template for template in self._state.settings.templates}
        found = []
        for stream_id in self._state.streams:
            app, key = split_stream_id(stream_id)
            if app in templates and self.takes(templates[app], key):
                found.append(stream_id)
        return tuple(sorted(found))
