"""Which streams the record child writes to files, and how far it is. Pure."""

from collections.abc import Sequence

from common.config.ladder import Template
from common.ipc.identity import StreamId
from common.ipc.record_messages import RecordReport, RecordStatus, RecordStreams
from supervisor.farm.forwarding.stream_reports import StreamReports
from supervisor.farm.state import FarmState


class Recordings(StreamReports[RecordStatus]):
    """What record children are told, and what they said last."""

    def __init__(self, state: FarmState) -> None:
        super().__init__(state, RecordReport)

    def takes(self, template: Template, key: str) -> bool:
        return template.recording.takes(key)

    def message(self, streams: tuple[StreamId, ...]) -> RecordStreams:
        return RecordStreams(streams)

    def items(self, report: RecordReport) -> Sequence[RecordStatus]:
        return report.recordings
