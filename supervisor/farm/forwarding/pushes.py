"""Which streams the push child sends to others' servers, and how far it is. Pure."""

from collections.abc import Sequence

from common.config.ladder import Template
from common.ipc.identity import StreamId
from common.ipc.push_messages import PushReport, PushStatus, PushStreams
from supervisor.farm.forwarding.stream_reports import StreamReports
from supervisor.farm.state import FarmState


class Pushes(StreamReports[PushStatus]):
    """What push children are told, and what they said last."""

    def __init__(self, state: FarmState) -> None:
        super().__init__(state, PushReport)

    def takes(self, template: Template, key: str) -> bool:
        return any(rule.takes(key) for rule in template.pushes)

    def message(self, streams: tuple[StreamId, ...]) -> PushStreams:
        return PushStreams(streams)

    def items(self, report: PushReport) -> Sequence[PushStatus]:
        return report.pushes
