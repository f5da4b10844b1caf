"""How far the copies of recordings are, as the upload child said last. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.ipc.identity import ChildId
from common.ipc.upload_messages import UploadReport, UploadStatus
from supervisor.farm.actions import Action
from supervisor.farm.state import FarmState

Handler = Callable[[ChildId, Any, float], list[Action]]


class Uploads:
    """What upload children said."""

    def __init__(self, state: FarmState) -> None:
        self._state = state
        self._reports: dict[ChildId, UploadReport] = {}
        self.handlers: Mapping[type, Handler] = {UploadReport: self._on_report}

    def of_apps(self) -> Sequence[UploadStatus]:
        """What was said of each app."""
        for child in tuple(self._reports):
            if child not in self._state.children:
                del self._reports[child]
        return [status for report in self._reports.values() for status in report.uploads]

    def _on_report(self, child: ChildId, report: UploadReport, _: float) -> list[Action]:
        self._reports[child] = report
        return []
