"""The `push` child's shell (IO): an egress that is no home, whose only output calls others."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from common.config.settings import Settings
from common.ipc.child import ChildProcess
from common.ipc.push_messages import PushReport
from egress.assigned import AssignedService
from egress.push.output import PushOutput
from egress.push.target_context import TargetContext

REPORT_S: Final = 1.0


class PushService(AssignedService[PushOutput]):
    """A `ChildService`."""

    def __init__(self, process: ChildProcess) -> None:
        self._settings = Settings()
        context = TargetContext(asyncio.get_running_loop(), lambda: self._settings, time.monotonic)

        super().__init__(process, lambda egress: PushOutput(egress, context))

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        super().configure(settings)

    def tasks(self) -> Sequence[Coroutine[Any, Any, None]]:
        return (*super().tasks(), self._report())

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            self.process.send(PushReport(self.output.status(), self.output.known))
