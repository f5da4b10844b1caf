"""Which streams the push child sends to others' servers, and how far it is. Pure.

It says with each report which list of streams it knows, so a child or a supervisor that is new gets
it by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.ipc.identity import ChildId, StreamId, split_stream_id
from common.ipc.push_messages import PushReport, PushStatus, PushStreams, known_as
from supervisor.farm.actions import Action, Send
from supervisor.farm.state import FarmState

Handler = Callable[[ChildId, Any, float], list[Action]]


class Pushes:
    """What push children are told, and what they said last."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._reports: dict[ChildId, PushReport] = {}
        self.handlers: Mapping[type, Handler] = {PushReport: self.on_report}

    def on_report(self, child: ChildId, report: PushReport, now: float) -> list[Action]:
        """Keep a report, and answer with the streams if they are others than it knows."""
        self._reports[child] = report
        streams = self._streams()
        return [] if report.known == known_as(streams) else [Send(child, PushStreams(streams))]

    def of_streams(self) -> Mapping[StreamId, Sequence[PushStatus]]:
        """The pushes of each stream that has some."""
        found: dict[StreamId, list[PushStatus]] = {}
        for child in tuple(self._reports):
            if child not in self._state.children:
                del self._reports[child]
                continue
            for push in self._reports[child].pushes:
                found.setdefault(push.stream_id, []).append(push)
        return found

    def _streams(self) -> tuple[StreamId, ...]:
        pushed = {
            template.name: template.pushes
            for template in self._state.settings.templates
            if template.pushes
        }
        found = []
        for stream_id in self._state.streams:
            app, key = split_stream_id(stream_id)
            if any(rule.takes(key) for rule in pushed.get(app, ())):
                found.append(stream_id)
        return tuple(sorted(found))
